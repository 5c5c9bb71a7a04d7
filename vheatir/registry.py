"""Makes this project's networks, dataset, models and loss known to BasicSR, by importing them."""

from __future__ import annotations

from vheatir.archs import VHeatIR, VHeatPyramid
from vheatir.basicsr_compat import ARCH_REGISTRY
from vheatir.data.dataset import DegradedImageDataset
from vheatir.models.losses import PSNRLoss
from vheatir.models.pyramid_model import PyramidModel
from vheatir.models.restoration_model import RestorationModel
from vheatir.pretrain.model import QBHeatModel
from vheatir.pretrain.network import QBHeat

__all__ = [
    "DegradedImageDataset",
    "PSNRLoss",
    "PyramidModel",
    "QBHeat",
    "QBHeatModel",
    "RestorationModel",
    "VHeatIR",
    "VHeatPyramid",
]

ARCH_REGISTRY.register(VHeatIR)
ARCH_REGISTRY.register(VHeatPyramid)
ARCH_REGISTRY.register(QBHeat)
