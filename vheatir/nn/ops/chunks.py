"""Work that treats every position alike, a few positions at a time, so that what lies between stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from vheatir.nn.ops.inplace import is_plain_inference

__all__ = ["in_chunks"]

#: values of a map that each thread works on at a time: a megabyte of float32
_VALUES: Final = 2**18


def in_chunks(function: Callable[..., Tensor], *maps: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ``function(*maps)`` for a function of single positions, in chunks where that pays.

    It pays on a CPU outside of autograd: the intermediate maps of the function are never written to memory as wholes.
    The result is the same either way.

    Args:
        function: of as many tensors (..., C) as there are maps, to one of the shape of the last; what it makes of a
            position may depend on that position alone.
        maps: shape (B, H, W, C) each.
        out: a map of the shape of the last, one of them or another, that is no longer needed: the result may be written
            into it.

    Returns:
        Shape of the last map.
    """
    *_, last = maps
    if not is_plain_inference() or last.device.type != "cpu":
        return function(*maps)
    positions = max(1, _VALUES * torch.get_num_threads() // last.shape[-1])
    rows = [x.reshape(-1, x.shape[-1]) for x in maps]
    if out is None or out.dtype != last.dtype or not out.is_contiguous():
        out = torch.empty_like(last, memory_format=torch.contiguous_format)
    result = out.view(rows[-1].shape)
    for start in range(0, len(result), positions):
        part = slice(start, start + positions)
        result[part] = function(*(row[part] for row in rows))
    return out
