"""One tile through the network: turned for an ensemble, smaller if memory runs out, checked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from vheatir.inference.arrays import Canvas
from vheatir.inference.backends import Array, Model
from vheatir.inference.clipping import with_clipped_mean
from vheatir.inference.memory import SMALLEST_TILE, is_out_of_memory
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
        model: the network, where it computes.
        levels: what the model is told.
        strength: factor of the levels, for models that estimate some; 1 for others.
        tile: largest side of a tile. Out-of-memory errors halve it, for this tile and those that follow, down to
            64 pixels; at that size the error is the caller's.
        ensemble: mean over the eight flips and quarter turns.
        is_clipped: the images' noise was cut off at black and white, as whole numbers do: its mean is given back,
            see :mod:`vheatir.inference.clipping`.
    """

    def __init__(
        self,
        model: Model,
        levels: Levels,
        *,
        strength: float = 1.0,
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
        self._others = range(1, 8) if ensemble else range(0)
        self._lost_sigma = (levels.sigma or 0.0) / 255 if is_clipped and model.header.task == "denoise" else 0.0

    def restore(self, canvas: Canvas) -> None:
        """Restore an image, piece by piece; a gray one by as many equal channels as the model takes, to one."""

        def read(rows: slice, columns: slice) -> Array:
            return self._for_model(canvas.read(rows, columns))

        def write(top: int, rows: Array) -> None:
            canvas.write(top, _as_read(canvas, rows))

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
        batch = np.concatenate([self._for_model(canvas.read(whole, whole)) for canvas in canvases])
        for canvas, restored in zip(canvases, self(batch), strict=True):
            canvas.write(0, _as_read(canvas, restored[None]))

    def _for_model(self, x: Array) -> Array:
        """As many channels as the model takes: of three equal ones the first, or one three times."""
        channels = self._model.header.channels
        return np.repeat(x, channels, axis=1) if x.shape[1] < channels else x[:, :channels]

    def __call__(self, x: Array) -> Array:
        """Restore a tile (B, C, h, w): same shape, not clamped.

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
        self._model.release()

    def _restore(self, x: Array) -> Array:
        restored = self._run(x)
        for index in self._others:
            restored = restored + _undo(self._run(np.ascontiguousarray(_turn(x, index))), index)
        restored = restored / np.float32(1 + len(self._others)) if self._others else restored
        if not np.isfinite(restored).all():
            raise RestorationError(
                f"Model {self._model.header.name} gave values that are not finite; check its weights."
            )
        return with_clipped_mean(restored, x, self._lost_sigma)

    def _run(self, x: Array) -> Array:
        return self._model.restore(x, self._levels, self._strength)


def _unless_out_of_memory(compute: Callable[[], Array], *, retry: bool) -> Array | None:
    """None if memory ran out and a smaller tile is left to try; the error is gone by then, and with it what it held."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if retry and is_out_of_memory(error):
            return None
        raise


def _as_read(canvas: Canvas, rows: Array) -> Array:
    return rows.mean(axis=1, keepdims=True) if canvas.has_equal_channels else rows


def _turn(x: Array, index: int) -> Array:
    """One of the eight symmetries of a square: index // 4 flips, index % 4 quarter turns."""
    flipped = x[..., ::-1] if index >= 4 else x
    return np.rot90(flipped, index % 4, (-2, -1))


def _undo(x: Array, index: int) -> Array:
    turned = np.rot90(x, -(index % 4), (-2, -1))
    return turned[..., ::-1] if index >= 4 else turned
