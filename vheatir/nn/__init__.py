"""Networks and their named configurations."""

from __future__ import annotations

from vheatir.nn.pyramid import VHeatPyramid, VHeatPyramidConfig
from vheatir.nn.vheatir import CONFIGS, VHeatIR, VHeatIRConfig, configuration, network_arguments

__all__ = [
    "CONFIGS",
    "VHeatIR",
    "VHeatIRConfig",
    "VHeatPyramid",
    "VHeatPyramidConfig",
    "configuration",
    "network_arguments",
]
