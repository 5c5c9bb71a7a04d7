"""Networks and their named configurations."""

from __future__ import annotations

from vheatir.archs.configs import CONFIGS, configuration, network_arguments
from vheatir.archs.pyramid_arch import VHeatPyramid
from vheatir.archs.vheatir_arch import VHeatIR

__all__ = ["CONFIGS", "VHeatIR", "VHeatPyramid", "configuration", "network_arguments"]
