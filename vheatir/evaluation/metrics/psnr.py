"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

__all__ = ["psnr"]


def psnr(restored: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """PSNR in dB, over all pixels and channels jointly: 10 log10(255² / mean((restored - truth)²)).

    An image that is one step of 255 off everywhere has 20 log10(255) = 48.13 dB.

    Args:
        restored: (H, W) or (H, W, 3).
        truth: the same shape.

    Returns:
        dB; infinity for two equal images.

    Raises:
        ValueError: if the shapes differ.
    """
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(truth, restored, data_range=255))
