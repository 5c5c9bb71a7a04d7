"""Metrics between two 8-bit images, each a function ``metric(restored, truth)``.

Images are uint8, (H, W) or (H, W, 3) RGB, of one shape. What is needed beyond inference comes with
``pip install "vheatir[metrics]"``.
"""

from __future__ import annotations

from vheatir.benchmark.metrics.lpips import load_lpips
from vheatir.benchmark.metrics.psnr import psnr
from vheatir.benchmark.metrics.psnr_b import psnr_b
from vheatir.benchmark.metrics.ssim import ssim

__all__ = ["load_lpips", "psnr", "psnr_b", "ssim"]
