"""Makes this project's networks, dataset, models and loss known to BasicSR, by importing them."""

from __future__ import annotations

from vheatir.archs import VHeatIR
from vheatir.basicsr_compat import ARCH_REGISTRY
from vheatir.data.dataset import DegradedImageDataset
from vheatir.models.losses import PSNRLoss
from vheatir.models.restoration_model import RestorationModel
from vheatir.pretrain.model import QBHeatModel
from vheatir.pretrain.network import QBHeat

__all__ = ["DegradedImageDataset", "PSNRLoss", "QBHeat", "QBHeatModel", "RestorationModel", "VHeatIR"]

ARCH_REGISTRY.register(VHeatIR)
ARCH_REGISTRY.register(QBHeat)
