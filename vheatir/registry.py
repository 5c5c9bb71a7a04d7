"""Makes this project's network, dataset and model known to BasicSR, by importing them."""

from __future__ import annotations

from vheatir.archs import VHeatIR
from vheatir.basicsr_compat import ARCH_REGISTRY
from vheatir.data.dataset import DegradedImageDataset
from vheatir.models.restoration_model import RestorationModel

__all__ = ["DegradedImageDataset", "RestorationModel", "VHeatIR"]

ARCH_REGISTRY.register(VHeatIR)
