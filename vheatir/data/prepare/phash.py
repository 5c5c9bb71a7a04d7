"""Perceptual hash of an image: the signs of its lowest DCT frequencies, blind to size, compression and brightness.

The method is the widely used "pHash": reduce the image to 32x32, take the 8x8 lowest frequencies of its DCT, and
note which of them lie above their median. What differs: the hashes of all 8 flips and rotations come from one
DCT, since mirroring an image only changes the sign of its odd frequencies, and transposing it transposes them.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["hamming_distance", "hash_orientations", "perceptual_hash"]

Hash = NDArray[np.uint8]

_THUMBNAIL: Final = 32
_FREQUENCIES: Final = 8
_ODD_SIGNS: Final = (-1.0) ** np.arange(_FREQUENCIES)
_BIT_COUNT: Final = np.array([bin(byte).count("1") for byte in range(256)])


def perceptual_hash(gray: NDArray[np.uint8]) -> Hash:
    """Return the 64-bit perceptual hash of a gray image.

    Args:
        gray: (H, W), at least 1x1, 0..255.

    Returns:
        (8,) bytes, one a row of frequencies. The bit of the mean brightness is always 0.
    """
    return _threshold(_low_frequencies(gray))


def hash_orientations(gray: NDArray[np.uint8]) -> Hash:
    """Return the hashes of the 8 flips and rotations of a gray image (H, W), shape (8, 8); the first is its own."""
    coefficients = _low_frequencies(gray)
    hashes = [
        _threshold(base * vertical[:, None] * horizontal[None, :])
        for base in (coefficients, coefficients.T)
        for vertical in (np.ones(_FREQUENCIES), _ODD_SIGNS)
        for horizontal in (np.ones(_FREQUENCIES), _ODD_SIGNS)
    ]
    return np.stack(hashes)


def hamming_distance(first: Hash, second: Hash) -> NDArray[np.int64]:
    """Return in how many of the 64 bits hashes differ: (..., 8) and (..., 8) bytes, broadcast, give (...)."""
    return np.asarray(_BIT_COUNT[first ^ second].sum(axis=-1))


def _low_frequencies(gray: NDArray[np.uint8]) -> NDArray[np.floating[Any]]:
    thumbnail = cv2.resize(gray, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    coefficients = np.asarray(cv2.dct(thumbnail.astype(np.float32)), dtype=np.float32)
    return coefficients[:_FREQUENCIES, :_FREQUENCIES]


def _threshold(coefficients: NDArray[np.floating[Any]]) -> Hash:
    bits = coefficients > np.median(coefficients.ravel()[1:])
    bits[0, 0] = False  # the mean says nothing about the content
    return np.packbits(bits, axis=1)[:, 0]
