"""The degraded image itself: the row from which every gain is counted."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vheatir.data.evaluation import Task

__all__ = ["Identity"]

_NAMES: Final[dict[Task, str]] = {"denoise": "noisy", "jpeg": "JPEG"}


class Identity:
    """Gives back what it gets.

    Args:
        task: names the row, "noisy" or "JPEG".
    """

    def __init__(self, task: Task) -> None:
        self.name = _NAMES[task]

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        return degraded.copy()
