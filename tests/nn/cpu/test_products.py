"""Products by oneDNN, and chunks of positions: the results of torch, where they are used and where they are not."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from heat_layers import random_map
from torch import Tensor

from vheatir.nn.cpu import products
from vheatir.nn.cpu.products import in_chunks, left_product, linear, prefers_onednn

X86 = platform.machine().lower() in ("x86_64", "amd64")


def _random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 4, 5), (2, 3, 7, 5), (0, 5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_linear_map_in_float64(shape: tuple[int, ...], has_bias: bool) -> None:
    x, weight, bias = _random(*shape), _random(9, 5), _random(9) if has_bias else None
    expected = x.double() @ weight.double().T + (0 if bias is None else bias.double())
    product = linear(x, weight, bias)
    assert product.dtype == torch.float32
    torch.testing.assert_close(product.double(), expected, rtol=0, atol=1e-5)


def test_positions_that_do_not_lie_in_order() -> None:
    x, weight, bias = _random(2, 6, 3, 8).transpose(1, 2)[..., 2:6], _random(4, 4), _random(4)
    with torch.inference_mode():
        torch.testing.assert_close(linear(x, weight, bias), F.linear(x.contiguous(), weight, bias), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (3, 3, 40), (64, 64, 100), (7, 5, 300)])
def test_a_product_from_the_left(rows: int, inner: int, columns: int) -> None:
    matrix, x = _random(rows, inner), _random(inner, columns) + 1
    product = left_product(matrix, x)
    torch.testing.assert_close(product.double(), matrix.double() @ x.double(), rtol=0, atol=1e-4)


@pytest.mark.skipif(not X86, reason="elsewhere than on x86 all products are torch's")
def test_where_onednn_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.dtype] = []
    real: Callable[..., Tensor] = products._onednn_linear

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        calls.append(x.dtype)
        return real(x, weight, bias)

    monkeypatch.setattr(products, "_onednn_linear", counted)
    x, weight = _random(3, 4), _random(4, 4)
    for dtype in (torch.float64, torch.bfloat16):
        assert linear(x.to(dtype), weight.to(dtype), None).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight, None).dtype == torch.bfloat16
    assert not calls
    linear(x, weight, None)
    assert calls == [torch.float32]
    assert not prefers_onednn(x.to("meta"))


@pytest.mark.parametrize("values", [1, 4, 30, 10**6])
def test_chunks_cover_every_position_once(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_VALUES", values)
    a, b = random_map(2, 5, 7, 2, dtype=torch.float64), random_map(2, 5, 7, 4, dtype=torch.float64)
    calls: list[int] = []

    def function(x: Tensor, y: Tensor) -> Tensor:
        calls.append(y[..., 0].numel())
        return x.sum(dim=-1, keepdim=True) * y.square()

    expected = function(a, b)
    result = in_chunks(function, a, b)
    assert torch.equal(result, expected)
    assert sum(calls[1:]) == 70
    assert max(calls[1:]) == min(70, max(1, values * torch.get_num_threads() // 4))


def test_maps_that_do_not_lie_in_order_are_read_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_VALUES", 8)
    x = random_map(1, 6, 4, 3, dtype=torch.float32).permute(0, 2, 1, 3)
    expected = 2 * x
    assert torch.equal(in_chunks(lambda rows: 2 * rows, x), expected)


@pytest.mark.parametrize("which", [0, 1, None])
def test_a_map_that_is_no_longer_needed_takes_the_result(which: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is read: every position is read before it is written."""
    monkeypatch.setattr(products, "_VALUES", 8)
    maps = [random_map(1, 6, 4, 3, dtype=torch.float32) for _ in range(2)]
    spare = torch.full_like(maps[0], torch.nan) if which is None else maps[which]
    expected = 2 * maps[0] + maps[1]
    result = in_chunks(lambda a, b: 2 * a + b, *maps, out=spare)
    assert result is spare
    assert torch.equal(result, expected)


@pytest.mark.parametrize(
    "spare", [torch.zeros(1, 4, 6, 3).permute(0, 2, 1, 3), torch.zeros(1, 6, 4, 3, dtype=torch.bfloat16)]
)
def test_a_map_of_another_kind_does_not(spare: Tensor) -> None:
    x = random_map(1, 6, 4, 3, dtype=torch.float32)
    result = in_chunks(lambda rows: 2 * rows, x, out=spare)
    assert torch.equal(result, 2 * x)
    assert not spare.any()
