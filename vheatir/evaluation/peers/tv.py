"""Total variation: Rudin, Osher, Fatemi, Physica D 60, 1992, by Chambolle's algorithm (2004); here scikit-image's."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vheatir.evaluation.peers.packages import require

__all__ = ["TotalVariation"]

#: weight as a multiple of σ/255, chosen on the validation images by docs/scripts/peer_evidence.py
GRAY_STRENGTH: Final = 0.8
COLOR_STRENGTH: Final = 0.8
#: a tenth of scikit-image's own, which ends too early on flat images: 4 dB less at the same weight on one of them
_ACCURACY: Final = 2e-5


class TotalVariation:
    """Weight of the total variation proportional to σ.

    Args:
        gray: weight / (σ/255) of gray images.
        color: the same for RGB.

    Raises:
        PeerError: if scikit-image is not installed.
    """

    name = "total variation"

    def __init__(self, *, gray: float = GRAY_STRENGTH, color: float = COLOR_STRENGTH) -> None:
        self._restoration = require("skimage.restoration", peer="tv", extra="peers")
        self._gray = gray
        self._color = color

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        is_gray = degraded.ndim == 2
        weight = (self._gray if is_gray else self._color) * level / 255
        denoised = self._restoration.denoise_tv_chambolle(
            degraded, weight=weight, eps=_ACCURACY, channel_axis=None if is_gray else -1
        )
        return np.asarray(denoised, dtype=np.float32)
