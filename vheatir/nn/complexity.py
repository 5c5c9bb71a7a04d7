"""What a network costs: parameters and multiply-adds, every product counted, the transforms among them."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vheatir.nn import CONFIGS, VHeatIR, VHeatPyramid, configuration

__all__ = ["configurations_table", "count_multiply_adds", "count_parameters", "image_multiply_adds"]


def count_parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of ``network(*inputs)``, for any module that runs on torch's ``meta`` device.

    Nothing is computed, and the network is left as it is. Counted by torch's operator-level counter: convolutions and
    every matrix product count, cosine transforms written as products among them; elementwise work does not, as is usual
    in the field.

    Args:
        network: in the mode (training or evaluation) in which it is to be counted.
        inputs: what it is called with; their values do not matter.
    """
    meta = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(*(tensor.to("meta") for tensor in inputs))
    return int(counter.get_total_flops()) // 2


def image_multiply_adds(network: VHeatIR | VHeatPyramid, height: int, width: int) -> int:
    """Multiply-adds with which our own network restores one image of height x width."""
    with torch.device("meta"):
        image = torch.empty(1, network.config.in_chans, height, width)
        level = torch.empty(1, 2) if isinstance(network, VHeatPyramid) else torch.empty(1)
    return count_multiply_adds(network, image, level)


def configurations_table(_: Path) -> str:
    """Table of the colour configurations for pages: parameters, and multiply-adds a pixel at two sizes."""
    lines = [
        "| configuration | width | blocks | grid | parameters | multiply-adds a pixel, 256 x 256 | 1280 x 720 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CONFIGS:
        config = configuration(name, 3)
        with torch.device("meta"):
            network = VHeatIR(config)
        small, large = (
            image_multiply_adds(network, height, width) / (height * width)
            for height, width in ((256, 256), (720, 1280))
        )
        grid = "full" if config.downscale == 1 else f"1/{config.downscale}"
        lines.append(
            f"| `{name}` | {config.embed_dim} | {' + '.join(map(str, config.depths))} | {grid} "
            f"| {count_parameters(network) / 1e6:.2f} M | {small / 1e3:,.0f} k | {large / 1e3:,.0f} k |"
        )
    return "\n".join(lines)
