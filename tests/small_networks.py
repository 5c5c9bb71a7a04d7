"""Networks of a few blocks, with each option switched on in one of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vheatir.nn import VHeatIR, VHeatPyramid

#: each argument differs from its default in at least one of these
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "full resolution": {"downscale": 1, "heat_ratio": 0.5, "k_min": 0.1, "k_max": 9.0},
    "published": {"condition": False, "output_norm": True, "residual_step": False, "k_max": 1.0, "in_chans": 3},
    "windows": {"window": 3, "content_conductivity": True, "level_conductivity": True, "resi_connection": "3conv"},
    "others": {"gate": False, "resi_connection": "identity", "img_range": 255.0, "mlp_ratio": 1.5, "downscale": 4},
    "low spectrum": {"spectrum_ratio": 0.5, "heat_ratio": 0.5},
    "attention": {"mixer": "attention", "window": 4, "num_heads": 2, "output_norm": True},
    "attention, whole windows": {"mixer": "attention", "window": 4, "downscale": 1},
    "hcnet": {"mixer": "hcnet", "mlp": "refinement"},
    "hcnet, learned k": {"mixer": "hcnet", "hcnet_step": "learned"},
    "identity": {"mixer": "identity", "hcnet_step": "fixed"},
}
#: what makes a network small enough for tests
SMALL: dict[str, Any] = {"embed_dim": 8, "depths": (2, 1), "frequency_resolution": 4}
SMALL_PYRAMID: dict[str, Any] = {"widths": (8, 12, 16), "depths": (1, 2, 1, 1, 1), "frequency_resolution": 4}


def untrained(**options: Any) -> VHeatIR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VHeatIR(**{**SMALL, **options})


def trained(**options: Any) -> VHeatIR:
    """A network that does something: its last convolution is not zero, and its content and levels matter."""
    network = untrained(**options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        nn.init.normal_(network.conv_last.weight, std=0.05)
        for name, parameter in network.named_parameters():
            if "content" in name or "embedding" in name:
                nn.init.normal_(parameter)
    return network


def trained_pyramid(**options: Any) -> VHeatPyramid:
    """The same on a pyramid."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = VHeatPyramid(**{**SMALL_PYRAMID, **options})
        nn.init.normal_(network.conv_last.weight, std=0.05)
        for name, parameter in network.named_parameters():
            if "embedding" in name:
                nn.init.normal_(parameter)
    return network
