"""Chunks of positions: the same result, without whole maps in between."""

from __future__ import annotations

import pytest
import torch
from heat_layers import random_map
from torch import Tensor

from vheatir.archs import VHeatIR
from vheatir.ops import chunks, in_chunks


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
        torch.testing.assert_close(network(x, level), whole, rtol=0, atol=1e-5)
