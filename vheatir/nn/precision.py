"""Autocast, asked and switched off on any device, those without autocast (``meta``) included."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["as_autocast", "autocast_off", "computes_bfloat16"]


def as_autocast(x: Tensor) -> Tensor:
    """x in the dtype that autocast gives to matrix products; x itself without autocast, or if it is float64."""
    device_type = x.device.type
    if x.dtype == torch.float64 or not torch.amp.is_autocast_available(device_type):
        return x
    return x.to(torch.get_autocast_dtype(device_type)) if torch.is_autocast_enabled(device_type) else x


def autocast_off(device: torch.device) -> AbstractContextManager[None]:
    """A context in which operations keep the dtypes they are given."""
    if not (torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself: a CPU without AVX-512 or the like takes ten times as long."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
