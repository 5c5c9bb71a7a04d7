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

from vheatir.levels.blocks import block_dct, overlapping_blocks, pixel_kurtosis, unsilenced

__all__ = ["BLOCK", "FEWEST_BLOCKS", "MOST_BLOCKS", "estimate_sigma", "measured_sigma"]

#: side of a block
BLOCK: Final = 8
_ORDER: Final = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
_LOW: Final = (_ORDER > 0) & (_ORDER < 9)
_MIDDLE: Final = (_ORDER > 2) & (_ORDER < 9)
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
#: noise may fill only a part of the image: this share of the blocks, with middle and high frequencies that differ by
#: no more than this factor, in as many blocks the one as the other (at worst so many times fewer)
_LEAST_SHARE: Final = 0.03
_WHITE: Final = 2.2
_LEAST_BALANCE: Final = 0.3
#: mean energy of their coefficients above (0, 2), each block's own mean being 1, and the mean of its square
_EVEN: Final = (0.5, 3.0)
_LARGEST_KURTOSIS: Final = 3.6
#: kurtosis of the pixels: of noise 2.7 to 3.7, uniform 2.1, clipped at white 4.2; of a halftone less, of dots far more
_PIXELS: Final = (2.0, 5.0)
#: such a part is looked for from the strongest energies down, as far as rounding to 8 bits shows (deviations, 8-bit)
_STEP: Final = 1.25
_FAINTEST: Final = 0.75
#: it counts where the whole shows so much less
_STRONGER: Final = 1.3


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
    sigma, is_noise = measured_sigma(unsilenced(blocks, least=FEWEST_BLOCKS))
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
    sigma, is_noise = _of_flattest(coefficients)
    of_part = _of_noisy_part(coefficients)
    if of_part > 0 and not (is_noise and of_part < _STRONGER * sigma):
        sigma, is_noise = of_part, True
    return 255.0 * sigma, is_noise


def _of_flattest(coefficients: npt.NDArray[np.float32]) -> tuple[float, bool]:
    """The deviation of the high frequencies of the blocks with least energy at low ones, and whether it is of noise."""
    texture = np.square(coefficients[:, _LOW]).mean(axis=1)
    count = min(len(texture), max(FEWEST_BLOCKS, round(len(texture) * _FLAT_SHARE)))
    flat = np.argpartition(texture, count - 1)[:count]
    values = coefficients[flat][:, _HIGH]
    sigma = float(np.median(np.abs(values))) / 0.6745
    energy = np.square(values).mean(axis=0)
    is_normal = math.sqrt(energy.mean()) <= _HEAVIEST_TAILS * sigma
    steepness = np.median(texture[flat]) / max(energy.mean(), np.finfo(np.float32).tiny)
    by_chance = 1 + _CHANCE / math.sqrt(count)
    highest = min(by_chance + 0.5, 2.0) if steepness > _STEEPEST else max(_HIGHEST_PEAK, 1.5 * by_chance)
    is_even = steepness >= _BLUEST and energy.max() <= highest * np.median(energy)
    return sigma, bool(is_normal and is_even)


def _of_noisy_part(coefficients: npt.NDArray[np.float32]) -> float:
    """The deviation of the strongest white noise that a part of the blocks holds, beside others without, or 0."""
    energy = np.square(coefficients)
    middle, high = (energy[:, chosen].mean(axis=1) for chosen in (_MIDDLE, _HIGH))
    is_white = (middle < _WHITE * high) & (high < _WHITE * middle)
    fewest = max(FEWEST_BLOCKS, _LEAST_SHARE * len(energy))
    if is_white.sum() < fewest:
        return 0.0
    top, found, most = float(np.quantile(high[is_white], 0.98)), 0.0, 0
    while top > (_FAINTEST / 255) ** 2:
        inside = is_white & (high <= top) & (high > top / 4)
        count = int(inside.sum())
        if count < max(fewest, most) or not _is_noise(coefficients[inside], (middle < high)[inside]):
            if found > 0:
                break
        else:
            found, most = top, count
        top /= _STEP**2
    return _of_flattest(coefficients[high > found / 4])[0] if found > 0 else 0.0


def _is_noise(coefficients: npt.NDArray[np.float32], is_bluer: npt.NDArray[np.bool_]) -> bool:
    """Tell whether nearly white blocks are distributed as noise is: not redder than blue, even, and normal."""
    if is_bluer.mean() < _LEAST_BALANCE / (1 + _LEAST_BALANCE):
        return False
    energy = np.square(coefficients[:, _ORDER > 2])
    energy /= energy.mean(axis=1, keepdims=True)
    mean = energy.mean(axis=0)
    is_even = mean.min() >= _EVEN[0] and mean.max() <= _EVEN[1] and np.square(energy).mean() <= _LARGEST_KURTOSIS
    return bool(is_even) and _PIXELS[0] <= pixel_kurtosis(coefficients * (_ORDER > 2)) <= _PIXELS[1]
