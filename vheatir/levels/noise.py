"""The standard deviation of an image's white noise, estimated from the image alone.

Source: Ponomarenko, Lukin, Zriakhov, Kaarna and Astola, "An automatic approach to lossy compression of AVIRIS images",
IGARSS 2007. White noise is as strong in every coefficient of a block's orthonormal DCT, and independent between them:
blocks with little energy at low frequencies are flat ones, and their high frequencies hold noise alone. What differs:
blocks overlap, clipped ones are left out, and the deviation is taken by the median.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vheatir.levels.blocks import block_dct, overlapping_blocks, unclipped

__all__ = ["BLOCK", "FEWEST_BLOCKS", "MOST_BLOCKS", "estimate_sigma", "white_sigma"]

#: side of a block
BLOCK: Final = 8
#: coefficients (n, m) with n + m below are low frequencies
_FIRST_HIGH: Final = 9
_FLAT_SHARE: Final = 0.05
#: fewer blocks tell nothing
FEWEST_BLOCKS: Final = 32
#: more blocks tell nothing new
MOST_BLOCKS: Final = 60_000


def estimate_sigma(image: npt.NDArray[Any]) -> tuple[float, ...]:
    """Estimate the noise of each channel.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16, or float in [0, 1].

    Returns:
        Standard deviation of each channel in 8-bit units; 0 where the image is smaller than a block of 8 x 8 pixels.
    """
    planes = image[..., None] if image.ndim == 2 else image
    return tuple(_plane_sigma(planes[..., channel]) for channel in range(planes.shape[2]))


def _plane_sigma(plane: npt.NDArray[Any]) -> float:
    blocks = overlapping_blocks(plane, BLOCK, most=MOST_BLOCKS)
    return white_sigma(unclipped(blocks, least=FEWEST_BLOCKS))


def white_sigma(blocks: npt.NDArray[np.float32]) -> float:
    """Return the standard deviation, in 8-bit units, that the flattest of blocks (N, 8, 8) show; white is 1."""
    if len(blocks) == 0:
        return 0.0
    coefficients = block_dct(blocks)
    order = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    low, high = (order > 0) & (order < _FIRST_HIGH), order >= _FIRST_HIGH
    texture = np.square(coefficients[:, low]).sum(axis=1)
    count = min(len(texture), max(FEWEST_BLOCKS, round(len(texture) * _FLAT_SHARE)))
    flat = np.argpartition(texture, count - 1)[:count]
    return float(np.median(np.abs(coefficients[flat][:, high]))) / 0.6745 * 255.0
