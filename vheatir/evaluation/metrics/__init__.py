"""Metrics between two 8-bit images, each a function ``metric(restored, truth)``, and the one list of them.

Images are uint8, (H, W) or (H, W, 3) RGB, of one shape. A new metric is a module here, its name in
:data:`MetricName` and its entry in :data:`METRICS`. Nothing heavy is imported before a metric is loaded; what some
need beyond inference comes with ``pip install "vheatir[metrics]"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["METRICS", "Metric", "MetricFacts", "MetricName", "load_metric"]

MetricName = Literal["psnr", "ssim", "psnr_b", "lpips"]
Metric: TypeAlias = "Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]"


@dataclass(frozen=True)
class MetricFacts:
    """What is known of a metric before it is loaded.

    Attributes:
        title: heading in tables.
        decimals: that tables show.
        smallest_side: that an image must have, in pixels.
        load: returns the metric; None, with a logged sentence, if what it needs cannot be had.
    """

    title: str
    decimals: int
    smallest_side: int
    load: Callable[[], Metric | None]


def _psnr() -> Metric:
    from vheatir.evaluation.metrics.psnr import psnr

    return psnr


def _ssim() -> Metric:
    from vheatir.evaluation.metrics.ssim import ssim

    return ssim


def _psnr_b() -> Metric:
    from vheatir.evaluation.metrics.psnr_b import psnr_b

    return psnr_b


def _lpips() -> Metric | None:
    from vheatir.evaluation.metrics.lpips import load_lpips

    return load_lpips()


METRICS: Final[Mapping[MetricName, MetricFacts]] = {
    "psnr": MetricFacts("PSNR", decimals=2, smallest_side=1, load=_psnr),
    "ssim": MetricFacts("SSIM", decimals=4, smallest_side=11, load=_ssim),
    "psnr_b": MetricFacts("PSNR-B", decimals=2, smallest_side=16, load=_psnr_b),
    "lpips": MetricFacts("LPIPS", decimals=4, smallest_side=32, load=_lpips),
}


@cache
def load_metric(name: MetricName) -> Metric | None:
    """Return a metric, the same every time; None, with a logged sentence, if what it needs cannot be had."""
    return METRICS[name].load()
