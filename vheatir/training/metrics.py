"""Metrics of validation, by their names in option files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vheatir.evaluation.metrics.psnr import psnr
from vheatir.evaluation.metrics.ssim import ssim
from vheatir.imageio.images import Image
from vheatir.imageio.write import write_image

__all__ = ["Metric", "calculate_psnr", "calculate_ssim", "save_png", "to_image"]

#: ``metric(restored, truth, **options)`` of two images as :func:`to_image` makes them
Metric = Callable[..., float]

#: of R, G and B in [0, 255] in the luma of ITU-R BT.601, which begins at 16
_LUMA: Final = np.array([65.481, 128.553, 24.966]) / 255


def to_image(restored: Tensor) -> NDArray[np.uint8]:
    """A batch of one image, (1, C, H, W) with values in [0, 1] -> (H, W) or (H, W, 3), clipped and rounded."""
    image: NDArray[np.uint8] = restored[0].float().clamp(0, 1).mul(255).round().byte().cpu().numpy()
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W) or (H, W, 3), RGB, and the folders that lead there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(image))


def calculate_psnr(restored: NDArray[Any], truth: NDArray[Any], *, crop_border: int, **options: bool) -> float:
    """PSNR in dB; ``crop_border`` and ``test_y_channel`` as :func:`_measured` takes them."""
    return psnr(*(_measured(image, crop_border, **options) for image in (restored, truth)))


def calculate_ssim(restored: NDArray[Any], truth: NDArray[Any], *, crop_border: int, **options: bool) -> float:
    """SSIM; ``crop_border`` and ``test_y_channel`` as :func:`_measured` takes them."""
    return ssim(*(_measured(image, crop_border, **options) for image in (restored, truth)))


def _measured(image: NDArray[Any], crop_border: int, test_y_channel: bool = False) -> NDArray[Any]:
    """What counts of (H, W) or (H, W, 3): without ``crop_border`` pixels at each side, and of colour the luma alone."""
    height, width = image.shape[:2]
    image = image[crop_border : height - crop_border, crop_border : width - crop_border]
    return image @ _LUMA + 16 if test_y_channel and image.ndim == 3 else image
