"""Models in torch: on any device, in any precision; a result that overflows is computed again in fp32."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vheatir.inference.backends import Array, Precision
from vheatir.inference.compute import autocast, check_precision, select_device
from vheatir.inference.memory import free_bytes
from vheatir.inference.network import RestorationNetwork, cached_model
from vheatir.levels.levels import Levels

__all__ = ["TorchBackend", "TorchModel"]

logger = logging.getLogger(__name__)


class TorchBackend:
    """Loads models for torch; arguments as of :func:`vheatir.inference.backends.make_backend`."""

    def __init__(self, device: str | torch.device | None, precision: Precision) -> None:
        self._device = device
        self._precision: Precision = precision

    def load(self, model: str | Path | RestorationNetwork, image: Any = None) -> TorchModel:
        """Load, or take a loaded one, which stays on its device."""
        if not isinstance(model, RestorationNetwork):
            own = self._device is None and isinstance(image, Tensor)
            model = cached_model(model, image.device if own else select_device(self._device))
        elif self._device is not None:
            raise ValueError("A loaded model computes on its own device: leave device out, or move the model.")
        return TorchModel(model, self._precision)


class TorchModel:
    """A network of torch.

    Args:
        network: on its device.
        precision: "fp32", or autocast to "bf16" or "fp16".

    Raises:
        ValueError: if the precision is unknown, or its device is no good at it.
    """

    def __init__(self, network: RestorationNetwork, precision: Precision) -> None:
        self.header = network.header
        self._network = network
        self._precision: Precision = precision
        self._device = next(network.parameters()).device
        check_precision(precision, self._device)

    def restore(self, x: Array, levels: Levels, strength: float) -> Array:
        """Restore; a result that is not finite is computed again in fp32, and logged."""
        moved = torch.from_numpy(x).to(self._device, memory_format=torch.channels_last)
        restored = self._run(moved, levels, strength, self._precision)
        if self._precision != "fp32" and not bool(torch.isfinite(restored).all()):
            size = f"{x.shape[-1]}x{x.shape[-2]}"
            logger.warning("%s overflowed on a tile of %s: computed again in fp32", self._precision, size)
            restored = self._run(moved, levels, strength, "fp32")
        array: Array = restored.cpu().numpy()
        return array

    def estimate(self, x: Array) -> Levels:
        return self._network.estimate(torch.from_numpy(x).to(self._device))

    def free_bytes(self) -> int:
        return free_bytes(self._device)

    def release(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()

    @torch.inference_mode()
    def _run(self, x: Tensor, levels: Levels, strength: float, precision: Precision) -> Tensor:
        with autocast(x.device, precision):
            restored: Tensor = self._network(x, sigma=levels.sigma, quality=levels.quality, strength=strength)
        return restored
