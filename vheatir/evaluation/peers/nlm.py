"""Non-local means: Buades, Coll, Morel, CVPR 2005; here OpenCV's.

OpenCV's function takes 8 bits, so the noisy image is clipped and rounded first, as its users do. Windows are
OpenCV's: patches of 7, search in 21. RGB is denoised in Lab, lightness and colours apart.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["NonLocalMeans"]

#: h as a multiple of σ, chosen on the validation images by docs/scripts/peer_evidence.py
GRAY_STRENGTH: Final = 0.9
COLOR_STRENGTH: Final = (0.6, 0.6)


class NonLocalMeans:
    """Filter strength h proportional to σ.

    Args:
        gray: h / σ of gray images.
        color: h / σ of the lightness and of the two colours, for RGB.
    """

    name = "non-local means"

    def __init__(self, *, gray: float = GRAY_STRENGTH, color: tuple[float, float] = COLOR_STRENGTH) -> None:
        self._gray = gray
        self._color = color

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        eight_bits = np.clip(np.rint(degraded * np.float32(255)), 0, 255).astype(np.uint8)
        denoised = self._denoise_gray(eight_bits, level) if degraded.ndim == 2 else self._denoise(eight_bits, level)
        return denoised.astype(np.float32) / np.float32(255)

    def _denoise_gray(self, image: NDArray[np.uint8], level: float) -> NDArray[np.uint8]:
        return np.asarray(cv2.fastNlMeansDenoising(image, None, self._gray * level), dtype=np.uint8)

    def _denoise(self, image: NDArray[np.uint8], level: float) -> NDArray[np.uint8]:
        lightness, colors = (strength * level for strength in self._color)
        bgr = np.ascontiguousarray(image[..., ::-1])
        denoised = cv2.fastNlMeansDenoisingColored(bgr, None, lightness, colors)
        return np.asarray(denoised[..., ::-1], dtype=np.uint8)
