"""Chunks of positions: the same result, without whole maps in between."""

from __future__ import annotations

import pytest
import torch
from heat_layers import random_map
from torch import Tensor

from vheatir.nn import VHeatIR
from vheatir.nn.ops import chunks, in_chunks


@pytest.mark.parametrize("values", [1, 4, 30, 10**6])
def test_chunks_cover_every_position_once(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_VALUES", values)
    a, b = random_map(2, 5, 7, 2, dtype=torch.float64), random_map(2, 5, 7, 4, dtype=torch.float64)
    calls: list[int] = []

    def function(x: Tensor, y: Tensor) -> Tensor:
        calls.append(y[..., 0].numel())
        return x.sum(dim=-1, keepdim=True) * y.square()

    expected = function(a, b)
    with torch.no_grad():
        result = in_chunks(function, a, b)
    assert torch.equal(result, expected)
    assert sum(calls[1:]) == 70
    assert max(calls[1:]) == min(70, max(1, values * torch.get_num_threads() // 4))


def test_maps_that_do_not_lie_in_order_are_read_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_VALUES", 8)
    x = random_map(1, 6, 4, 3, dtype=torch.float32).permute(0, 2, 1, 3)
    expected = 2 * x
    with torch.no_grad():
        assert torch.equal(in_chunks(lambda rows: 2 * rows, x), expected)


@pytest.mark.parametrize("which", [0, 1, None])
def test_a_map_that_is_no_longer_needed_takes_the_result(which: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is read: every position is read before it is written."""
    monkeypatch.setattr(chunks, "_VALUES", 8)
    maps = [random_map(1, 6, 4, 3, dtype=torch.float32) for _ in range(2)]
    spare = torch.full_like(maps[0], torch.nan) if which is None else maps[which]
    expected = 2 * maps[0] + maps[1]
    with torch.no_grad():
        result = in_chunks(lambda a, b: 2 * a + b, *maps, out=spare)
    assert result is spare
    assert torch.equal(result, expected)


@pytest.mark.parametrize(
    "spare", [torch.zeros(1, 4, 6, 3).permute(0, 2, 1, 3), torch.zeros(1, 6, 4, 3, dtype=torch.bfloat16)]
)
def test_a_map_of_another_kind_does_not(spare: Tensor) -> None:
    x = random_map(1, 6, 4, 3, dtype=torch.float32)
    with torch.no_grad():
        result = in_chunks(lambda rows: 2 * rows, x, out=spare)
    assert torch.equal(result, 2 * x)
    assert not spare.any()


def test_gradients_go_through_the_whole_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_VALUES", 1)
    x = random_map(1, 3, 3, 2, dtype=torch.float64).requires_grad_()
    shapes = []

    def function(rows: Tensor) -> Tensor:
        shapes.append(rows.shape)
        return rows.pow(3)

    in_chunks(function, x).sum().backward()
    assert shapes == [x.shape]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 3 * x.detach().square())


@pytest.mark.parametrize("options", [{}, {"mlp": "refinement"}, {"mixer": "attention"}, {"mixer": "hcnet"}])
def test_a_network_restores_the_same_in_chunks(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = VHeatIR(embed_dim=12, depths=(2, 2), k_max=20.0, **options).eval()  # type: ignore[arg-type]
    torch.nn.init.normal_(network.conv_last.weight)
    x, level = torch.rand(2, 1, 33, 26), torch.tensor([0.1, 0.2])
    whole = network(x, level).detach()  # with gradients: whole maps
    monkeypatch.setattr(chunks, "_VALUES", 12 * 7)
    with torch.no_grad():
        torch.testing.assert_close(network(x, level), whole, rtol=1e-5, atol=1e-5)  # values up to 8
