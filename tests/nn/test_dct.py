from __future__ import annotations

import math

import pytest
import scipy.fft
import torch
from heat_layers import random_map
from torch import Tensor

from vheatir.nn.heat import dct2, dct_basis, idct2

CPU = torch.device("cpu")


def scipy_dct2(x: Tensor) -> Tensor:
    return torch.from_numpy(scipy.fft.dctn(x.double().numpy(), axes=(1, 2), norm="ortho"))


def scipy_idct2(x: Tensor) -> Tensor:
    return torch.from_numpy(scipy.fft.idctn(x.double().numpy(), axes=(1, 2), norm="ortho"))


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())


def test_bases_by_hand() -> None:
    a, b = math.sqrt(1 / 2), math.sqrt(1 / 6)
    third = math.sqrt(1 / 3)
    expected = {
        1: [[1.0]],
        2: [[a, a], [a, -a]],
        3: [[third, third, third], [a, 0.0, -a], [b, -2 * b, b]],
    }
    for size, rows in expected.items():
        basis = dct_basis(size, dtype=torch.float64, device=CPU)
        torch.testing.assert_close(basis, torch.tensor(rows, dtype=torch.float64), rtol=0, atol=1e-15)


def test_equals_scipy_in_float64_at_every_size_from_1_to_65() -> None:
    for height in range(1, 66):
        x = random_map(2, height, 66 - height, 2, seed=height) - 0.3
        torch.testing.assert_close(dct2(x), scipy_dct2(x), rtol=0, atol=1e-10)
        torch.testing.assert_close(idct2(x), scipy_idct2(x), rtol=0, atol=1e-10)
        torch.testing.assert_close(idct2(dct2(x)), x, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 65), (64, 64), (128, 48), (31, 200)])
def test_equals_scipy_in_float32(height: int, width: int) -> None:
    x = random_map(2, height, width, 3, dtype=torch.float32)
    forward, inverse = dct2(x), idct2(x)
    assert forward.dtype == inverse.dtype == torch.float32
    assert relative_error(forward, scipy_dct2(x)) < 1e-5
    assert relative_error(inverse, scipy_idct2(x)) < 1e-5


def test_strided_maps_are_read_where_they_lie() -> None:
    x = random_map(2, 3, 5, 8).permute(0, 2, 3, 1)  # a view of (B, C, H, W), as in the network
    torch.testing.assert_close(dct2(x), scipy_dct2(x), rtol=0, atol=1e-10)
    torch.testing.assert_close(idct2(x), scipy_idct2(x), rtol=0, atol=1e-10)


def test_a_cosine_has_one_coefficient() -> None:
    height, width, n, m = 6, 9, 2, 5
    rows = torch.cos(math.pi * n * (2 * torch.arange(height, dtype=torch.float64) + 1) / (2 * height))
    columns = torch.cos(math.pi * m * (2 * torch.arange(width, dtype=torch.float64) + 1) / (2 * width))
    expected = torch.zeros(1, height, width, 1, dtype=torch.float64)
    expected[0, n, m, 0] = math.sqrt(height * width) / 2
    torch.testing.assert_close(dct2((rows[:, None] * columns)[None, :, :, None]), expected, rtol=0, atol=1e-13)


def test_long_bases_stay_exact() -> None:
    """Cosine n is even or odd about the middle of the signal, to the last digit even after a thousand half-turns."""
    size = 1024
    basis = dct_basis(size, dtype=torch.float64, device=CPU)
    sign = 1 - 2 * (torch.arange(size, dtype=torch.float64) % 2)
    torch.testing.assert_close(basis.flip(1), sign[:, None] * basis, rtol=0, atol=1e-15)


def test_cosines_are_evaluated_in_float64_whatever_the_dtype() -> None:
    exact = dct_basis(512, dtype=torch.float64, device=CPU)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(dct_basis(512, dtype=dtype, device=CPU), exact.to(dtype))


def test_the_lowest_frequencies_are_the_first_rows() -> None:
    whole = dct_basis(12, dtype=torch.float64, device=CPU)
    assert torch.equal(dct_basis(12, 5, dtype=torch.float64, device=CPU), whole[:5])


def test_gradients_match_finite_differences() -> None:
    x = random_map(2, 3, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(dct2, x)
    assert torch.autograd.gradcheck(idct2, x)
