"""Networks and their named configurations."""

from __future__ import annotations

from vheatir.nn.configs import CONFIGS, configuration, network_arguments
from vheatir.nn.pyramid import VHeatPyramid
from vheatir.nn.vheatir import VHeatIR

__all__ = ["CONFIGS", "VHeatIR", "VHeatPyramid", "configuration", "network_arguments"]
