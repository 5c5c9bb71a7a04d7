"""The mean that noise lost where black and white cut it off.

Noise of standard deviation σ at a true value y near white is stored as min(y + noise, 1), whose mean is lower:
E = y - σ L((1 - y) / σ) with L(t) = φ(t) - t (1 - Φ(t)), φ and Φ the density and the distribution of the normal law.
A network that was trained on noise without limits takes white paper at σ 12 for 250 of 255. Here E is taken back to y,
and the same at black; as far as the pixels around were cut off, since a gray of 250 without noise is right.

Source: Foi, "Clipped noisy images: heteroskedastic modeling and practical denoising", Signal Processing 89(12), 2009,
section 4, of which this is the case of one σ for all values.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["with_clipped_mean"]

Array = NDArray[np.float32]

#: side of the neighbourhood in which clipped pixels are counted
_SIDE: Final = 7
#: t from 0 to where nothing is lost, 0.0004 σ, in steps between which lines are exact to 1e-7
_DISTANCES: Final = np.linspace(0, 3, 3001)
#: Φ(t)
_DISTRIBUTION: Final = np.array([(1 + math.erf(t / math.sqrt(2))) / 2 for t in _DISTANCES])
#: (1 - E) / σ at t: t Φ(t) + φ(t)
_FAR: Final = _DISTANCES * _DISTRIBUTION + np.exp(-np.square(_DISTANCES) / 2) / math.sqrt(2 * math.pi)


def with_clipped_mean(restored: Array, noisy: Array, sigma: float) -> Array:
    """Return restored values as if the noise had not been clipped at 0 and 1.

    Args:
        restored: (B, C, H, W), what a network made of ``noisy``.
        noisy: (B, C, H, W), read from whole numbers, so that clipped values are 0 or 1 exactly.
        sigma: standard deviation of the noise, white being 1; 0 changes nothing.
    """
    if sigma <= 0:
        return restored
    white, black = _lost_below_white(restored, noisy >= 1, sigma), _lost_below_white(1 - restored, noisy <= 0, sigma)
    return restored + (white - black)


def _lost_below_white(mean: Array, clipped: NDArray[np.bool_], sigma: float) -> Array:
    """What values near 1 have lost of their mean."""
    lost = np.zeros_like(mean)
    if not clipped.any():
        return lost
    seen = _shares(clipped)
    places = (seen > 0) & (mean > 1 - _FAR[-1] * sigma)
    far = (1 - mean[places]) / np.float32(sigma)
    distance = np.interp(far, _FAR, _DISTANCES)
    expected = 1 - np.interp(distance, _DISTANCES, _DISTRIBUTION)
    share = np.clip(2 * seen[places] / expected - 0.5, 0, 1)
    lost[places] = np.maximum(far - distance, 0) * sigma * share
    return lost


def _shares(clipped: NDArray[np.bool_]) -> Array:
    """How much of the neighbourhood is clipped, as far as it lies in the image."""
    shares = np.empty(clipped.shape, np.float32)
    inside = _sums(np.ones(clipped.shape[-2:], np.float32))
    for index in np.ndindex(clipped.shape[:2]):
        shares[index] = _sums(clipped[index].astype(np.float32)) / inside
    return shares


def _sums(plane: Array) -> Array:
    return np.asarray(cv2.boxFilter(plane, -1, (_SIDE, _SIDE), normalize=False, borderType=cv2.BORDER_CONSTANT))
