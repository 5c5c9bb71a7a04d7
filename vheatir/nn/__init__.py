"""Networks and their named configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vheatir.nn.pyramid import VHeatPyramid, VHeatPyramidConfig
from vheatir.nn.vheatir import CONFIGS, VHeatIR, VHeatIRConfig, configuration, network_arguments

__all__ = [
    "CONFIGS",
    "NETWORKS",
    "VHeatIR",
    "VHeatIRConfig",
    "VHeatPyramid",
    "VHeatPyramidConfig",
    "configuration",
    "network_arguments",
]

#: classes of networks that weights files may hold, and that options may name
NETWORKS: Final[Mapping[str, type[VHeatIR | VHeatPyramid]]] = {"VHeatIR": VHeatIR, "VHeatPyramid": VHeatPyramid}
