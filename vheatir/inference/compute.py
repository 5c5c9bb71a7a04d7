"""Where the network computes, and in which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final, get_args

import torch

from vheatir.inference.backends import Precision
from vheatir.nn.precision import autocast_off

__all__ = ["autocast", "check_precision", "select_device"]

_PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)
_AUTOCAST_TYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}


def select_device(name: str | torch.device | None) -> torch.device:
    """Return the device of that name; None or "auto" means CUDA where there is some, or Apple's MPS, else the CPU.

    Raises:
        ValueError: if there is no such device on this machine.
    """
    if name is None or name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"Device {name} cannot be used on this machine; use cpu or auto.") from error
    return device


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that is unknown, or that the device is no good at.

    Raises:
        ValueError: if it is not one of fp32, bf16, fp16; or fp16 on a CPU, where it is slower and less exact.
    """
    if precision not in _PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(_PRECISIONS)}, not {precision!r}.")
    if precision == "fp16" and device.type == "cpu":
        raise ValueError("fp16 is not supported on a CPU; use fp32 or bf16.")


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which the network computes in this precision; fp32 turns an outer one off."""
    if precision == "fp32":
        return autocast_off(device)
    return torch.autocast(device.type, dtype=_AUTOCAST_TYPES[precision])
