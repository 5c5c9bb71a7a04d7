"""Decoded pixels as training sees them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["is_gray", "to_eight_bits", "to_luma"]


def to_eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return uint8 or uint16 pixels, any shape, as uint8; 65535 becomes 255."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_luma(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the 8-bit BT.601 luma (H, W) of (H, W) gray or (H, W, 3) RGB pixels, uint8 or uint16."""
    eight_bits = to_eight_bits(pixels)
    return eight_bits if eight_bits.ndim == 2 else np.asarray(cv2.cvtColor(eight_bits, cv2.COLOR_RGB2GRAY), np.uint8)


def is_gray(pixels: NDArray[Any]) -> bool:
    """Tell whether pixels, (H, W) or (H, W, 3), have no colour."""
    return pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all())
