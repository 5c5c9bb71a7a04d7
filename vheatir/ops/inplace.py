"""Work in place where autograd does not forbid it: one map less in memory."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["add_into"]


def add_into(fresh: Tensor, x: Tensor) -> Tensor:
    """``x + fresh``; outside of autograd and of compilers it is written into ``fresh``, which nobody else may need."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or fresh.dtype != x.dtype:
        return x + fresh
    return fresh.add_(x)
