"""Luminance as MATLAB's rgb2ycbcr computes it (ITU-R BT.601, studio swing)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["full_to_studio_swing", "rgb_to_studio_luma"]


def rgb_to_studio_luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """MATLAB's Y, 16 to 235: ``16 + (65.481 R + 128.553 G + 24.966 B) / 255``, rounded.

    Args:
        rgb: shape (H, W, 3).

    Returns:
        Shape (H, W).
    """
    luma = rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16
    return np.asarray(luma.round(), dtype=np.uint8)


def full_to_studio_swing(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map gray levels 0 to 255 onto 16 to 235, rounded; any shape."""
    return np.asarray((gray * (219 / 255) + 16).round(), dtype=np.uint8)
