"""PSNR that also counts the edges of JPEG's blocks."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["psnr_b"]

_BLOCK: Final = 8
#: two blocks, so that there is an edge between them
_SMALLEST_SIDE: Final = 2 * _BLOCK


def psnr_b(restored: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """PSNR-B in dB, of Yim and Bovik (IEEE TIP 2011): 10 log10(255² / (MSE + BEF)), mean over channels.

    The blocking effect factor is BEF = η (D_b - D_n) where that is positive, otherwise 0: D_b is the mean squared
    difference of neighbouring pixels of the restored image across edges of the 8-pixel grid, D_n that of all other
    neighbours, η = 3 / log2(min(H, W)). As in QGAC's code (Ehrlich et al., ECCV 2020), from which the field's tables
    come, the counts by which the sums are divided take W/8 - 1 edges a row and H/8 - 1 a column, rounded down.

    Args:
        restored: (H, W) or (H, W, 3), sides of 16 pixels or more, its upper left corner on JPEG's grid.
        truth: the same shape.

    Returns:
        dB; infinity for two equal images without edges.

    Raises:
        ValueError: if the shapes differ or a side is shorter.
    """
    if restored.shape != truth.shape:
        raise ValueError(f"PSNR-B compares images of one shape, not {restored.shape} and {truth.shape}.")
    if min(restored.shape[:2]) < _SMALLEST_SIDE:
        raise ValueError(f"PSNR-B needs sides of {_SMALLEST_SIDE} pixels or more, not {restored.shape[:2]}.")
    planes, truths = (image.reshape(*image.shape[:2], -1).astype(np.float64) for image in (restored, truth))
    error = np.square(planes - truths).mean(axis=(0, 1)) + _blocking_effect(planes)  # (C,)
    with np.errstate(divide="ignore"):
        return float(np.mean(10 * np.log10(255**2 / error)))


def _blocking_effect(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, C) -> (C,)."""
    height, width = planes.shape[:2]
    edge_sum, other_sum = (
        sum_across + sum_down
        for sum_across, sum_down in zip(_difference_sums(planes, 1), _difference_sums(planes, 0), strict=True)
    )
    edges = height * (width // _BLOCK - 1) + width * (height // _BLOCK - 1)
    others = height * (width - 1) + width * (height - 1) - edges
    excess = np.maximum(edge_sum / edges - other_sum / others, 0)
    return np.asarray(np.log2(_BLOCK) / np.log2(min(height, width)) * excess, dtype=np.float64)


def _difference_sums(planes: NDArray[np.float64], axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums (C,) of squared differences of neighbours along an axis: at the grid's edges, and everywhere else."""
    squared = np.moveaxis(np.square(np.diff(planes, axis=axis)), axis, 0)
    is_edge = np.arange(len(squared)) % _BLOCK == _BLOCK - 1
    return squared[is_edge].sum(axis=(0, 1)), squared[~is_edge].sum(axis=(0, 1))
