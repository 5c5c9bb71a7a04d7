"""The heat equation itself: what conduction over an insulated rectangle must do, whatever k is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch
from heat_layers import random_map
from torch import Tensor

from vheatir.nn.heat import heat_conduction, heat_decay, interpolate_spectrum, squared_frequencies

CPU = torch.device("cpu")
SIZES = [(1, 1), (1, 7), (5, 1), (2, 3), (8, 8), (13, 6), (33, 65)]


def uniform(k: float, height: int, width: int, channels: int = 1) -> Tensor:
    return torch.full((height, width, channels), k, dtype=torch.float64)


def impulse(height: int, width: int, row: int, column: int) -> Tensor:
    u = torch.zeros(1, height, width, 1, dtype=torch.float64)
    u[0, row, column, 0] = 1
    return u


def gaussian(size: int, centre: float, k: float) -> Tensor:
    """Temperature at the pixels of a line that was heated at one point k pixels² ago."""
    distance = torch.arange(size, dtype=torch.float64) - centre
    return torch.exp(-distance.square() / (4 * k)) / math.sqrt(4 * math.pi * k)


def test_squared_frequencies_by_hand() -> None:
    expected = [[0, 1 / 9, 4 / 9], [1 / 4, 1 / 4 + 1 / 9, 1 / 4 + 4 / 9]]
    actual = squared_frequencies(2, 3, dtype=torch.float64, device=CPU)
    torch.testing.assert_close(actual, math.pi**2 * torch.tensor(expected, dtype=torch.float64))


def test_decay_by_hand() -> None:
    k = torch.tensor([[[0.0, 1.0]], [[0.0, 1.0]]], dtype=torch.float64)  # (2, 1, 2)
    expected = torch.tensor([[[1.0, 1.0]], [[1.0, math.exp(-(math.pi**2) / 4)]]], dtype=torch.float64)
    torch.testing.assert_close(heat_decay(k), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [0.0, 1e-30, 1e-3, 1.0, 1e6, 1e30])
def test_decay_lies_between_0_and_1_and_is_1_at_the_mean(k: float, dtype: torch.dtype) -> None:
    decay = heat_decay(torch.full((65, 33, 1), k, dtype=dtype))
    assert decay.dtype == dtype
    assert decay[0, 0, 0] == 1
    assert decay.min() >= 0
    assert decay.max() <= 1


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_the_formula_evaluated_by_scipy(height: int, width: int) -> None:
    u, k = random_map(2, height, width, 3), 5 * random_map(height, width, 3, seed=1)
    rows, columns = np.pi * np.arange(height) / height, np.pi * np.arange(width) / width
    decay = np.exp(-k.numpy() * (rows[:, None, None] ** 2 + columns[None, :, None] ** 2))
    coefficients = scipy.fft.dctn(u.numpy(), axes=(1, 2), norm="ortho") * decay
    expected = torch.from_numpy(scipy.fft.idctn(coefficients, axes=(1, 2), norm="ortho"))
    torch.testing.assert_close(heat_conduction(u, heat_decay(k)), expected, rtol=0, atol=1e-10)


def test_conducting_twice_is_conducting_for_the_sum() -> None:
    u = random_map(2, 9, 14, 3)
    k1, k2 = 2 * random_map(9, 14, 3, seed=1), 3 * random_map(9, 14, 3, seed=2)
    twice = heat_conduction(heat_conduction(u, heat_decay(k1)), heat_decay(k2))
    torch.testing.assert_close(twice, heat_conduction(u, heat_decay(k1 + k2)), rtol=0, atol=1e-12)


def test_without_conductivity_nothing_happens() -> None:
    u = random_map(2, 7, 12, 3)
    torch.testing.assert_close(heat_conduction(u, heat_decay(uniform(0.0, 7, 12, 3))), u, rtol=0, atol=1e-12)


def test_after_a_long_time_only_the_mean_is_left() -> None:
    u = random_map(2, 7, 12, 3)
    mean = u.mean(dim=(1, 2), keepdim=True).expand_as(u)
    torch.testing.assert_close(heat_conduction(u, heat_decay(uniform(1e5, 7, 12, 3))), mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_heat_is_conserved_and_energy_never_grows(height: int, width: int) -> None:
    u = random_map(2, height, width, 3) - 0.4
    k = 4 * random_map(height, width, 3, seed=1)
    energy = u.square().sum(dim=(1, 2))
    for times in (0.1, 1, 10):
        conducted = heat_conduction(u, heat_decay(times * k))
        torch.testing.assert_close(conducted.mean(dim=(1, 2)), u.mean(dim=(1, 2)), rtol=0, atol=1e-12)
        assert (conducted.square().sum(dim=(1, 2)) <= energy * (1 + 1e-12)).all()
        energy = conducted.square().sum(dim=(1, 2))  # a longer time never leaves more


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_constant_temperatures_stay(height: int, width: int) -> None:
    u = torch.tensor([0.3, -7.0, 1e3], dtype=torch.float64).expand(2, height, width, 3)
    conducted = heat_conduction(u, heat_decay(9 * random_map(height, width, 3)))
    torch.testing.assert_close(conducted, u, rtol=1e-12, atol=1e-12)


def test_an_impulse_in_the_open_becomes_a_gaussian() -> None:
    k = 3.0
    conducted = heat_conduction(impulse(65, 71, 32, 35), heat_decay(uniform(k, 65, 71)))
    expected = gaussian(65, 32, k)[:, None] * gaussian(71, 35, k)
    torch.testing.assert_close(conducted[0, :, :, 0], expected, rtol=0, atol=1e-12)


def test_the_edges_are_insulated() -> None:
    """Near a corner the Gaussian is joined by its mirror images behind the two edges, half a pixel outside."""
    k = 3.0
    conducted = heat_conduction(impulse(65, 71, 1, 68), heat_decay(uniform(k, 65, 71)))
    rows = gaussian(65, 1, k) + gaussian(65, -2, k)
    columns = gaussian(71, 68, k) + gaussian(71, 73, k)
    torch.testing.assert_close(conducted[0, :, :, 0], rows[:, None] * columns, rtol=0, atol=1e-12)


def test_the_same_conductivity_blurs_alike_at_every_resolution() -> None:
    """k depends on frequency here, so that a spectrum read at the wrong frequencies blurs otherwise."""
    nodes = 0.5 + 3 * random_map(9, 9, 1)

    def blob(height: int, width: int) -> Tensor:
        row, column = height // 2, width // 2
        decay = heat_decay(interpolate_spectrum(nodes, height, width))
        conducted = heat_conduction(impulse(height, width, row, column), decay)
        return conducted[0, row - 6 : row + 7, column - 6 : column + 7, 0]

    reference = blob(160, 160)
    for height, width in ((40, 40), (41, 64), (96, 33)):
        assert (blob(height, width) - reference).abs().max() < 0.01 * reference.max()


@pytest.mark.parametrize(("height", "width"), [(1, 5), (6, 9), (16, 16)])
def test_a_map_and_its_mirror_image_side_by_side_conduct_as_the_map_alone(height: int, width: int) -> None:
    """No heat crosses the line between mirror images, so a rectangle of twice the side must do the very same."""
    nodes, u = 3 * random_map(6, 6, 2), random_map(2, height, width, 2)
    mirrored = torch.cat((u, u.flip(1)), dim=1)
    mirrored = torch.cat((mirrored, mirrored.flip(2)), dim=2)
    alone = heat_conduction(u, heat_decay(interpolate_spectrum(nodes, height, width)))
    together = heat_conduction(mirrored, heat_decay(interpolate_spectrum(nodes, 2 * height, 2 * width)))
    torch.testing.assert_close(together[:, :height, :width], alone, rtol=0, atol=1e-12)


def test_images_of_a_batch_do_not_touch() -> None:
    u, k = random_map(3, 5, 8, 2), random_map(3, 5, 8, 2, seed=1)
    together = heat_conduction(u, heat_decay(k))  # a conductivity for each image
    for index in range(3):
        alone = heat_conduction(u[index : index + 1], heat_decay(k[index]))
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-7), (torch.float32, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 2e-2)],
)
@pytest.mark.parametrize("k", [0.005, 2.0])
def test_every_dtype_comes_back_close_to_float64(dtype: torch.dtype, tolerance: float, k: float) -> None:
    """The small k too: exp(-k w²) written as exp(-w²) ** k would lose the high frequencies in half precision."""
    u = random_map(2, 21, 34, 3)
    exact = heat_conduction(u, heat_decay(uniform(k, 21, 34, 3)))
    actual = heat_conduction(u.to(dtype), heat_decay(uniform(k, 21, 34, 3).float()))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), exact, rtol=0, atol=tolerance)


def test_bright_maps_do_not_overflow_float16() -> None:
    """The mean's coefficient is 2000 * 64, beyond float16's 65504."""
    u = torch.full((1, 64, 64, 1), 2000.0, dtype=torch.float16)
    conducted = heat_conduction(u, heat_decay(torch.ones(64, 64, 1)))
    torch.testing.assert_close(conducted, u, rtol=1e-3, atol=0)


def test_gradients_match_finite_differences() -> None:
    def conduct(u: Tensor, nodes: Tensor) -> Tensor:
        return heat_conduction(u, heat_decay(interpolate_spectrum(nodes, 3, 4)))

    u = random_map(2, 3, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(conduct, (u, random_map(3, 3, 2, seed=1).requires_grad_()))
    assert torch.autograd.gradcheck(conduct, (u, random_map(2, 3, 3, 2, seed=2).requires_grad_()))
