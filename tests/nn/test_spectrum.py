"""Conduction of the lowest frequencies: against the whole spectrum, and against the bound on what is dropped."""

from __future__ import annotations

import math

import pytest
import torch
from heat_layers import random_layer, random_map, uniform_layer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vheatir.nn.heat import dct2, heat_conduction, heat_decay, idct2, interpolate_spectrum, kept_frequencies

SIZES = [(8, 8), (13, 6), (1, 9), (2, 1)]


def masked(u: Tensor, rows: int, columns: int) -> Tensor:
    """u without its higher frequencies, by the full transforms."""
    spectrum = dct2(u)
    spectrum[:, rows:] = 0
    spectrum[:, :, columns:] = 0
    return idct2(spectrum)


@pytest.mark.parametrize(
    ("size", "ratio", "kept"),
    [(8, 1.0, 8), (8, 0.5, 4), (9, 0.5, 5), (100, 0.07, 7), (100, 0.29, 29), (3, 0.01, 1), (1, 0.5, 1), (10, 0.11, 2)],
)
def test_the_share_is_rounded_up(size: int, ratio: float, kept: int) -> None:
    assert kept_frequencies(size, ratio) == kept


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_all_frequencies_are_the_whole_operator(height: int, width: int) -> None:
    layer, u = random_layer(), random_map(2, height, width, 3)
    size = (height, width)
    decay = heat_decay(interpolate_spectrum(layer.conductivity(), height, width, kept=size), size=size)
    torch.testing.assert_close(heat_conduction(u, decay), layer(u), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_conducts_the_low_frequencies_alone(height: int, width: int, ratio: float) -> None:
    u = random_map(2, height, width, 3)
    rows, columns = math.ceil(ratio * height), math.ceil(ratio * width)
    expected = random_layer()(masked(u, rows, columns))
    torch.testing.assert_close(random_layer(spectrum_ratio=ratio)(u), expected, rtol=0, atol=1e-12)


def test_without_conduction_it_is_the_orthogonal_projection() -> None:
    u, v = random_map(1, 11, 8, 2), random_map(1, 11, 8, 2, seed=1)
    projected, other = (heat_conduction(x, torch.ones(5, 4, 2, dtype=torch.float64)) for x in (u, v))
    torch.testing.assert_close(projected, masked(u, 5, 4), rtol=0, atol=1e-12)
    torch.testing.assert_close(heat_conduction(projected, torch.ones(5, 4, 2)), projected, rtol=0, atol=1e-12)
    torch.testing.assert_close((projected * v).sum(), (u * other).sum(), rtol=0, atol=1e-12)
    assert not torch.allclose(projected, u, atol=0.1)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("k", [0.05, 1.0, 20.0])
def test_what_is_dropped_is_bounded(ratio: float, k: float) -> None:
    """Parseval: at most exp(-k w_K^2) of the norm, and almost as much for the lowest wave that is dropped."""
    size = 16
    kept = math.ceil(ratio * size)
    bound = math.exp(-k * (math.pi * kept / size) ** 2)
    u = random_map(3, size, size, 1)
    error = uniform_layer(k)(u) - uniform_layer(k, spectrum_ratio=ratio)(u)
    assert error.norm() <= bound * u.norm() + 1e-12
    wave = torch.cos(math.pi * kept / size * (torch.arange(size, dtype=torch.float64) + 0.5))
    u = wave[None, :, None, None].expand(1, -1, size, 1)
    error = uniform_layer(k)(u) - uniform_layer(k, spectrum_ratio=ratio)(u)
    torch.testing.assert_close(error.norm(), bound * u.norm(), rtol=1e-9, atol=1e-12)


def test_long_diffusion_lengths_lose_nothing() -> None:
    """The bound at k = 50 and half of the frequencies is 3e-54."""
    u = random_map(1, 16, 16, 1)
    torch.testing.assert_close(uniform_layer(50.0, spectrum_ratio=0.5)(u), uniform_layer(50.0)(u), rtol=0, atol=1e-12)


def test_high_frequencies_survive_the_residual_step() -> None:
    layer, u = random_layer(residual=True, spectrum_ratio=0.25), random_map(1, 8, 12, 3)
    gain = layer.operator.gain
    assert gain is not None
    torch.testing.assert_close(
        layer(u) - masked(layer(u), 2, 3), (1 - gain) * (u - masked(u, 2, 3)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_the_transforms_cost_as_much_less(ratio: float) -> None:
    """H x W x C through K x H and K x L: r H^2 W C and r^2 H W^2 C, there and back."""
    height, width, channels = 16, 24, 3
    u, decay = torch.zeros(1, height, width, channels), torch.zeros(int(ratio * height), int(ratio * width), channels)
    with FlopCounterMode(display=False) as counter:
        heat_conduction(u, decay)
    expected = 2 * channels * (ratio * height**2 * width + ratio**2 * height * width**2)
    assert counter.get_total_flops() // 2 == expected


def test_half_precision_sums_in_single_precision() -> None:
    """The mean's coefficient is 100 sqrt(128 * 1024) here, near 36000, where float16 counts by 32."""
    u = 100 + random_map(1, 128, 1024, 1)
    decay = torch.ones(13, 103, 1)
    torch.testing.assert_close(heat_conduction(u.half(), decay).double(), heat_conduction(u, decay), rtol=0, atol=0.1)


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.5, math.nan])
def test_shares_outside_the_range_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="spectrum_ratio is a share of the frequencies, more than 0 and at most 1, no"):
        random_layer(spectrum_ratio=ratio)
