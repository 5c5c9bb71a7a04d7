"""Noise that black and white cut off gets its mean back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from skimage import data

import vheatir
from vheatir.inference.clipping import with_clipped_mean

SIGMA = 12 / 255


def stored(value: float, sigma: float, side: int = 64) -> npt.NDArray[np.float32]:
    """Noisy paper as a file holds it, but for the rounding."""
    noise = np.random.default_rng(0).standard_normal((1, 1, side, side))
    return np.clip(value + sigma * noise, 0, 1).astype(np.float32)


def clipped_mean(value: float, sigma: float) -> float:
    """E of min(max(value + noise, 0), 1), by integration."""
    noise = np.linspace(-8, 8, 200_001)
    density = np.exp(-(noise**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.trapezoid(np.clip(value + sigma * noise, 0, 1) * density, noise))


@pytest.mark.parametrize("sigma", [2 / 255, SIGMA, 50 / 255])
@pytest.mark.parametrize("steps", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("is_white", [True, False])
def test_a_mean_comes_back(sigma: float, steps: float, is_white: bool) -> None:
    value = 1 - steps * sigma if is_white else steps * sigma
    mean = np.full((1, 1, 64, 64), clipped_mean(value, sigma), np.float32)
    found = with_clipped_mean(mean, stored(value, sigma), sigma)
    lost = abs(float(mean[0, 0, 0, 0]) - value)
    assert float(found.mean()) == pytest.approx(value, abs=0.15 * lost + 2e-4 * sigma)


def test_the_mean_of_white_is_what_the_formula_says() -> None:
    """σ / sqrt(2 π) below white: 4.8 of 255 at σ 12."""
    assert 255 * (1 - clipped_mean(1, SIGMA)) == pytest.approx(12 / math.sqrt(2 * math.pi), rel=1e-6)


def test_nothing_is_given_back_where_nothing_was_lost() -> None:
    mean = np.random.default_rng(1).random((1, 3, 32, 32), dtype=np.float32)
    inner = mean.clip(0.004, 0.996)
    assert np.array_equal(with_clipped_mean(mean, inner, SIGMA), mean)
    clipped = (mean > 0.5).astype(np.float32)
    assert np.array_equal(with_clipped_mean(mean, clipped, 0.0), mean)
    far = np.full((1, 1, 32, 32), 0.5, np.float32)
    assert np.array_equal(with_clipped_mean(far, clipped[:, :1], SIGMA), far)
    # a bright caption without noise beside white paper with noise
    mean, noisy = np.full((2, 1, 1, 32, 64), 250 / 255, np.float32)
    noisy[..., :32] = stored(1, SIGMA, 32)
    assert np.array_equal(with_clipped_mean(mean, noisy, SIGMA)[..., 36:], mean[..., 36:])


def test_it_fades_towards_sigma_zero() -> None:
    """Continuous: the smaller σ, the less is given back."""
    mean = np.full((1, 1, 16, 16), 0.9999, np.float32)
    gains = [float((with_clipped_mean(mean, np.ones_like(mean), s) - mean).max()) for s in (1e-6, 1e-4, 1e-3)]
    assert gains[0] <= gains[1] <= gains[2] <= 1.1e-4
    assert gains[0] < 1e-6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [255, 0])
def test_paper_is_white_and_ink_black(dtype: type, channels: int, value: int) -> None:
    noise = np.random.default_rng(0).normal(0, 12, (96, 96, channels))
    scale = np.iinfo(dtype).max / 255
    noisy: npt.NDArray[Any] = np.rint(np.clip(value + noise, 0, 255) * scale).astype(dtype)
    found = vheatir.restore(noisy, task="denoise", sigma=12, device="cpu").mean() / scale
    assert abs(found - value) < 1


def test_photographs_gain() -> None:
    clean = data.chelsea()[:128, 150:278].astype(float)
    clean = np.clip(1.6 * (clean - 60), 0, 255)  # with blown highlights and black shadows
    noisy = np.clip(np.rint(clean + np.random.default_rng(0).normal(0, 25, clean.shape)), 0, 255).astype(np.uint8)
    with_mean = vheatir.restore(noisy, task="denoise", sigma=25, device="cpu").astype(float)
    # numbers with a fraction are not taken for clipped ones
    without = 255 * vheatir.restore(noisy / np.float32(255), task="denoise", sigma=25, device="cpu")
    assert np.mean((with_mean - clean) ** 2) < 0.98 * np.mean((without - clean) ** 2)


def test_benchmarks_stay_as_they_are() -> None:
    """Their noise is added to numbers with a fraction, and not clipped."""
    x = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)).round()
    model = vheatir.load_model("denoise-gray")
    with torch.inference_mode():
        expected = model(x, 12).clamp(0, 1)
    assert torch.equal(vheatir.restore(x, task="denoise", sigma=12, model=model), expected)
