"""A picture to look at: before, after and their difference, whole and enlarged where most has changed."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["comparison"]

Array = npt.NDArray[Any]

_SIDE: Final = 480
_CROP: Final = 120
_GAIN: Final = 4.0
_GAP: Final = 4


def comparison(before: Array, after: Array) -> npt.NDArray[np.uint8]:
    """Lay out before | after | difference, and below them the square of 120 pixels that changed most, enlarged.

    Args:
        before: (H, W) or (H, W, 3), uint8 or uint16.
        after: the same shape and type.

    Returns:
        RGB picture, uint8. Differences are four times enlarged around middle gray.
    """
    first, second = _eight_bits(before), _eight_bits(after)
    height, width = first.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    whole = _row(*(cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (first, second)))
    top, left = _most_changed(first, second)
    crops = (image[top : top + _CROP, left : left + _CROP] for image in (first, second))
    zoom = max(1, round(_SIDE / _CROP))
    detail = _row(*(crop.repeat(zoom, axis=0).repeat(zoom, axis=1) for crop in crops))
    return _stack(whole, detail)


def _eight_bits(image: Array) -> Array:
    eight = image if image.dtype == np.uint8 else (image // 257).astype(np.uint8)
    return eight if eight.ndim == 3 else np.repeat(eight[..., None], 3, axis=2)


def _row(before: Array, after: Array) -> Array:
    change = (after.astype(np.float32) - before) * _GAIN + 128
    difference = np.clip(np.rint(change), 0, 255).astype(np.uint8)
    gap = np.full((before.shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate((before, gap, after, gap, difference), axis=1)


def _stack(upper: Array, lower: Array) -> Array:
    width = max(upper.shape[1], lower.shape[1])
    rows = [np.pad(row, ((0, _GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in (upper, lower)]
    return np.concatenate(rows, axis=0)


def _most_changed(before: Array, after: Array) -> tuple[int, int]:
    """Upper left corner of the square, among those on a grid of its own side, with the largest sum of changes."""
    height, width = before.shape[:2]
    corners = [
        (min(top, max(0, height - _CROP)), min(left, max(0, width - _CROP)))
        for top in range(0, height, _CROP)
        for left in range(0, width, _CROP)
    ]

    def change(corner: tuple[int, int]) -> float:
        rows, columns = slice(corner[0], corner[0] + _CROP), slice(corner[1], corner[1] + _CROP)
        return float(cv2.norm(before[rows, columns], after[rows, columns], cv2.NORM_L1))

    return max(corners, key=change)
