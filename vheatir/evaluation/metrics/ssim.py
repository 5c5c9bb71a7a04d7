"""Structural similarity as MATLAB's ``ssim_index`` defines it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

__all__ = ["ssim"]


def ssim(restored: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """SSIM, up to 1, of Wang et al. (IEEE TIP 2004), as SwinIR's test script computes it.

    Gaussian window of 11 x 11 pixels with σ 1.5, only where it lies within the image; C1 = (0.01 · 255)²,
    C2 = (0.03 · 255)², population variances; mean over pixels, then over channels.

    Args:
        restored: (H, W) or (H, W, 3), sides of 11 pixels or more.
        truth: the same shape.

    Raises:
        ValueError: if the shapes differ or a side is shorter.
    """
    value = structural_similarity(
        truth,
        restored,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=None if truth.ndim == 2 else -1,
    )
    return float(value)
