"""The standard deviation of an image's white noise, estimated from the image alone.

Source: Ponomarenko, Lukin, Zriakhov, Kaarna and Astola, "An automatic approach to lossy compression of AVIRIS images",
IGARSS 2007. White noise is as strong in every coefficient of a block's orthonormal DCT, and independent between them:
blocks with little energy at low frequencies are flat ones, and their high frequencies hold noise alone. What differs:
blocks overlap, those that cannot show noise are left out (clipped, constant, of few values), the deviation is taken by
the median, and is 0 where the coefficients are not distributed as noise is: halftones are not noisy.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vheatir.levels.blocks import block_dct, overlapping_blocks, unclipped, unsilenced

__all__ = ["BLOCK", "FEWEST_BLOCKS", "MOST_BLOCKS", "estimate_sigma", "measured_sigma"]

#: side of a block
BLOCK: Final = 8
_ORDER: Final = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
_LOW: Final = (_ORDER > 0) & (_ORDER < 9)
_HIGH: Final = _ORDER >= 9
_FLAT_SHARE: Final = 0.05
#: fewer blocks tell nothing
FEWEST_BLOCKS: Final = 32
#: more blocks tell nothing new
MOST_BLOCKS: Final = 60_000
#: noise is normal: the root mean square of its coefficients is that of their median, if it is the same everywhere
_HEAVIEST_TAILS: Final = 1.5
#: and as strong in every coefficient, or nearly: halftones, textures and drawings have peaks (largest by median energy)
_HIGHEST_PEAK: Final = 2.5
#: what chance makes of that ratio: 1 + this / sqrt(blocks), which overlap
_CHANCE: Final = 5.6
#: energy at low by that at high frequencies: dithering has less at low ones, structure that is everywhere has far more
_BLUEST: Final = 0.5
_STEEPEST: Final = 10.0
#: blocks whose high frequencies hold rounding to 8 bits alone, a deviation of 0.29
_SMOOTH: Final = 0.75


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
    sigma, is_noise = measured_sigma(unsilenced(unclipped(blocks, least=FEWEST_BLOCKS), least=FEWEST_BLOCKS))
    return sigma if is_noise else 0.0


def measured_sigma(blocks: npt.NDArray[np.float32]) -> tuple[float, bool]:
    """Measure what the flattest of blocks show, and tell whether it is noise.

    Args:
        blocks: (N, 8, 8), white is 1.

    Returns:
        Standard deviation of the high frequencies in 8-bit units; and whether they are distributed as noise is.
    """
    if len(blocks) == 0:
        return 0.0, False
    coefficients = block_dct(blocks)
    high = coefficients[:, _HIGH]
    sigma, is_noise = _of_flattest(coefficients, high)
    noisy = np.square(high).mean(axis=1) > (_SMOOTH / 255) ** 2
    if not is_noise and noisy.sum() >= FEWEST_BLOCKS:
        # flat parts without noise beside others: gradients that were drawn, pictures that were made smooth
        sigma, is_noise = _of_flattest(coefficients[noisy], high[noisy])
    return 255.0 * sigma, is_noise


def _of_flattest(coefficients: npt.NDArray[np.float32], high: npt.NDArray[np.float32]) -> tuple[float, bool]:
    """The deviation of the high frequencies of the blocks with least energy at low ones, and whether it is of noise."""
    texture = np.square(coefficients[:, _LOW]).mean(axis=1)
    count = min(len(texture), max(FEWEST_BLOCKS, round(len(texture) * _FLAT_SHARE)))
    flat = np.argpartition(texture, count - 1)[:count]
    values = high[flat]
    sigma = float(np.median(np.abs(values))) / 0.6745
    energy = np.square(values).mean(axis=0)
    is_normal = math.sqrt(energy.mean()) <= _HEAVIEST_TAILS * sigma
    steepness = np.median(texture[flat]) / max(energy.mean(), np.finfo(np.float32).tiny)
    by_chance = 1 + _CHANCE / math.sqrt(count)
    highest = min(by_chance + 0.5, 2.0) if steepness > _STEEPEST else max(_HIGHEST_PEAK, 1.5 * by_chance)
    is_even = steepness >= _BLUEST and energy.max() <= highest * np.median(energy)
    return sigma, bool(is_normal and is_even)
