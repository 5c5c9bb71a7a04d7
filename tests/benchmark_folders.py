"""Small sets of images, and peers, for the tests of the benchmark."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

__all__ = ["COLOR", "GRAY", "darken", "halve", "refuse", "shrink", "write"]

#: photographs by file name
GRAY = {"b.png": data.camera()[100:140, 200:248], "a.png": data.camera()[200:240, 100:132]}
COLOR = {"x.png": data.astronaut()[:40, 100:148], "deep/y.bmp": data.astronaut()[60:100, 100:140]}


def write(folder: Path, images: dict[str, NDArray[np.uint8]]) -> Path:
    """Write (H, W) or RGB (H, W, 3) images."""
    for name, image in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1])
    return folder


def darken(degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """A peer: takes level / 255 from the image, in place, which must not harm the others."""
    degraded -= np.float32(level / 255)
    return degraded


def halve(degraded: NDArray[np.float32], level: float) -> NDArray[np.float64]:
    """A peer that forgets about float32; half at level 25."""
    return degraded.astype(np.float64) * level / 50


def shrink(degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """A peer that returns another shape."""
    return degraded[int(level > 0) :]


def refuse(degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """A peer that cannot."""
    raise ValueError(f"only multiples of 7, not {level:g} for {degraded.shape}")
