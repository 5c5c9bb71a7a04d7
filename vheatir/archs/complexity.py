"""What a network costs: parameters and multiply-adds, every product counted, the transforms among them.

``python -m vheatir.archs.complexity`` prints the table of named configurations.
"""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vheatir.archs.configs import CONFIGS, configuration
from vheatir.archs.pyramid_arch import VHeatPyramid
from vheatir.archs.vheatir_arch import VHeatIR

__all__ = ["count_multiply_adds", "count_parameters", "markdown_table"]


def count_parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: VHeatIR | VHeatPyramid, height: int, width: int) -> int:
    """Multiply-adds that restore one image of height x width.

    Counted by torch's operator-level counter on the ``meta`` device, where nothing is computed: convolutions, linear
    maps and the DCT's matrix products count, elementwise work does not, as is usual in the field.
    """
    with torch.device("meta"):
        meta = type(network)(**network.hyper_parameters)  # type: ignore[arg-type]
        image = torch.empty(1, network.in_chans, height, width)
        level = torch.empty(1, 2) if isinstance(network, VHeatPyramid) else torch.empty(1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(image, level)
    return int(counter.get_total_flops()) // 2


def markdown_table(*, in_chans: int = 3) -> str:
    """Table of configurations: parameters, and multiply-adds a pixel at two sizes, as Markdown."""
    lines = [
        "| configuration | width | blocks | grid | parameters | multiply-adds a pixel, 256 x 256 | 1280 x 720 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CONFIGS:
        config = configuration(name, in_chans)
        with torch.device("meta"):
            network = VHeatIR(**config)  # type: ignore[arg-type]
        small, large = (
            count_multiply_adds(network, height, width) / (height * width)
            for height, width in ((256, 256), (720, 1280))
        )
        grid = "full" if network.downscale == 1 else f"1/{network.downscale}"
        lines.append(
            f"| `{name}` | {config['embed_dim']} | {' + '.join(map(str, network.depths))} | {grid} "
            f"| {count_parameters(network) / 1e6:.2f} M | {small / 1e3:,.0f} k | {large / 1e3:,.0f} k |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown_table() + "\n")
