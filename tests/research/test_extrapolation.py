"""Linear extrapolation against fields made by another route."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import expm
from torch import Tensor

from vheatir.research.pretrain.extrapolation import (
    SOURCES,
    Source,
    block_source,
    extrapolate,
    extrapolate_axis,
    matrix_powers,
)
from vheatir.research.pretrain.network import HeatExtrapolation
from vheatir.research.pretrain.report import commutator_norm, heat_report, steady_state_matrix, summary

RULES: list[list[Source]] = [*([source] for source in SOURCES), list(SOURCES)]


def planted(channels: int = 5, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Commuting A and B that are neither normal nor alike: B is a polynomial of A."""
    a = np.random.default_rng(seed).normal(size=(channels, channels)) * 0.1 - 0.05 * np.eye(channels)
    return a, 0.5 * a - 0.8 * a @ a + 0.03 * np.eye(channels)


def linear_field(
    a: NDArray[np.float64], b: NDArray[np.float64], height: int, width: int, *, batch: int = 2
) -> NDArray[np.float64]:
    """z(x, y) = expm(x A + y B) z(0, 0), shape (batch, C, height, width), position by position."""
    start = np.random.default_rng(1).normal(size=(len(a), batch))
    field = [[expm(x * a + y * b) @ start for x in range(width)] for y in range(height)]
    return np.array(field).transpose(3, 2, 0, 1)


def tensor(array: NDArray[np.float64], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(array).to(dtype)


@pytest.mark.parametrize("sources", RULES, ids="+".join)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_planted_field_is_recovered(sources: list[Source], dtype: torch.dtype, tolerance: float) -> None:
    a, b = planted()
    field = tensor(linear_field(a, b, 12, 16), dtype)
    step_x, step_y = tensor(expm(a), dtype), tensor(expm(b), dtype)
    found = extrapolate(field[..., :6, :8], step_x, step_y, sources)
    assert float((found - field).norm() / field.norm()) < tolerance
    assert (found - field).abs().max() < tolerance * field.abs().max()
    swapped = extrapolate(field[..., :6, :8], step_y, step_x, sources)
    assert float((swapped - field).norm() / field.norm()) > 0.1


@pytest.mark.parametrize("sources", RULES, ids="+".join)
def test_a_field_of_euler_steps_is_recovered(sources: list[Source]) -> None:
    """z(x + 1) = (I + A) z(x), step after step."""
    a, b = planted()
    step_x, step_y = np.eye(5) + a, np.eye(5) + b
    rows = [np.random.default_rng(2).normal(size=5)]
    for _ in range(7):
        rows.append(step_y @ rows[-1])
    columns = [np.array(rows)]
    for _ in range(9):
        columns.append(columns[-1] @ step_x.T)
    field = tensor(np.array(columns)).permute(2, 1, 0)[None]  # (1, C, 8, 10)
    found = extrapolate(field[..., :4, :5], tensor(step_x), tensor(step_y), sources)
    torch.testing.assert_close(found, field, rtol=1e-11, atol=1e-12)


def test_powers() -> None:
    matrix = tensor(planted()[0])
    for count in (1, 2, 3, 8, 13):
        found = matrix_powers(matrix, count)
        expected = np.stack([np.linalg.matrix_power(matrix.numpy(), n) for n in range(count)])
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-15)


def test_sources() -> None:
    """Of a block of 4, for the positions 4 to 7."""
    expected = {"nearest": [3, 3, 3, 3], "mirrored": [3, 2, 1, 0], "corresponding": [0, 1, 2, 3]}
    assert {source: [block_source(n, 4, source) for n in range(4, 8)] for source in SOURCES} == expected


def test_sources_are_where_the_predictions_come_from() -> None:
    """Steps of 2: position 2 of a block of two is 2^Δ times its source."""
    block = torch.tensor([3.0, 5.0]).reshape(1, 1, 1, 2)
    step = torch.tensor([[2.0]])
    expected = {"nearest": [10.0, 20.0], "mirrored": [10.0, 24.0], "corresponding": [12.0, 20.0]}
    for source in SOURCES:
        assert extrapolate_axis(block, step, [source]).flatten().tolist() == [3.0, 5.0, *expected[source]]
    assert extrapolate_axis(block, step, ["mirrored", "corresponding"]).flatten().tolist() == [3.0, 5.0, 11.0, 22.0]


def test_gradient() -> None:
    a, b = (0.5 * tensor(matrix) for matrix in planted(3))
    block = torch.randn(1, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = [part.requires_grad_() for part in (block, torch.matrix_exp(a), torch.matrix_exp(b))]

    def predict(block: Tensor, step_x: Tensor, step_y: Tensor) -> Tensor:
        return extrapolate(block, step_x, step_y, ["mirrored", "nearest"])

    assert torch.autograd.gradcheck(predict, inputs)


# The learned matrices


def learned(channels: int, *, scale: float, sources: tuple[Source, ...] = ("nearest",)) -> HeatExtrapolation:
    """Parameters as far from the start as ``scale`` says."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = HeatExtrapolation(channels, sources)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=scale)
    return module


@pytest.mark.parametrize("channels", [1, 2, 7, 8])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_learned_matrices_commute_and_let_nothing_grow(channels: int, scale: float) -> None:
    module = learned(channels, scale=scale).double()
    a, b = (matrix.detach() for matrix in module.generators())
    assert commutator_norm(a, b) < 1e-12
    for generator in (a, b):
        powers = matrix_powers(torch.matrix_exp(generator), 300)[1:]
        assert torch.linalg.matrix_norm(powers, ord=2).max() <= 1 + 1e-9
        assert torch.linalg.eigvals(generator).real.max() < 0


def test_learned_matrices_recover_their_own_field() -> None:
    module = learned(6, scale=0.3, sources=SOURCES).double()
    a, b = (matrix.detach().numpy() for matrix in module.generators())
    field = tensor(linear_field(a, b, 8, 8), torch.float32)
    found = module.float()(field[..., :4, :4])
    assert (found - field).abs().max() < 1e-5 * field.abs().max()


def test_extrapolation_stays_in_float32_under_autocast() -> None:
    module = learned(4, scale=0.3)
    block = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(block)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, module(block.float()), rtol=0, atol=0)


def test_gradients_stay_finite_over_long_ways() -> None:
    module = learned(8, scale=1.0)
    block = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    module(block).square().sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("sources", [[], ["nearest", "middle"]])
def test_unknown_sources(sources: list[Source]) -> None:
    with pytest.raises(ValueError, match="sources is a list of nearest, mirrored, corresponding, not"):
        HeatExtrapolation(4, sources)


# S


def test_steady_state_matrix() -> None:
    """z_xx + S z_yy = A² z + S B² z = 0 for every z; A = 2B gives S = -4."""
    a, b = (tensor(matrix) for matrix in planted())
    start = torch.ones(5, dtype=torch.float64)
    torch.testing.assert_close(a @ a @ start + steady_state_matrix(a, b) @ b @ b @ start, torch.zeros_like(start))
    torch.testing.assert_close(steady_state_matrix(2 * b, b), -4 * torch.eye(5, dtype=torch.float64))


def test_report() -> None:
    """A turn along x and decay along y make the isotropic heat equation: S = 1."""
    turn = torch.tensor([[0.0, -0.5], [0.5, 0.0]])
    report = heat_report(turn, -0.5 * torch.eye(2))
    assert report["commutator"] == 0
    assert report["S"]["norm"] == pytest.approx(2**0.5)
    np.testing.assert_allclose(report["S"]["eigenvalues"], [[1, 0], [1, 0]])
    np.testing.assert_allclose(report["A"]["eigenvalues"], [[0, -0.5], [0, 0.5]], atol=1e-15)
    assert "norm 1.41" in summary(report)
    assert "2 of 2 positive" in summary(report)
    crossed = heat_report(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert crossed["commutator"] == pytest.approx(1 / 5**0.5)
