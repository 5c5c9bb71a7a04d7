"""A trained network that takes its level in the user's units, from bundled weights or from a file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from vheatir.checkpoint import Task, WeightsHeader, load_weights, weights_path
from vheatir.data.degradations import jpeg_level, noise_level
from vheatir.inference.levels import check_level

__all__ = ["RestorationNetwork", "cached_model", "load_model"]


class RestorationNetwork(nn.Module):
    """A trained network that takes its level in the user's units.

    Args:
        network: called ``network(x, condition)`` with condition (B,): σ/255, or (100 - quality)/100.
        header: what its weights file says about it.

    Attributes:
        task: "denoise-gray", "denoise-color", "jpeg-gray" or "jpeg-color".
        channels: 1 (gray) or 3 (RGB).
        level_min: smallest level that it was trained for, σ in 8-bit units or JPEG quality.
        level_max: largest level that it was trained for.
    """

    def __init__(self, network: nn.Module, header: WeightsHeader) -> None:
        super().__init__()
        self.network = network
        self.header = header
        self.task: Task = header.task
        self.channels = header.channels
        self.level_min = header.level_min
        self.level_max = header.level_max

    def forward(self, x: Tensor, level: float | Tensor) -> Tensor:
        """Restore a batch of images of one size.

        Args:
            x: degraded images, shape (B, channels, H, W), values in [0, 1].
            level: σ in 8-bit units, 0 to 255, or JPEG quality, 1 to 100; a number, or a tensor of shape () or
                (B,). The weights know ``level_min`` to ``level_max``; beyond, they extrapolate.

        Returns:
            Restored images, shape (B, channels, H, W), of x's dtype, not clamped.

        Raises:
            ValueError: if x has another shape, or a number is no such level. Tensors are not checked, since
                that would make a GPU wait.
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"Model {self.task} takes (B, {self.channels}, H, W), not {tuple(x.shape)}.")
        if not isinstance(level, Tensor):
            check_level(self.header.degradation, level)
        levels = torch.as_tensor(level, dtype=torch.float32, device=x.device)
        if levels.shape not in ((), (1,), (x.shape[0],)):
            raise ValueError(f"level is a number or has shape ({x.shape[0]},), one for each image, not {levels.shape}.")
        weight = next(self.network.parameters())
        restored: Tensor = self.network(x.to(weight.dtype), self._condition(levels.expand(x.shape[0])))
        return restored.to(x.dtype)

    def _condition(self, levels: Tensor) -> Tensor:
        return noise_level(levels) if self.header.degradation == "denoise" else jpeg_level(levels)


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> RestorationNetwork:
    """Load bundled weights by name, or a weights file.

    Args:
        name_or_path: "denoise-gray", "denoise-color", "jpeg-gray", "jpeg-color", or the path of a file that
            :func:`vheatir.checkpoint.save_weights` wrote.
        device: where to put the model; None means the CPU, as for every new module.
        dtype: type of the weights; None means float32.

    Returns:
        The model in evaluation mode, with frozen weights (``requires_grad_()`` thaws them for fine-tuning).

    Raises:
        CheckpointError: if the name or the file is not one of ours.
    """
    network, header = load_weights(weights_path(name_or_path))
    model = RestorationNetwork(network, header).eval().requires_grad_(False)
    model.to(device=device, dtype=dtype)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return model


def cached_model(name_or_path: str | Path, device: torch.device) -> RestorationNetwork:
    """Load a model as :func:`load_model` does, and keep the latest few for the next call.

    Raises:
        CheckpointError: if the name or the file is not one of ours.
    """
    path = weights_path(name_or_path)
    return _load_once(path.absolute(), path.stat().st_mtime_ns, device)


@lru_cache(maxsize=4)
def _load_once(path: Path, stamp: int, device: torch.device) -> RestorationNetwork:
    del stamp  # part of the key only: a file that changed is loaded again
    return load_model(path, device=device)
