"""Square blocks of an image and their cosine transform: what the estimators of noise look at."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["block_dct", "full_scale", "overlapping_blocks", "pixel_kurtosis", "unclipped", "unsilenced"]

Floating = TypeVar("Floating", np.float32, np.float64)

#: share of a block's pixels that may be black or white at full scale
_CLIPPED_SHARE = 0.05
#: if a smaller share of the blocks remains, the others count too
_LEAST_UNCLIPPED = 0.3


def _seen_deviation(cut: float) -> float:
    """Standard deviation of normal numbers of deviation 1 of which the largest, a share, are cut off to one value."""
    law = NormalDist()
    limit = law.inv_cdf(1 - cut)
    lost = law.pdf(limit) - limit * cut  # of the mean
    return math.sqrt(1 - cut - limit * law.pdf(limit) + limit**2 * cut - lost**2)


_CUT_SHARES = np.linspace(0.001, 0.6, 100)
#: less than that in the calmest blocks, which are those that more is cut off from (measured on white and gray paper)
_SEEN_DEVIATIONS = np.array([_seen_deviation(float(cut)) * (1 - 0.32 * cut) for cut in _CUT_SHARES])
#: a block holds no noise if so many of its rows, or columns, have one value each
_CONSTANT_LINES = 2
#: or if it has no more than four values, and they are as far apart as this
_FAR_APART = 8 / 255
#: or if so many of its values lie in the first and the last eighth of their range
_SHARE_AT_ENDS = 0.75
#: so many blocks have to be left, by the number of those of few values
_LEAST_OF_DRAWN = 0.2


def overlapping_blocks(image: npt.NDArray[Any], side: int, *, most: int) -> npt.NDArray[np.float32]:
    """Take blocks at regular positions all over the image.

    Args:
        image: shape (H, W) or (H, W, C).
        side: of a block, in pixels.
        most: about how many blocks to take.

    Returns:
        Shape (blocks, side, side) or (blocks, C, side, side), values from 0 to 1; none if no block fits.
    """
    if min(image.shape[:2]) < side:
        return np.empty((0, *image.shape[2:], side, side), np.float32)
    positions = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))
    # an odd step meets every position in the blocks of a JPEG
    step = math.ceil(math.sqrt(positions.shape[0] * positions.shape[1] / most)) | 1
    taken = positions[::step, ::step]
    blocks: npt.NDArray[np.float32] = taken.reshape(-1, *taken.shape[2:]).astype(np.float32)
    return blocks / np.float32(full_scale(image))


def unclipped(blocks: npt.NDArray[np.float32], *, least: int) -> npt.NDArray[np.float32]:
    """Leave out blocks that black or white hides the noise of, in more than a twentieth of the pixels.

    Pages and skies may leave few others. Then all are returned, made larger by as much as noise of a normal law loses
    where so many of its values are cut off (Foi 2009, as in vheatir/inference/clipping.py).

    Args:
        blocks: shape (blocks, side, side) or (blocks, C, side, side).
        least: how many have to remain, and three tenths of all.
    """
    shares = ((blocks <= 0) | (blocks >= 1)).mean(axis=(-2, -1))
    kept: npt.NDArray[np.float32] = blocks[(shares if shares.ndim == 1 else shares.max(axis=1)) <= _CLIPPED_SHARE]
    if len(kept) >= max(least, _LEAST_UNCLIPPED * len(blocks)):
        return kept
    seen = np.interp(shares, _CUT_SHARES, _SEEN_DEVIATIONS).astype(np.float32)
    restored: npt.NDArray[np.float32] = blocks / seen[..., None, None]
    return restored


def unsilenced(blocks: npt.NDArray[np.float32], *, least: int) -> npt.NDArray[np.float32]:
    """Leave out blocks that cannot hold noise: of bars, borders, captions and drawings, of dithered and 1-bit pictures.

    They have, in one channel, two constant rows or columns, or few values that are far apart. Of the others,
    :func:`unclipped` blocks are returned.

    Args:
        blocks: shape (blocks, side, side) or (blocks, C, side, side).
        least: none are returned if fewer would remain, or only the few of a halftone that look otherwise.
    """
    if len(blocks) == 0:
        return blocks
    planes = blocks.reshape(-1, *blocks.shape[-2:])
    rows = (planes == planes[..., :1]).all(axis=2).sum(axis=1)
    columns = (planes == planes[:, :1]).all(axis=1).sum(axis=1)
    is_constant = ((rows >= _CONSTANT_LINES) | (columns >= _CONSTANT_LINES)).reshape(len(blocks), -1).any(axis=1)
    is_drawn = _has_few_values(planes).reshape(len(blocks), -1).any(axis=1)
    is_silent = is_constant | is_drawn
    kept = unclipped(blocks[~is_silent], least=least)
    is_enough = len(kept) >= max(least, _LEAST_OF_DRAWN * is_drawn.sum())
    return kept if is_enough or not is_silent.any() else kept[:0]


def _has_few_values(blocks: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    pixels = blocks.reshape(len(blocks), -1)
    low, high = pixels.min(axis=1, keepdims=True), pixels.max(axis=1, keepdims=True)
    second = np.where(pixels > low, pixels, np.inf).min(axis=1, keepdims=True)
    last_but_one = np.where(pixels < high, pixels, -np.inf).max(axis=1, keepdims=True)
    is_one_of_four = (pixels <= second) | (pixels >= last_but_one)
    few: npt.NDArray[np.bool_] = is_one_of_four.all(axis=1) & ((high - low)[:, 0] >= _FAR_APART)
    # two values that JPEG or scanning has spread: noise has few values at the ends of its range
    ends = (pixels < low + (high - low) / 8) | (pixels > high - (high - low) / 8)
    at_ends: npt.NDArray[np.bool_] = (ends.mean(axis=1) >= _SHARE_AT_ENDS) & ((high - low)[:, 0] >= 4 * _FAR_APART)
    has_both: npt.NDArray[np.bool_] = (
        np.minimum((pixels <= 0).mean(axis=1), (pixels >= 1).mean(axis=1)) > _CLIPPED_SHARE
    )
    return few | at_ends | has_both


def full_scale(image: npt.NDArray[Any]) -> float:
    """What white is in an image of this type: 255, 65535, or 1 for floating point."""
    return float(np.iinfo(image.dtype).max) if np.issubdtype(image.dtype, np.integer) else 1.0


def block_dct(blocks: npt.NDArray[Floating]) -> npt.NDArray[Floating]:
    """Orthonormal two-dimensional DCT-II: blocks (N, side, side) -> coefficients of that shape and dtype."""
    basis = _basis(blocks)
    return (blocks.reshape(-1, len(basis)) @ basis.T).reshape(blocks.shape)


def pixel_kurtosis(coefficients: npt.NDArray[Floating]) -> float:
    """Mean fourth power of the pixels by the square of their mean square, mean over blocks given by their DCT.

    It is nearly 3 for noise, 1 for two values, and more for few pixels that differ from the others.
    """
    basis = _basis(coefficients)
    pixels = coefficients.reshape(-1, len(basis)) @ basis
    square = np.square(pixels)
    return float(np.mean(np.square(square).mean(axis=1) / np.square(square.mean(axis=1) + np.finfo(np.float32).tiny)))


def _basis(blocks: npt.NDArray[Floating]) -> npt.NDArray[Floating]:
    """The transform of whole blocks, since one large product is far faster than thousands of small ones."""
    side = blocks.shape[-1]
    n, i = np.arange(side)[:, None], np.arange(side)
    line = np.cos(np.pi * n * (2 * i + 1) / (2 * side)) * np.sqrt(np.where(n == 0, 1, 2) / side)
    plane: npt.NDArray[Floating] = np.kron(line, line).astype(blocks.dtype)
    return plane
