"""Muon: orthogonal updates of matrices, AdamW for the rest."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from vheatir.training import muon
from vheatir.training.muon import Muon, orthogonalize


def _matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (32, 576)])
def test_singular_values_are_brought_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = _matrix(*shape)
    result = orthogonalize(matrix)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    in_its_own_frame = u.mT @ result @ vt.mT
    values = torch.diagonal(in_its_own_frame)
    assert float((in_its_own_frame - torch.diag(values)).abs().max()) < 1e-12
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


def test_a_batch_is_orthogonalized_matrix_by_matrix_whatever_its_scale() -> None:
    first, second = _matrix(33, 50, 1), _matrix(33, 50, 2)
    both = orthogonalize(torch.stack((1e-6 * first, 1e4 * second)))
    torch.testing.assert_close(both[0], orthogonalize(first), rtol=0, atol=1e-5)
    torch.testing.assert_close(both[1], orthogonalize(second), rtol=0, atol=1e-9)


def test_weak_directions_are_raised_far_above_their_share() -> None:
    """Values from 1 to 0.001, as momenta have them; with the norm of X as the bound, a quarter is under 0.35."""
    u, _, vt = torch.linalg.svd(_matrix(64, 64))
    values = torch.linalg.svdvals(orthogonalize(u * torch.logspace(0, -3, 64, dtype=torch.float64) @ vt))
    assert float(values.max()) < 1.3
    assert float(values.quantile(0.25)) > 0.5


def test_no_gradient_direction_gives_no_update() -> None:
    assert torch.equal(orthogonalize(torch.zeros(2, 32, 32)), torch.zeros(2, 32, 32))


def test_what_is_no_matrix_moves_as_under_adamw() -> None:
    shapes = [(7,), (9, 9, 5), (48, 1, 3, 3), (4, 64, 3, 3), (16, 64)]
    ours = [nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1))) for shape in shapes]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    options = {"lr": 3e-3, "betas": (0.9, 0.99), "weight_decay": 0.1}
    optimizers = [Muon(ours, **options), torch.optim.AdamW(theirs, **options)]  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(2)
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


def test_a_matrix_moves_by_the_documented_step() -> None:
    weight = nn.Parameter(_matrix(40, 64).float())
    before = weight.detach().clone()
    optimizer = Muon([weight], lr=0.01, momentum=0.9, weight_decay=0.5)
    momentum = torch.zeros(40, 64)
    expected = before.clone()
    for seed in (3, 4):
        weight.grad = _matrix(40, 64, seed).float()
        momentum = 0.9 * momentum + 0.1 * weight.grad
        direction = orthogonalize(0.1 * weight.grad + 0.9 * momentum)
        expected = expected * (1 - 0.01 * 0.5) - 0.2 * 0.01 * math.sqrt(64) * direction
        optimizer.step()
    moved, wanted = weight.detach() - before, expected - before
    assert float((moved - wanted).norm() / wanted.norm()) < 0.03  # bfloat16


def test_the_root_mean_square_of_an_update_is_a_fifth_of_the_rate() -> None:
    convolution = nn.Conv2d(48, 64, 3)
    before = convolution.weight.detach().clone()
    optimizer = Muon([convolution.weight], lr=1e-3)
    convolution.weight.grad = torch.randn(convolution.weight.shape, generator=torch.Generator().manual_seed(0)) * 1e-5
    optimizer.step()
    update = (convolution.weight.detach() - before).square().mean().sqrt()
    assert float(update) == pytest.approx(0.2e-3, rel=0.25)


def test_a_linear_map_is_learned() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(32, 32) / math.sqrt(32)
    model = nn.Linear(32, 32)
    optimizer = Muon(model.parameters(), lr=0.02)
    losses = []
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 300)
        x = torch.randn(64, 32)
        loss = (model(x) - x @ wanted.mT).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-4 * losses[0]


def test_the_state_is_restored_exactly() -> None:
    def steps(model: nn.Module, optimizer: Muon, seeds: range) -> None:
        for seed in seeds:
            x = torch.randn(8, 40, generator=torch.Generator().manual_seed(seed))
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    torch.manual_seed(0)
    model = nn.Linear(40, 40)
    optimizer = Muon(model.parameters(), lr=0.01)
    steps(model, optimizer, range(3))
    copy = nn.Linear(40, 40)
    copy.load_state_dict(model.state_dict())
    resumed = Muon(copy.parameters(), lr=0.5)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    steps(model, optimizer, range(3, 6))
    steps(copy, resumed, range(3, 6))
    assert torch.equal(model.weight, copy.weight)
    assert torch.equal(model.bias, copy.bias)


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"momentum": 1.0}, {"betas": (0.9, 1.5)}, {"weight_decay": -0.1}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not"):
        Muon([torch.zeros(3, requires_grad=True)], **options)  # type: ignore[arg-type]


# processes that train together


def test_work_is_shared_evenly() -> None:
    """The largest first, to whoever has least: 8 | 7, then 5 to the second, then 4 to the first: 12 each."""
    assert muon._owners([4, 8, 5, 7], 2) == [0, 0, 1, 1]
    assert muon._owners([3, 2, 1], 1) == [0, 0, 0]


def test_two_processes_make_each_matrix_orthogonal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the two hand to the sum adds up to what one would make alone, and no matrix is made by both."""
    monkeypatch.setattr(muon, "computes_bfloat16", lambda _: False)  # whose rounding depends on the batch
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(shape, generator=generator) for shape in ((32, 32), (32, 64), (48, 32), (32, 32), (40, 96))]
    alone = torch.cat([matrix.flatten() for matrix in muon._orthogonalize_together(matrices)])
    handed: list[Tensor] = []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: handed.append(tensor.clone()))
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        muon._orthogonalize_together(matrices)
    first, second = handed
    assert not bool(((first != 0) & (second != 0)).any())
    torch.testing.assert_close(first + second, alone, rtol=0, atol=1e-5)
