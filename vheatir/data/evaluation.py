"""Clean and degraded images of the field's evaluation protocol: the one place that makes them.

It is that of SwinIR's test script (Liang et al., ICCVW 2021): validation, ``vheatir test`` and ``vheatir benchmark``
all score what these functions return.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vheatir.data.color import rgb_to_studio_luma
from vheatir.data.degradations import benchmark_noise, encode_jpeg, to_unit
from vheatir.data.sources import ImageSource
from vheatir.nn.condition import UNKNOWN, jpeg_condition, noise_condition

__all__ = ["Task", "Tell", "clean_image", "degraded_image", "told_condition"]

Task = Literal["denoise", "jpeg"]
#: which levels a network of two levels is told; None is for a network of one level
Tell = Literal["all", "none"] | None
Image = NDArray[np.uint8]


def clean_image(source: ImageSource, index: int, *, task: Task, channels: int, full_range: bool = False) -> Image:
    """Read the ground truth of one image.

    Args:
        source: the images.
        index: which of them.
        task: gray denoising scores OpenCV's gray (0 to 255); gray JPEG MATLAB's Y (16 to 235) of a colour file, and a
            gray file as it is.
        channels: 1 for gray, 3 for RGB.
        full_range: score OpenCV's gray in gray JPEG too, which is not the protocol.

    Returns:
        (H, W), or (H, W, 3) RGB.
    """
    if task == "denoise" or channels == 3 or full_range:
        return source.read(index, channels)
    color = source.read(index, 3)
    is_gray = bool((color[..., :1] == color).all())
    return color[..., 0] if is_gray else rgb_to_studio_luma(color)


def degraded_image(clean: Image, *, task: Task, level: float, seed: int = 0) -> NDArray[np.float32]:
    """Degrade a clean image as the protocol says.

    Args:
        clean: (H, W), or (H, W, 3) RGB.
        task: "denoise" adds noise, neither clipped nor rounded; "jpeg" compresses with OpenCV.
        level: σ in 8-bit units, or the JPEG quality, a whole number.
        seed: of the noise, the same for every image; the protocol's is 0.

    Returns:
        Shape of ``clean``, in [0, 1]; noise may leave that range.
    """
    if task == "denoise":
        return benchmark_noise(clean, level, seed=seed)
    return to_unit(encode_jpeg(clean, int(level)))


def told_condition(task: Task, level: float, tell: Tell) -> NDArray[np.float32]:
    """What a network is told of a level: a scalar, or (2,), noise and JPEG compression, for a network of two levels.

    Args:
        task: what the level is of.
        level: σ in 8-bit units, or the JPEG quality.
        tell: "all" says that there is nothing else, "none" leaves both levels to the network.
    """
    condition = noise_condition(level) if task == "denoise" else jpeg_condition(level)
    if tell is None:
        return np.array(condition, dtype=np.float32)
    if tell == "none":
        return np.array([UNKNOWN, UNKNOWN], dtype=np.float32)
    return np.array([condition, 0] if task == "denoise" else [0, condition], dtype=np.float32)
