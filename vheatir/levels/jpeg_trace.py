"""The JPEG quality that an image was once compressed with, read from its pixels, whatever file it lies in now.

Compression leaves the DCT coefficients of the 8x8 blocks near multiples of the quantisation step q, so that the mean
of cos(2 pi c / q) over coefficients c is near 1; in an image that was never compressed it is near 0.
Measured on 250 photographs: never above 0.04 for clean ones (JPEG files of quality 95 included); above 0.3 for 95 in
100 of those compressed at quality 60 to 92, whether saved as PNG or as JPEG of quality 95 afterwards.

Compression of a lower quality leaves its trace through a later one of a higher quality, on the same block grid or on
another; the lower one did the damage, so it is the one to restore from.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.imageio.jpeg import scaled_luminance_table
from vheatir.levels.blocks import block_dct, full_scale

__all__ = ["estimate_jpeg_quality", "grid_origin", "lowest_jpeg_quality"]

_QUALITIES: Final = range(10, 93)  # above, the steps are so small that 8-bit rounding hides them
_FREQUENCIES: Final = tuple((n, m) for n in range(6) for m in range(6) if 0 < n + m < 6)
_MIN_STEP: Final = 3
_MIN_COEFFICIENTS: Final = 500
_MAX_BLOCKS: Final = 4096
_THRESHOLD: Final = 0.2
_GRID: Final = 8
#: side of the middle part that is looked at
_PART: Final = 2048


def lowest_jpeg_quality(pixels: NDArray[Any]) -> int | None:
    """Return the lowest libjpeg quality that an image shows a trace of, or None if it shows none.

    Two block grids are looked at: that of the upper left corner, and where the image is most blocky, so that images
    cropped after compression are found too. The middle 2048 x 2048 pixels stand for the image.

    Args:
        pixels: (H, W) or (H, W, 3) RGB, uint8, uint16, or float in [0, 1].
    """
    gray = _luma(_middle(pixels))
    origins = {(0, 0), grid_origin(gray)}
    found = [estimate_jpeg_quality(gray[top:, left:]) for top, left in origins]
    return min((quality for quality in found if quality is not None), default=None)


def grid_origin(gray: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the row and column, 0 to 7, at which the block grid of an image most likely starts.

    That is where neighbouring pixels differ most, compared with the pairs before and behind: at the blocks' edges.

    Args:
        gray: luma, (H, W), 0..255.
    """
    return _first_edge(gray), _first_edge(gray.T)


def estimate_jpeg_quality(gray: NDArray[np.uint8]) -> int | None:
    """Return the libjpeg quality whose steps an image's coefficients follow, or None if they follow none.

    Only a block grid that starts at the upper left corner is looked for.

    Args:
        gray: luma, (H, W), 0..255.
    """
    blocks = _coefficients(gray)
    magnitudes = {(n, m): np.abs(blocks[:, n, m]) for n, m in _FREQUENCIES}
    sums: dict[tuple[int, int, int], tuple[float, int]] = {}
    best_score, best_quality = _THRESHOLD, None
    for quality in _QUALITIES:
        steps = scaled_luminance_table(quality)
        total, count = 0.0, 0
        for n, m in _FREQUENCIES:
            key = (n, m, int(steps[n, m]))
            if key[2] < _MIN_STEP:
                continue
            if key not in sums:
                sums[key] = _regularity(magnitudes[n, m], key[2])
            total, count = total + sums[key][0], count + sums[key][1]
        if count >= _MIN_COEFFICIENTS and total / count > best_score:
            best_score, best_quality = total / count, quality
    return best_quality


def _first_edge(gray: NDArray[np.uint8]) -> int:
    """Row, 0 to 7, of the strongest horizontal edges of period 8."""
    steps = np.abs(np.diff(gray.astype(np.int16), axis=0)).mean(axis=1)
    if len(steps) < 2 * _GRID:
        return 0
    excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2  # at index i: between rows i + 1 and i + 2
    strengths = [np.median(excess[(row - 2) % _GRID :: _GRID]) for row in range(_GRID)]
    return int(np.argmax(strengths))


def _middle(pixels: NDArray[Any]) -> NDArray[Any]:
    """At most 2048 x 2048 pixels in the middle, cut on the grid of the upper left corner."""
    top, left = (max(0, size - _PART) // 2 // _GRID * _GRID for size in pixels.shape[:2])
    return pixels[top : top + _PART, left : left + _PART]


def _luma(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        scale = np.float32(255 / full_scale(pixels))
        pixels = np.clip(np.rint(pixels.astype(np.float32) * scale), 0, 255).astype(np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return pixels.reshape(pixels.shape[:2])
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _coefficients(gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the block DCT coefficients of at most ``_MAX_BLOCKS`` blocks spread over the image, (n, 8, 8)."""
    rows, columns = gray.shape[0] // 8, gray.shape[1] // 8
    blocks = gray[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    return block_dct(blocks[:: -(-len(blocks) // _MAX_BLOCKS) or 1].astype(np.float64))


def _regularity(magnitudes: NDArray[np.float64], step: int) -> tuple[float, int]:
    """Return the sum of cos(2 pi c / step) over the coefficients not rounded to 0, and their number."""
    coded = magnitudes[magnitudes >= step / 2]
    return float(np.cos(2 * np.pi * coded / step).sum()), len(coded)
