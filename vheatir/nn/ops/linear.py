"""Products with small matrices in float32 on a processor: oneDNN's, which torch itself uses for other dtypes only.

torch computes float32 products by MKL, which keeps AMD processors from their AVX-512 units: half the speed. oneDNN is
part of torch and treats all processors alike; :mod:`torch.compile` calls it by the operator used here.
"""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.ops.inplace import is_plain_inference

__all__ = ["Linear", "left_product", "prefers_onednn"]

_IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


class Linear(nn.Linear):
    """``torch.nn.Linear``, by the faster library where there are two; weights and results are the same."""

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        if not prefers_onednn(x) or torch.is_autocast_enabled(x.device.type):
            return F.linear(x, self.weight, self.bias)
        return _onednn_linear(x, self.weight, self.bias)


def left_product(matrix: Tensor, x: Tensor) -> Tensor:
    """``matrix @ x`` outside of autograd: matrix (M, N), x (N, K), both contiguous -> (M, K)."""
    return _onednn_linear(matrix, x.mT, None) if prefers_onednn(x) else matrix @ x


def prefers_onednn(x: Tensor) -> bool:
    """Whether products with x are oneDNN's: float32 on an x86 processor, outside of autograd and of compilers."""
    return (
        _IS_X86
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and is_plain_inference()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
