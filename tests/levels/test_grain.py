"""Noise that is not white: measured where it is, told from structure, and removed by ``auto``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import chi2
from skimage import data

import vheatir
from vheatir.data.degradations import encode_jpeg
from vheatir.levels.blocks import block_dct, overlapping_blocks, unclipped
from vheatir.levels.grain import _chi_square_quantile, estimate_noise
from vheatir.levels.levels import mean_sigma
from vheatir.nn.heat import dct_basis

Array = npt.NDArray[Any]

PHOTOS: dict[str, Callable[[], Array]] = {
    "astronaut": data.astronaut,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "rocket": data.rocket,
}


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape)


def as_bytes(image: Array) -> Array:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def smoothed(values: Array) -> Array:
    """Filtered by (1, 2, 1) / 4 along both axes."""
    taps = np.array([1, 2, 1]) / 4
    return np.asarray(cv2.sepFilter2D(values, -1, taps, taps))


@pytest.mark.parametrize("sigma", [3, 10, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_noise_is_no_grain(sigma: float, channels: int) -> None:
    found = estimate_noise(as_bytes(128 + sigma * noise(256, 256, channels)))
    assert not found.is_grain
    assert found.level == mean_sigma(found.channels) == pytest.approx(sigma, rel=0.03)


def test_smoothed_noise_is_measured_where_it_is() -> None:
    """Against the expected energy of every coefficient: (B R B^T)_nn (B R B^T)_mm, R the noise's autocovariance."""
    lags = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
    covariance = np.select([lags == 0, lags == 1, lags == 2], [6, 4, 1]) / 16
    basis = dct_basis(16, dtype=torch.float64, device=torch.device("cpu")).numpy()
    line = np.diag(basis @ covariance @ basis.T)
    distance = np.hypot.outer(np.arange(16), np.arange(16))
    expected = 20 * math.sqrt(np.outer(line, line)[(distance >= 5) & (distance < 8)].mean())
    found = estimate_noise(0.5 + 20 / 255 * smoothed(noise(400, 400)))
    assert found.is_grain
    assert found.level == pytest.approx(expected, rel=0.06)
    assert found.channels[0] < 0.2 * expected


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("sigma", [0, 5, 15])
def test_structure_is_no_grain(name: str, sigma: float) -> None:
    photo = PHOTOS[name]()
    assert not estimate_noise(as_bytes(photo + sigma * noise(*photo.shape))).is_grain
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    assert not estimate_noise(as_bytes(gray + sigma * noise(*gray.shape))).is_grain


@pytest.mark.parametrize("name", PHOTOS)
def test_grain_of_photos_is_found(name: str) -> None:
    photo = PHOTOS[name]()
    grain = 20 * smoothed(noise(*photo.shape))
    found, alone = (estimate_noise(as_bytes(image + grain)) for image in (photo, np.full_like(photo, 128)))
    assert found.is_grain
    assert found.level == pytest.approx(alone.level, rel=0.35)


def test_noise_that_jpeg_took_from_the_colours_counts_as_luma() -> None:
    """Halved and quantised colours hold less of it: as the mean of the channels it would be half as strong."""
    noisy = as_bytes(128 + 15 * noise(256, 256, 3))
    found = estimate_noise(encode_jpeg(noisy, 90))
    assert found.is_grain
    assert found.level == pytest.approx(1.25 * 15, rel=0.1)
    assert mean_sigma(found.channels) < 0.8 * 15


@pytest.mark.parametrize("sigmas", [(0, 0, 30), (30, 0, 0), (10, 25, 40)])
def test_channels_of_their_own_noise_are_no_grain(sigmas: tuple[float, float, float]) -> None:
    found = estimate_noise(as_bytes(128 + noise(256, 256, 3) * sigmas))
    assert not found.is_grain
    assert found.level == pytest.approx(mean_sigma(sigmas), rel=0.05)


def test_equal_channels_are_one_image() -> None:
    gray = as_bytes(128 + 20 * smoothed(noise(256, 256)))
    found = [estimate_noise(image) for image in (gray, gray[..., None], np.repeat(gray[..., None], 3, axis=2))]
    assert found[0].is_grain
    assert found[0].level == found[1].level == found[2].level


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint16, 257.0), (np.float32, 1 / 255)])
def test_the_type_does_not_matter(dtype: Any, scale: float) -> None:
    image = as_bytes(128 + 20 * smoothed(noise(256, 256, 3)))
    found, same = estimate_noise((image * scale).astype(dtype)), estimate_noise(image)
    assert found.is_grain
    assert same.is_grain
    assert found.level == pytest.approx(same.level, rel=1e-3)


@pytest.mark.parametrize("shape", [(8, 8), (15, 300, 3), (24, 24, 3), (1, 1), (3, 40, 3)])
def test_images_too_small_to_tell_hold_none(shape: tuple[int, ...]) -> None:
    found = estimate_noise(as_bytes(128 + 30 * smoothed(noise(*shape))))
    assert not found.is_grain
    assert found.level == mean_sigma(found.channels)


def test_flat_images_hold_none() -> None:
    found = estimate_noise(np.full((64, 64, 3), 200, np.uint8))
    assert found.level == pytest.approx(0, abs=1e-3)
    assert not found.is_grain


def test_clipped_blocks_are_left_out_in_any_channel() -> None:
    blocks = np.full((4, 3, 16, 16), 0.5, np.float32)
    blocks[1, 2, :1] = 0  # a sixteenth of the pixels is black in one channel
    blocks[2, 0, 0, :12] = 1  # fewer than a twentieth
    assert len(unclipped(blocks, least=1)) == 3
    assert len(unclipped(blocks, least=4)) == 4


def test_blocks_are_spread_over_the_image() -> None:
    image = np.arange(100 * 120, dtype=np.uint16).reshape(100, 120)
    corners = overlapping_blocks(image, 8, most=500)[:, 0, 0] * 65535
    rows, columns = np.divmod(np.rint(corners).astype(int), 120)
    assert rows.max() > 84
    assert columns.max() > 104
    assert len(set(rows % 8)) == len(set(columns % 8)) == 8
    assert 200 < len(corners) <= 500


def test_transform_of_blocks() -> None:
    basis = dct_basis(16, dtype=torch.float32, device=torch.device("cpu")).numpy()
    blocks = noise(5, 16, 16).astype(np.float32)
    np.testing.assert_allclose(basis @ basis.T, np.eye(16), atol=1e-6)
    np.testing.assert_allclose(block_dct(blocks), basis @ blocks @ basis.T, atol=1e-5)


@pytest.mark.parametrize("count", [30, 200])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_quantiles(count: int, share: float) -> None:
    assert _chi_square_quantile(share, count) == pytest.approx(chi2.ppf(share, count) / count, rel=0.003)


def test_auto_removes_grain() -> None:
    """What high frequencies show would leave nearly all of it."""
    photo = data.astronaut()[:256, 128:384]
    grainy = as_bytes(photo + 30 * smoothed(noise(*photo.shape)))
    restorer = vheatir.Restorer("denoise", device="cpu")
    errors = [
        float(np.mean(np.square(restorer.restore(grainy, sigma=sigma).astype(float) - photo)))
        for sigma in ("auto", mean_sigma(estimate_noise(grainy).channels))
    ]
    assert errors[0] < 0.5 * errors[1]
