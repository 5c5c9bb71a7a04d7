"""Restoring an image tile by tile, with smooth blending where tiles overlap, in bands of rows.

Tiles start on the 8-pixel grid of JPEG. The weights of a tile are a product of one factor along each axis, normalised
along that axis, so that no map of weights is needed; a band of tiles is finished before the next one begins, so that
the sum of tiles is never held for more than one band.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRID", "AxisTile", "axis_tiles", "restore_in_bands", "restore_in_tiles"]

Array = NDArray[np.float32]

#: side of a JPEG block: tiles start at its multiples, so that blocks lie in every tile as they lie in the image
GRID: Final = 8


@dataclass(frozen=True)
class AxisTile:
    """One tile's extent along one axis.

    Attributes:
        start: first pixel.
        stop: behind the last pixel.
        weight: share of the tile in each of its pixels, shape (stop - start,); the shares of all tiles sum to 1.
    """

    start: int
    stop: int
    weight: Array


def axis_tiles(length: int, tile: int, overlap: int) -> list[AxisTile]:
    """Cover an axis with as few tiles as possible, evenly spread and no larger than that needs.

    Args:
        length: pixels along the axis.
        tile: largest side of a tile, rounded down to a multiple of 8.
        overlap: smallest overlap of neighbours, rounded up to a multiple of 8, then less than ``tile``.

    Raises:
        ValueError: if the overlap is negative or not less than the tile, after rounding.
    """
    side, shared = tile // GRID * GRID, -(-overlap // GRID) * GRID
    if not 0 <= shared < side:
        raise ValueError(
            f"The overlap must be at least 0 and less than the tile, in multiples of {GRID}: tile {tile}, {overlap}."
        )
    if length <= tile:
        return [AxisTile(0, length, np.ones(length, np.float32))]
    count = math.ceil((length - shared) / (side - shared))
    side = _up(math.ceil((length + (count - 1) * shared) / count))
    last = _up(length - side)
    starts = [last * index // (count - 1) // GRID * GRID for index in range(count)]
    stops = [min(start + side, length) for start in starts]
    ramps = _ramps(starts, stops)
    total = np.zeros(length)
    for start, stop, ramp in zip(starts, stops, ramps, strict=True):
        total[start:stop] += ramp
    return [
        AxisTile(start, stop, (ramp / total[start:stop]).astype(np.float32))
        for start, stop, ramp in zip(starts, stops, ramps, strict=True)
    ]


def restore_in_bands(
    read: Callable[[slice, slice], Array],
    restore: Callable[[Array], Array],
    write: Callable[[int, Array], None],
    *,
    height: int,
    width: int,
    tile: int,
    overlap: int,
) -> int:
    """Restore an image of H x W pixels piece by piece, holding no more than one band of tiles.

    Args:
        read: gives the tile (B, C, h, w) at (rows, columns).
        restore: maps a tile to one of the same shape.
        write: takes (first row, finished rows (B, C, n, W)), from top to bottom, every row once.
        height: H.
        width: W.
        tile: see :func:`axis_tiles`, like ``overlap``.
        overlap: smallest overlap of neighbouring tiles in pixels.

    Returns:
        Number of tiles.
    """
    bands, columns = axis_tiles(height, tile, overlap), axis_tiles(width, tile, overlap)
    if len(bands) == len(columns) == 1:
        write(0, restore(read(slice(0, height), slice(0, width))))
        return 1
    carried: Array | None = None  # lower rows of the band before, which this one shares
    for index, rows in enumerate(bands):
        band = _restore_band(read, restore, rows, columns, width)
        if carried is not None:
            band[..., : carried.shape[-2], :] += carried
        finished = (bands[index + 1].start if index + 1 < len(bands) else height) - rows.start
        write(rows.start, band[..., :finished, :])
        carried = band[..., finished:, :].copy()
    return len(bands) * len(columns)


def restore_in_tiles(restore: Callable[[Array], Array], x: Array, *, tile: int, overlap: int) -> Array:
    """Apply ``restore`` to overlapping tiles of x and blend the results.

    Args:
        restore: maps (B, C, h, w) to (B, C, h, w).
        x: shape (B, C, H, W).
        tile: largest side of a tile in pixels; an image that fits into one is restored whole.
        overlap: smallest overlap of neighbouring tiles in pixels.

    Returns:
        Shape (B, C, H, W): in every pixel the weighted mean of the tiles that cover it.
    """
    height, width = x.shape[-2:]
    restored = np.empty_like(x)

    def read(rows: slice, columns: slice) -> Array:
        return x[..., rows, columns]

    def write(top: int, rows: Array) -> None:
        restored[..., top : top + rows.shape[-2], :] = rows

    restore_in_bands(read, restore, write, height=height, width=width, tile=tile, overlap=overlap)
    return restored


def _restore_band(
    read: Callable[[slice, slice], Array],
    restore: Callable[[Array], Array],
    rows: AxisTile,
    columns: list[AxisTile],
    width: int,
) -> Array:
    """One row of tiles, weighted and summed: (B, C, h, W)."""
    band: Array | None = None
    for column in columns:
        restored = restore(read(slice(rows.start, rows.stop), slice(column.start, column.stop)))
        if band is None:
            band = np.zeros((*restored.shape[:-1], width), np.float32)
        weight = rows.weight[:, None] * column.weight
        band[..., column.start : column.stop] += restored * weight
    assert band is not None  # an axis has at least one tile
    return band


def _ramps(starts: list[int], stops: list[int]) -> list[NDArray[np.float64]]:
    """Windows (a smooth rise where neighbours overlap, 1 elsewhere) of the tiles of one axis."""
    ramps = []
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        ramp = np.ones(stop - start)
        if index > 0:
            shared = stops[index - 1] - start
            ramp[:shared] *= _rise(shared)
        if index + 1 < len(starts):
            shared = stop - starts[index + 1]
            ramp[len(ramp) - shared :] *= _rise(shared)[::-1]
        ramps.append(ramp)
    return ramps


def _rise(length: int) -> NDArray[np.float64]:
    """From 0 to 1 over an overlap: sin^2 in its middle half, sampled at pixel centres; it and its mirror sum to 1.

    The outer quarters are left to the neighbour alone: a tile is least like the whole image next to its own edges.
    """
    position = (np.arange(length) + 0.5) / max(length, 1)
    return np.square(np.sin(np.clip(2 * position - 0.5, 0, 1) * (math.pi / 2)))


def _up(length: int) -> int:
    return -(-length // GRID) * GRID
