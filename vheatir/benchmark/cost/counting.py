"""Multiply-adds of any network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_multiply_adds"]


def count_multiply_adds(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of ``network(*inputs)``, for any module that runs on torch's ``meta`` device.

    Nothing is computed, and the network is left as it is. Convolutions and every matrix product count, cosine
    transforms written as products among them; elementwise work does not, as is usual in the field. For our own network
    :func:`vheatir.archs.complexity.count_multiply_adds` gives the same number from H and W alone.

    Args:
        network: in the mode (training or evaluation) in which it is to be counted.
        inputs: what it is called with; their values do not matter.
    """
    meta = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(*(tensor.to("meta") for tensor in inputs))
    return int(counter.get_total_flops()) // 2
