"""Makes this project's networks, dataset, models and loss known to BasicSR, by importing them."""

from __future__ import annotations

from vheatir.data.dataset import DegradedImageDataset
from vheatir.nn import VHeatIR, VHeatPyramid
from vheatir.training.basicsr import ARCH_REGISTRY
from vheatir.training.losses import PSNRLoss
from vheatir.training.pyramid_model import PyramidModel
from vheatir.training.restoration_model import RestorationModel

__all__ = [
    "DegradedImageDataset",
    "PSNRLoss",
    "PyramidModel",
    "RestorationModel",
    "VHeatIR",
    "VHeatPyramid",
]

ARCH_REGISTRY.register(VHeatIR)
ARCH_REGISTRY.register(VHeatPyramid)
