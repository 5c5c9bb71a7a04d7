"""Products and chunks: work on single positions, by the faster library, a few positions at a time.

torch computes float32 products by MKL, which keeps AMD processors from their AVX-512 units: half the speed. oneDNN is
part of torch and treats all processors alike; :mod:`torch.compile` calls it by the operator used here.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["in_chunks", "left_product", "linear", "prefers_onednn"]

# asked once: for small images, asking at each product is a noticeable part of the time
_HAS_ONEDNN: Final = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
#: values of a map that each thread works on at a time: a megabyte of float32
_VALUES: Final = 2**18


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``torch.nn.functional.linear``, by the faster library where there are two."""
    if not prefers_onednn(x) or torch.is_autocast_enabled(x.device.type):
        return F.linear(x, weight, bias)
    return _onednn_linear(x, weight, bias)


def left_product(matrix: Tensor, x: Tensor) -> Tensor:
    """``matrix @ x``: matrix (M, N), x (N, K), both contiguous -> (M, K)."""
    return _onednn_linear(matrix, x.mT, None) if prefers_onednn(x) else matrix @ x


def prefers_onednn(x: Tensor) -> bool:
    """Whether products with x are oneDNN's: float32 on an x86 processor."""
    return _HAS_ONEDNN and x.dtype == torch.float32 and x.device.type == "cpu"


def in_chunks(function: Callable[..., Tensor], *maps: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ``function(*maps)`` for a function of single positions, in chunks that stay in the cache.

    Args:
        function: of as many tensors (..., C) as there are maps, to one of the shape of the last; what it makes of a
            position may depend on that position alone.
        maps: shape (B, H, W, C) each.
        out: a map of the shape of the last, one of them or another, that is no longer needed: the result is written
            into it where its type and layout allow.

    Returns:
        Shape of the last map.
    """
    *_, last = maps
    positions = max(1, _VALUES * torch.get_num_threads() // last.shape[-1])
    rows = [x.reshape(-1, x.shape[-1]) for x in maps]
    if out is None or out.dtype != last.dtype or not out.is_contiguous():
        out = torch.empty_like(last, memory_format=torch.contiguous_format)
    result = out.view(rows[-1].shape)
    for start in range(0, len(result), positions):
        part = slice(start, start + positions)
        result[part] = function(*(row[part] for row in rows))
    return out


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product
