"""The standard deviation of an image's noise, estimated from the image alone.

Source: Ponomarenko, Lukin, Zriakhov, Kaarna and Astola, "An automatic approach to lossy compression of AVIRIS images",
IGARSS 2007. White noise is as strong in every coefficient of a block's orthonormal DCT, and independent between them:
blocks with little energy at low frequencies are flat ones, and their high frequencies hold noise alone. What differs:
blocks overlap, clipped ones are left out, and the deviation is taken by the median.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["estimate_sigma"]

_BLOCK: Final = 8
#: coefficients (n, m) with n + m below are low frequencies
_FIRST_HIGH: Final = 9
_FLAT_SHARE: Final = 0.05
_FEWEST_FLAT: Final = 32
_MOST_BLOCKS: Final = 60_000
#: share of a block's pixels that may be black or white at full scale
_CLIPPED_SHARE: Final = 0.05


def estimate_sigma(image: npt.NDArray[Any]) -> tuple[float, ...]:
    """Estimate the noise of each channel.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16, or float in [0, 1].

    Returns:
        Standard deviation of each channel in 8-bit units; 0 where the image is smaller than a block of 8 x 8 pixels.
    """
    planes = image[..., None] if image.ndim == 2 else image
    peak = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1.0
    return tuple(_plane_sigma(planes[..., channel], float(peak)) for channel in range(planes.shape[2]))


def _plane_sigma(plane: npt.NDArray[Any], peak: float) -> float:
    height, width = plane.shape
    if height < _BLOCK or width < _BLOCK:
        return 0.0
    positions = np.lib.stride_tricks.sliding_window_view(plane, (_BLOCK, _BLOCK))
    # an odd step meets every position in the blocks of a JPEG
    step = math.ceil(math.sqrt(positions.shape[0] * positions.shape[1] / _MOST_BLOCKS)) | 1
    blocks = positions[::step, ::step].reshape(-1, _BLOCK, _BLOCK).astype(np.float32) / np.float32(peak)
    clipped = ((blocks <= 0) | (blocks >= 1)).mean(axis=(1, 2))
    unclipped = blocks[clipped <= _CLIPPED_SHARE]
    basis = _dct_matrix()
    coefficients = basis @ (unclipped if len(unclipped) >= _FEWEST_FLAT else blocks) @ basis.T
    order = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    low, high = (order > 0) & (order < _FIRST_HIGH), order >= _FIRST_HIGH
    texture = np.square(coefficients[:, low]).sum(axis=1)
    count = min(len(texture), max(_FEWEST_FLAT, round(len(texture) * _FLAT_SHARE)))
    flat = np.argpartition(texture, count - 1)[:count]
    return float(np.median(np.abs(coefficients[flat][:, high]))) / 0.6745 * 255.0


def _dct_matrix() -> npt.NDArray[np.float32]:
    """Orthonormal DCT-II: row n holds the cosine of frequency pi n / 8."""
    n = np.arange(_BLOCK)
    matrix = np.sqrt(2 / _BLOCK) * np.cos(np.pi * np.outer(n, n + 0.5) / _BLOCK)
    matrix[0] /= math.sqrt(2)
    rows: npt.NDArray[np.float32] = matrix.astype(np.float32)
    return rows
