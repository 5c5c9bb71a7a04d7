"""Products by oneDNN: those of torch, where they are used and where they are not."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vheatir.nn.ops import Linear, add_into, linear
from vheatir.nn.ops.linear import left_product, prefers_onednn

X86 = platform.machine().lower() in ("x86_64", "amd64")


def _random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 4, 5), (2, 3, 7, 5), (0, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_map_in_float64(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(5, 9, bias=bias)
    x = _random(*shape)
    expected = x.double() @ layer.weight.detach().double().T + (layer.bias.detach().double() if bias else 0)
    with torch.no_grad():
        product = layer(x)
    assert product.dtype == torch.float32
    torch.testing.assert_close(product.double(), expected, rtol=0, atol=1e-6)


def test_positions_that_do_not_lie_in_order() -> None:
    layer, x = Linear(4, 4), _random(2, 6, 3, 8).transpose(1, 2)[..., 2:6]
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), F.linear(x.contiguous(), layer.weight, layer.bias), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (3, 3, 40), (64, 64, 100), (7, 5, 300)])
def test_a_product_from_the_left(rows: int, inner: int, columns: int) -> None:
    matrix, x = _random(rows, inner), _random(inner, columns) + 1
    with torch.no_grad():
        product = left_product(matrix, x)
    torch.testing.assert_close(product.double(), matrix.double() @ x.double(), rtol=0, atol=1e-4)


@pytest.mark.skipif(not X86, reason="elsewhere than on x86 all products are torch's")
def test_where_onednn_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.dtype] = []
    real: Callable[..., Tensor] = linear._onednn_linear

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        calls.append(x.dtype)
        return real(x, weight, bias)

    monkeypatch.setattr(linear, "_onednn_linear", counted)
    layer, x = Linear(4, 4), _random(3, 4)
    assert layer(x).requires_grad
    with torch.no_grad():
        assert layer.double()(x.double()).dtype == torch.float64
        assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
        layer.float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        assert not calls
        layer(x)
    assert calls == [torch.float32]
    assert not prefers_onednn(x.to("meta"))


def test_gradients_are_torchs() -> None:
    torch.manual_seed(0)
    layer, x = Linear(3, 2), _random(4, 3).requires_grad_()
    layer(x).square().sum().backward()
    expected = 2 * (x @ layer.weight.T + layer.bias) @ layer.weight
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected.detach())


def test_sums_are_written_in_place_outside_of_autograd_alone() -> None:
    x, fresh = _random(2, 3), _random(3, 2).T
    expected = x + fresh
    with torch.no_grad():
        half = add_into(fresh.bfloat16(), x)
        assert half.dtype == torch.float32  # in place it would have been rounded
        assert add_into(fresh, x) is fresh
    assert torch.equal(fresh, expected)
    assert add_into(fresh, x) is not fresh
