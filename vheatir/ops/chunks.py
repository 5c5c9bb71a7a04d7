"""Work that treats every position alike, a few positions at a time, so that what lies between stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

__all__ = ["in_chunks"]

#: values of a map that each thread works on at a time: a megabyte of float32
_VALUES: Final = 2**18


def in_chunks(function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Return ``function(*maps)`` for a function of single positions, in chunks where that pays.

    It pays on a CPU outside of autograd: the intermediate maps of the function are never written to memory as wholes.
    The result is the same either way.

    Args:
        function: of as many tensors (N, C) as there are maps, to one (N, C); row n of its result may depend on row n of
            its arguments alone.
        maps: shape (B, H, W, C) each, of one dtype.

    Returns:
        Shape (B, H, W, C).
    """
    first = maps[0]
    positions = max(1, _VALUES * torch.get_num_threads() // first.shape[-1])
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or first.device.type != "cpu":
        return function(*maps)
    rows = [x.reshape(-1, x.shape[-1]) for x in maps]
    if len(rows[0]) <= positions:
        return function(*rows).view(*first.shape[:-1], -1)
    result: Tensor | None = None
    for start in range(0, len(rows[0]), positions):
        part = function(*(row[start : start + positions] for row in rows))
        if result is None:
            result = part.new_empty(len(rows[0]), part.shape[-1])
        result[start : start + positions] = part
    assert result is not None
    return result.view(*first.shape[:-1], -1)
