"""How certain a difference between two methods is, the images of a set being a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Interval", "bootstrap_difference"]


@dataclass(frozen=True)
class Interval:
    """A mean difference and its interval.

    Attributes:
        mean: over the images.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def bootstrap_difference(
    first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile bootstrap (Efron, 1979) of the mean of ``first - second``, paired by image.

    Images are drawn with replacement, always both values of an image together.

    Args:
        first: one method's value of every image, shape (N,).
        second: the other's, in the same order.
        confidence: share of the resampled means inside the interval.
        resamples: how many.
        seed: of the draws, so that a table can be made again.

    Raises:
        ValueError: if the two have different lengths or are empty, or a value is infinite.
    """
    ours, theirs = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"A paired difference needs as many values of both, not {len(ours)} and {len(theirs)}.")
    differences = ours - theirs
    if not np.isfinite(differences).all():
        raise ValueError("A difference of infinite values has no mean.")
    draws = np.random.default_rng(seed).integers(len(differences), size=(resamples, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(differences.mean()), float(low), float(high))
