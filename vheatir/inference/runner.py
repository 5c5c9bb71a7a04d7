"""One tile through the network: on its device, smaller if memory runs out, again in fp32 if it overflows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from vheatir.inference.arrays import Canvas
from vheatir.inference.clipping import with_clipped_mean
from vheatir.inference.compute import Precision, autocast
from vheatir.inference.memory import SMALLEST_TILE, is_out_of_memory
from vheatir.inference.network import RestorationNetwork
from vheatir.inference.tiling import GRID, restore_in_bands, restore_in_tiles
from vheatir.levels.levels import Levels
from vheatir.system.threads import one_thread_after_fork
from vheatir.weights.file import Task

__all__ = ["RestorationError", "TileRunner", "tile_overlap"]

logger = logging.getLogger(__name__)

# What keeps the joints under 1/255, see docs/tiling.md: the stronger the noise, the farther the network looks.
_OVERLAP: Final = 80
_OVERLAP_OF_STRONG_NOISE: Final = 112
_OVERLAP_OF_PHOTOS: Final = 112
_STRONG_NOISE: Final = 30.0


class RestorationError(RuntimeError):
    """The network gave values that are not finite, in full precision too."""


def tile_overlap(task: Task, levels: Levels) -> int:
    """Return the smallest overlap of neighbouring tiles, in pixels, for what the network is told."""
    if task == "photo":
        return _OVERLAP_OF_PHOTOS
    is_strong = levels.sigma is not None and levels.sigma > _STRONG_NOISE
    return _OVERLAP_OF_STRONG_NOISE if is_strong else _OVERLAP


class TileRunner:
    """Restores tiles with one model, one after the other.

    Args:
        model: the network, on its device.
        levels: what the model is told.
        strength: factor of the levels, for models that estimate some; 1 for others.
        precision: arithmetic; tiles that come out not finite are computed again in fp32.
        tile: largest side of a tile. Out-of-memory errors halve it, for this tile and those that follow, down to
            64 pixels; at that size the error is the caller's.
        ensemble: mean over the eight flips and quarter turns.
        is_clipped: the images' noise was cut off at black and white, as whole numbers do: its mean is given back,
            see :mod:`vheatir.inference.clipping`.
    """

    def __init__(
        self,
        model: RestorationNetwork,
        levels: Levels,
        *,
        strength: float = 1.0,
        precision: Precision,
        tile: int,
        ensemble: bool,
        is_clipped: bool,
    ) -> None:
        one_thread_after_fork()
        self.tile = tile
        self.passes = 0
        self._model = model
        self._levels = levels
        self._strength = strength
        self._precision = precision
        self._device = next(model.parameters()).device
        self._transforms = range(8) if ensemble else range(1)
        self._lost_sigma = (levels.sigma or 0.0) / 255 if is_clipped and model.header.task == "denoise" else 0.0

    def restore(self, canvas: Canvas) -> None:
        """Restore an image, piece by piece; a gray one by as many equal channels as the model takes, to one."""

        def read(rows: slice, columns: slice) -> Tensor:
            return self._for_model(canvas.read(rows, columns))

        def write(top: int, rows: Tensor) -> None:
            canvas.write(top, rows.mean(dim=1, keepdim=True) if canvas.has_equal_channels else rows)

        restore_in_bands(
            read,
            self,
            write,
            height=canvas.height,
            width=canvas.width,
            tile=self.tile,
            overlap=self._overlap(),
        )

    def restore_batch(self, canvases: Sequence[Canvas]) -> None:
        """Restore small images of one size together."""
        whole = slice(None)
        batch = torch.cat([self._for_model(canvas.read(whole, whole)) for canvas in canvases])
        for canvas, restored in zip(canvases, self(batch), strict=True):
            rows = restored[None]
            canvas.write(0, rows.mean(dim=1, keepdim=True) if canvas.has_equal_channels else rows)

    def _for_model(self, x: Tensor) -> Tensor:
        """As many channels as the model takes: of three equal ones the first, or one three times."""
        channels = self._model.channels
        return x.expand(-1, channels, -1, -1) if x.shape[1] < channels else x[:, :channels]

    def __call__(self, x: Tensor) -> Tensor:
        """Restore a tile (B, C, h, w): same shape, on the tile's own device, not clamped.

        Raises:
            RestorationError: if the result is not finite in fp32 either.
        """
        while True:
            if max(x.shape[-2:]) > self.tile:
                return restore_in_tiles(self, x, tile=self.tile, overlap=self._overlap())
            restored = _unless_out_of_memory(lambda: self._restore(x), retry=max(x.shape[-2:]) > SMALLEST_TILE)
            if restored is not None:
                self.passes += 1
                return restored
            self._halve(max(x.shape[-2:]))

    def _overlap(self) -> int:
        return min(tile_overlap(self._model.header.task, self._levels), self.tile // 2)

    def _halve(self, side: int) -> None:
        self.tile = max(SMALLEST_TILE, side // 2 // GRID * GRID)
        logger.warning("out of memory at tiles of %d pixels: trying %d", side, self.tile)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()

    def _restore(self, x: Tensor) -> Tensor:
        moved = x.to(self._device, memory_format=torch.channels_last)
        restored = self._ensemble(moved, self._precision)
        if self._precision != "fp32" and not _is_finite(restored):
            height, width = x.shape[-2:]
            logger.warning("%s overflowed on a tile of %dx%d: computed again in fp32", self._precision, width, height)
            restored = self._ensemble(moved, "fp32")
        if not _is_finite(restored):
            raise RestorationError(f"Model {self._model.name} gave values that are not finite; check its weights.")
        return with_clipped_mean(restored, moved, self._lost_sigma).to(x.device)

    def _ensemble(self, x: Tensor, precision: Precision) -> Tensor:
        total = torch.zeros_like(x)
        for index in self._transforms:
            total += _undo(self._run(_turn(x, index), precision), index)
        return total / len(self._transforms)

    @torch.inference_mode()
    def _run(self, x: Tensor, precision: Precision) -> Tensor:
        with autocast(x.device, precision):
            restored: Tensor = self._model(
                x, sigma=self._levels.sigma, quality=self._levels.quality, strength=self._strength
            )
        return restored


def _unless_out_of_memory(compute: Callable[[], Tensor], *, retry: bool) -> Tensor | None:
    """None if memory ran out and a smaller tile is left to try; the error is gone by then, and with it what it held."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if retry and is_out_of_memory(error):
            return None
        raise


def _turn(x: Tensor, index: int) -> Tensor:
    """One of the eight symmetries of a square: index // 4 flips, index % 4 quarter turns."""
    flipped = x.flip(-1) if index >= 4 else x
    return torch.rot90(flipped, index % 4, (-2, -1))


def _undo(x: Tensor, index: int) -> Tensor:
    turned = torch.rot90(x, -(index % 4), (-2, -1))
    return turned.flip(-1) if index >= 4 else turned


def _is_finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x).all())
