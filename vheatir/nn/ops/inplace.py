"""Where maps may be written over and results kept: outside of autograd and of compilers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["add_into", "is_plain_inference"]


def is_plain_inference() -> bool:
    """Whether operations run one by one and nobody needs their inputs afterwards: no autograd, no compiler."""
    return not (torch.compiler.is_compiling() or torch.is_grad_enabled())


def add_into(fresh: Tensor, x: Tensor) -> Tensor:
    """``x + fresh``; outside of autograd and of compilers it is written into ``fresh``, which nobody else may need."""
    return fresh.add_(x) if is_plain_inference() and fresh.dtype == x.dtype else x + fresh
