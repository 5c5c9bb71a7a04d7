"""Metrics between two 8-bit images, each a function ``metric(restored, truth)``.

Images are uint8, (H, W) or (H, W, 3) RGB, of one shape. What is needed beyond inference comes with
``pip install "vheatir[metrics]"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vheatir.evaluation.metrics import lpips as _lpips
from vheatir.evaluation.metrics import psnr_b as _psnr_b
from vheatir.evaluation.metrics import ssim as _ssim
from vheatir.evaluation.metrics.lpips import load_lpips
from vheatir.evaluation.metrics.psnr import psnr
from vheatir.evaluation.metrics.psnr_b import psnr_b
from vheatir.evaluation.metrics.ssim import ssim
from vheatir.evaluation.results import MetricName

__all__ = ["SMALLEST_SIDES", "load_lpips", "psnr", "psnr_b", "ssim"]

#: sides that an image must have, in pixels
SMALLEST_SIDES: Final[Mapping[MetricName, int]] = {
    "psnr": 1,
    "ssim": _ssim.SMALLEST_SIDE,
    "psnr_b": _psnr_b.SMALLEST_SIDE,
    "lpips": _lpips.SMALLEST_SIDE,
}
