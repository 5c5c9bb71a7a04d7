"""What is benchmarked: anything that maps a degraded image and its level to a restored image."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vheatir.data.evaluation import Task, Tell, told_condition
from vheatir.inference.compute import select_device
from vheatir.inference.network import RestorationNetwork, cached_model
from vheatir.inference.runner import tile_overlap
from vheatir.inference.tiling import restore_in_tiles
from vheatir.levels.levels import Levels, trained_levels
from vheatir.nn import CONFIGS, VHeatIR, VHeatPyramid
from vheatir.nn.complexity import count_parameters, image_multiply_adds
from vheatir.nn.cpu import fast_on_cpu

__all__ = ["Countable", "Method", "ModelMethod", "NetworkMethod", "load_method"]

#: the configuration whose weights are inside the package
_BUNDLED_CONFIG: Final = "fast"


class Method(Protocol):
    """Something that restores degraded images: one of our models, a peer, or any callable with a name."""

    @property
    def name(self) -> str:
        """Heading of the method in tables."""
        ...

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        """Restore one image.

        Args:
            degraded: (H, W) or (H, W, 3) RGB in [0, 1]; noise may leave that range.
            level: σ in 8-bit units, or the JPEG quality.

        Returns:
            Restored image of the same shape, in [0, 1]; what leaves the range is clamped by the benchmark.
        """
        ...


@runtime_checkable
class Countable(Protocol):
    """A method that knows its size; methods without these two leave their columns empty."""

    @property
    def parameters(self) -> int:
        """Number of trainable values."""
        ...

    def multiply_adds(self, height: int, width: int) -> int:
        """Multiply-adds that restore one image of height x width."""
        ...


class ModelMethod:
    """One of our networks, in full precision.

    Args:
        name: heading in tables.
        model: the network, on its device.
        task: what the levels are of. A model of the task "photo" is told that there is nothing else.
        tile: largest side of a tile in pixels; None restores the whole image in one pass, as the protocol asks.
    """

    def __init__(self, name: str, model: RestorationNetwork, *, task: Task, tile: int | None = None) -> None:
        self.name = name
        self.model = model
        self.task: Task = task
        self.tile = tile

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        """Restore one image; see :class:`Method`.

        Raises:
            ValueError: if the image's channels are not the model's, or a noise level is outside its training. A
                quality outside becomes the nearest trained one, with a logged note.
        """
        levels = self.check(level)

        def whole(x: Tensor) -> Tensor:
            restored: Tensor = self.model(x, sigma=levels.sigma, quality=levels.quality)
            return restored

        overlap = tile_overlap(self.model.header.task, levels)
        return _restored(whole, degraded, self.model, self.model.channels, self.tile, overlap)

    def check(self, level: float) -> Levels:
        """What the network is told of a level.

        Raises:
            ValueError: if a noise level is outside its training.
        """
        return trained_levels(self.model.header, self._levels(level))

    @property
    def parameters(self) -> int:
        return count_parameters(self.model)

    def multiply_adds(self, height: int, width: int) -> int:
        return _multiply_adds(self.model.network, height, width)

    def _levels(self, level: float) -> Levels:
        if self.model.name != "photo":
            return Levels(sigma=level) if self.task == "denoise" else Levels(quality=level)
        return Levels(sigma=level, quality=100.0) if self.task == "denoise" else Levels(sigma=0.0, quality=level)


class NetworkMethod:
    """A network as an option file describes it, without a record of what it was trained on, in full precision.

    Args:
        name: heading in tables.
        network: on its device.
        task: what the levels are of.
        tell: which levels a network of two levels is told.
        tile: as for :class:`ModelMethod`.
        overlap: pixels that neighbouring tiles share.
    """

    def __init__(
        self,
        name: str,
        network: VHeatIR | VHeatPyramid,
        *,
        task: Task,
        tell: Tell = None,
        tile: int | None = None,
        overlap: int = 32,
    ) -> None:
        self.name = name
        self.network = fast_on_cpu(network)
        self.task: Task = task
        self.tell: Tell = tell
        self.tile = tile
        self.overlap = overlap

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        """Restore one image; see :class:`Method`."""
        told = torch.from_numpy(told_condition(self.task, level, self.tell)[None])

        def whole(x: Tensor) -> Tensor:
            restored: Tensor = self.network(x, told.to(x.device))
            return restored

        return _restored(whole, degraded, self.network, self.network.config.in_chans, self.tile, self.overlap)

    @property
    def parameters(self) -> int:
        return count_parameters(self.network)

    def multiply_adds(self, height: int, width: int) -> int:
        return _multiply_adds(self.network, height, width)


def load_method(
    name_or_path: str,
    *,
    task: Task,
    channels: Literal[1, 3],
    device: str | torch.device | None = None,
    tile: int | None = None,
) -> ModelMethod:
    """Load one of our models for a task.

    Args:
        name_or_path: "fast", the bundled weights for task and channels; "photo", the bundled weights for all tasks; a
            bundled name ("denoise-gray"); or a weights file.
        task: what it must remove.
        channels: 1 for gray images, 3 for RGB.
        device: where to compute; None or "auto" means CUDA where there is some, else the CPU.
        tile: as for :class:`ModelMethod`.

    Raises:
        ValueError: if it is a configuration without bundled weights, no weights at all (a WeightsError), or weights
            of another task or for other channels; if there is no such device.
    """
    color = "gray" if channels == 1 else "color"
    if name_or_path in CONFIGS and name_or_path != _BUNDLED_CONFIG:
        raise ValueError(
            f"Configuration {name_or_path} has no bundled weights: train it with "
            f"options/train/{name_or_path}_{task}_{color}.yml, and give its weights file."
        )
    is_bundled = name_or_path == _BUNDLED_CONFIG
    model = cached_model(f"{task}-{color}" if is_bundled else name_or_path, select_device(device))
    if model.name != "photo" and (model.header.task != task or model.channels != channels):
        raise ValueError(f"Model {name_or_path} is for {model.name}, not for {task}-{color}; give another --model.")
    name = {_BUNDLED_CONFIG: f"vHeatIR {_BUNDLED_CONFIG}", "photo": "vHeatIR photo"}.get(
        name_or_path, Path(name_or_path).stem
    )
    return ModelMethod(name, model, task=task, tile=tile)


@lru_cache(maxsize=256)
def _multiply_adds(network: VHeatIR | VHeatPyramid, height: int, width: int) -> int:
    """Sets repeat their sizes, and counting copies the network each time."""
    return image_multiply_adds(network, height, width)


def _restored(
    whole: Callable[[Tensor], Tensor],
    degraded: NDArray[np.float32],
    network: nn.Module,
    channels: int,
    tile: int | None,
    overlap: int,
) -> NDArray[np.float32]:
    """Let ``whole`` restore an image (H, W) or (H, W, 3) in the channels of its network, in tiles if asked."""
    channels_first = degraded[None] if degraded.ndim == 2 else degraded.transpose(2, 0, 1)
    device = next(network.parameters()).device

    @torch.inference_mode()
    def restore(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return whole(torch.from_numpy(np.ascontiguousarray(x)).to(device)).cpu().numpy()

    x = np.repeat(channels_first[None], channels // len(channels_first), axis=1)
    y = restore(x) if tile is None else restore_in_tiles(restore, x, tile=tile, overlap=min(overlap, tile // 2))
    restored = y[0]
    # a gray image may have gone through a colour network
    output = restored.mean(axis=0) if degraded.ndim == 2 else restored.transpose(1, 2, 0)
    return np.asarray(output, dtype=np.float32)
