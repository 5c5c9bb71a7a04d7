"""Restoring an image tile by tile, with smooth blending where tiles overlap."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["restore_in_tiles", "tile_starts"]


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where the tiles of one axis begin: the first at 0, the last flush with the end.

    Args:
        length: pixels along the axis.
        tile: side of a tile.
        overlap: smallest overlap of neighbours, less than ``tile``.

    Raises:
        ValueError: if not 0 <= overlap < tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"The overlap must be at least 0 and less than the tile ({tile}), not {overlap}.")
    if length <= tile:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def restore_in_tiles(restore: Callable[[Tensor], Tensor], x: Tensor, *, tile: int, overlap: int) -> Tensor:
    """Apply ``restore`` to overlapping tiles of x and blend the results.

    Args:
        restore: maps (B, C, h, w) to (B, C, h, w).
        x: shape (B, C, H, W).
        tile: side of a tile in pixels; an image that fits into one is restored whole.
        overlap: smallest overlap of neighbouring tiles in pixels.

    Returns:
        Shape (B, C, H, W): in every pixel the mean of the tiles that cover it, weighted by the distance to their edges.
    """
    height, width = x.shape[-2:]
    total, weights = torch.zeros_like(x), x.new_zeros(height, width)
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            place = (..., slice(top, top + tile), slice(left, left + tile))
            restored = restore(x[place])
            weight = _edge_distance(restored.shape[-2], overlap, x)[:, None] * _edge_distance(
                restored.shape[-1], overlap, x
            )
            total[place] += restored * weight
            weights[place] += weight
    return total / weights


def _edge_distance(length: int, overlap: int, like: Tensor) -> Tensor:
    """1, 2, 3, ... from both ends of a tile, level after ``overlap`` pixels: shape (length,)."""
    position = torch.arange(1, length + 1, dtype=like.dtype, device=like.device)
    return torch.minimum(position, position.flip(0)).clamp(max=max(1, overlap))
