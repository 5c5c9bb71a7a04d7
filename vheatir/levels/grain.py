"""The level at which to remove an image's noise, white or not.

The high frequencies that tell the strength of white noise are what demosaicing, resizing and JPEG take away first. A
network that was trained on white noise removes such grain too, if it is told the strength of the frequencies that the
grain does have. Here they are measured in the middle of the spectrum, and told from structure by what noise is like:

- The energy of noise in the many coefficients of a block hardly varies: the calmest hundredth of the blocks shows
  nearly as much as the calmest twentieth (both against the chi-square distribution). Structure varies more.
- The spectrum of photographs falls steeply everywhere, that of grain falls behind the middle only.
- Luma and the differences of the colours are measured apart, since cameras and JPEG smooth the colours. White noise
  independent between R, G and B cannot be stronger in any of these than sqrt(2) times the root mean square.

This project's own; docs/levels.md says how well it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vheatir.levels import noise
from vheatir.levels.blocks import (
    block_dct,
    full_scale,
    overlapping_blocks,
    pixel_kurtosis,
    unsilenced,
)
from vheatir.levels.levels import mean_sigma

__all__ = ["NoiseEstimate", "estimate_noise", "is_drawn"]

_BLOCK: Final = 16
#: distance from (0, 0) of the coefficients measured, 5/16 to 1/2 of the highest frequency, and of lower and higher ones
_MIDDLE: Final = (5.0, 8.0)
_LOW: Final = (2.5, 4.5)
_HIGH: Final = (9.0, 13.0)
_MOST_BLOCKS: Final = 8_000
_FEWEST_BLOCKS: Final = 100
_CALMEST: Final = 0.01
_CALM: Final = 0.05
#: what is mistrusted: powers of calmest / calm, and of low / middle where it is more than grain's
_UNEVENNESS_POWER: Final = 3
_STEEPNESS_POWER: Final = 4
_STEEPEST_GRAIN: Final = 1.5
#: dithering has more energy at high than at middle frequencies; halftones and drawings have it in few coefficients
_BLUEST_GRAIN: Final = 2.5
_LARGEST_SPREAD: Final = 10.0
#: kurtosis of the pixels, of grain 2.8 to 3.8: pictures of two values, smoothed or scaled, have less, dots far more
_PIXELS: Final = (2.7, 4.0)
#: values or colours that are so far apart, in 8-bit units, may be dithered, with errors as large as the distance
_WIDE_GAP: Final = 2.0
#: or so many times, in a palette; colours in it, and how often each must be there in the mean
_OF_PALETTE: Final = 4.0
_LARGEST_PALETTE: Final = 256
_USES: Final = 16
_MOST_PIXELS: Final = 20_000
#: grain is so much more than the white noise of its plane: a factor, and 8-bit units
_LEAST_FACTOR: Final = 1.5
_LEAST_STEP: Final = 2.5
_LARGEST_OF_WHITE: Final = math.sqrt(2)
# orthonormal: white noise is equally strong in all planes
_OPPONENT: Final = (np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])).astype(np.float32)


@dataclass(frozen=True)
class NoiseEstimate:
    """What noise an image holds, as standard deviations in 8-bit units.

    Attributes:
        level: of the white noise to be told to a network: as strong as the image's noise where that is strongest.
        channels: of the white noise of each channel, by its high frequencies.
        is_grain: whether the level is more than the root mean square of the channels.
    """

    level: float
    channels: tuple[float, ...]
    is_grain: bool


def estimate_noise(image: npt.NDArray[Any]) -> NoiseEstimate:
    """Estimate how strong an image's noise is, white or not.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3), uint8, uint16, or float in [0, 1].

    Returns:
        The estimate; grain is not looked for in images that hold fewer than 100 blocks of 16 x 16 pixels.
    """
    dithering = _dithering(image)
    channels = tuple(sigma if sigma >= dithering else 0.0 for sigma in noise.estimate_sigma(image))
    white = mean_sigma(channels)
    large = _planes(image, _BLOCK, most=_MOST_BLOCKS, least=_FEWEST_BLOCKS)
    if large.shape[1] < _FEWEST_BLOCKS:
        return NoiseEstimate(white, channels, is_grain=False)
    small = _planes(image, noise.BLOCK, most=noise.MOST_BLOCKS, least=noise.FEWEST_BLOCKS)
    level = max(map(_plane_level, _opponent(small), _opponent(large)))
    is_grain = level > max(_LARGEST_OF_WHITE * white + _LEAST_STEP, dithering)
    # halftones of three angles look like grain where the channels are added up, but in none of them
    if is_grain and any(_grain_sigma(plane) > 0 for plane in large):
        return NoiseEstimate(level, channels, is_grain=True)
    return NoiseEstimate(white, channels, is_grain=False)


def is_drawn(image: npt.NDArray[Any]) -> bool:
    """Tell whether an image has no part that could hold noise: halftones, dithered pictures, codes, blank pages.

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3), uint8, uint16, or float in [0, 1]; at least 8 x 8 pixels, or it is not.
    """
    is_large = min(image.shape[:2]) >= noise.BLOCK
    return is_large and (_planes(image, noise.BLOCK, most=_MOST_BLOCKS, least=1).shape[1] == 0 or _dithering(image) > 0)


def _dithering(image: npt.NDArray[Any]) -> float:
    """The strongest noise, in 8-bit units, that may be the dithering of few values or of a palette instead; or 0.

    It is told by how far apart the values are: noise has values next to each other, and too many colours to count.
    """
    pixels = image.reshape(-1, image.shape[2] if image.ndim == 3 else 1)
    pixels = pixels[:: len(pixels) // _MOST_PIXELS + 1] * np.float32(255 / full_scale(image))
    channels = [np.unique(channel, return_inverse=True) for channel in pixels.T]
    steps = [np.diff(values) for values, _ in channels]
    gap = min((float(np.median(step)) for step in steps if len(step)), default=0.0)
    if not (pixels == pixels[:, :1]).all():
        gap = max(gap, _gap_of_palette(channels))
    return gap if gap >= _WIDE_GAP else 0.0


def _gap_of_palette(channels: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]]) -> float:
    """Distance that errors may have where there are few colours, or 0: values of each channel, and each pixel's one."""
    sizes, places = [len(values) for values, _ in channels], [place.ravel() for _, place in channels]
    kinds = np.unique(np.ravel_multi_index(places, sizes))  # whole numbers are far faster to sort than colours
    if not 1 < len(kinds) <= min(_LARGEST_PALETTE, len(places[0]) / _USES):
        return 0.0
    colors = np.stack(
        [values[at] for (values, _), at in zip(channels, np.unravel_index(kinds, sizes), strict=True)], axis=1
    )
    distances = np.linalg.norm(colors[:, None] - colors, axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = float(np.median(distances.min(axis=1)))
    return _OF_PALETTE * nearest if nearest >= _WIDE_GAP else 0.0


def _planes(image: npt.NDArray[Any], side: int, *, most: int, least: int) -> npt.NDArray[np.float32]:
    """Blocks of R, G and B, (3, N, side, side), or of a gray image, (1, N, side, side)."""
    planes = image[..., None] if image.ndim == 2 else image
    blocks = unsilenced(overlapping_blocks(planes, side, most=most), least=least)
    return blocks[:, :1].swapaxes(0, 1) if (blocks == blocks[:, :1]).all() else blocks.swapaxes(0, 1)


def _opponent(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Luma and two differences of colours, of the shape of R, G and B; of a gray image itself."""
    return np.tensordot(_OPPONENT, planes, axes=1) if len(planes) == 3 else planes


def _plane_level(small: npt.NDArray[np.float32], large: npt.NDArray[np.float32]) -> float:
    """The level of a plane: of its white noise, or of its grain where there is more of it."""
    (white, is_noise), grain = noise.measured_sigma(small), _grain_sigma(large)
    return grain if grain > _LEAST_FACTOR * white + _LEAST_STEP else white if is_noise else 0.0


def _grain_sigma(blocks: npt.NDArray[np.float32]) -> float:
    """The noise at middle frequencies, in 8-bit units, less what structure has likely added to it."""
    coefficients = block_dct(blocks)
    energy = np.square(coefficients)
    middle, low = (_ring_energy(energy, ring) for ring in (_MIDDLE, _LOW))
    calmest, calm = _deviation(middle, _CALMEST), _deviation(middle, _CALM)
    if calmest == 0 or not _is_grain(coefficients[middle.of_blocks <= np.quantile(middle.of_blocks, _CALM)]):
        return 0.0
    steepness = _deviation(low, _CALMEST) / calmest
    trust = min(1.0, calmest / calm) ** _UNEVENNESS_POWER * min(1.0, _STEEPEST_GRAIN / steepness) ** _STEEPNESS_POWER
    return 255.0 * calmest * trust


def _is_grain(coefficients: npt.NDArray[np.float32]) -> bool:
    """Tell whether the energy of blocks is spread over the coefficients, and over the pixels, as that of grain."""
    mean = np.square(coefficients).mean(axis=0)
    middle, high = (mean[_ring(ring)] for ring in (_MIDDLE, _HIGH))
    is_blue = high.mean() > _BLUEST_GRAIN * middle.mean()
    is_even = middle.max() <= _LARGEST_SPREAD * (1 + 4 / math.sqrt(len(coefficients))) * middle.min()
    if is_blue or not is_even:
        return False
    return _PIXELS[0] <= pixel_kurtosis(coefficients * ~_ring((0.0, _LOW[0]))) <= _PIXELS[1]


@dataclass(frozen=True)
class _RingEnergy:
    """Mean energy of each block's coefficients in a ring, and how many these are."""

    of_blocks: npt.NDArray[np.float32]
    coefficients: int


def _ring_energy(energy: npt.NDArray[np.float32], ring: tuple[float, float]) -> _RingEnergy:
    chosen = _ring(ring)
    return _RingEnergy(energy[:, chosen].mean(axis=1), int(chosen.sum()))


def _ring(ring: tuple[float, float]) -> npt.NDArray[np.bool_]:
    distance = np.hypot.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    chosen: npt.NDArray[np.bool_] = (distance >= ring[0]) & (distance < ring[1])
    return chosen


def _deviation(ring: _RingEnergy, share: float) -> float:
    """Standard deviation of the noise, if noise is all that the calmest share of the blocks holds."""
    quantile = float(np.quantile(ring.of_blocks, share))
    return math.sqrt(quantile / _chi_square_quantile(share, ring.coefficients))


def _chi_square_quantile(share: float, count: int) -> float:
    """Quantile of the mean of ``count`` squared standard normal numbers (Wilson and Hilferty 1931; to 1 in 1000)."""
    spread = 2 / (9 * count)
    return (1 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread)) ** 3
