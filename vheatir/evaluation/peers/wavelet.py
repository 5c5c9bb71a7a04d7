"""Wavelet shrinkage with BayesShrink's thresholds: Chang, Yu, Vetterli, IEEE TIP 9, 2000; here scikit-image's."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vheatir.evaluation.peers.packages import require

__all__ = ["Wavelet"]

#: chosen on the validation images by docs/scripts/peer_evidence.py
WAVELET: Final = "coif2"
#: scikit-image's own number of levels depends on the wavelet so much that long ones get one level alone
LEVELS: Final = 4


class Wavelet:
    """Soft thresholds from the known σ; RGB is denoised in YCbCr, and scikit-image converts σ with it.

    Args:
        wavelet: PyWavelets' name of an orthogonal wavelet.

    Raises:
        PeerError: if scikit-image or PyWavelets is not installed.
    """

    name = "wavelet"

    def __init__(self, *, wavelet: str = WAVELET) -> None:
        self._wavelets = require("pywt", peer="wavelet", extra="peers")
        self._restoration = require("skimage.restoration", peer="wavelet", extra="peers")
        self._wavelet = wavelet

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        is_gray = degraded.ndim == 2
        most = self._wavelets.dwtn_max_level(degraded.shape[:2], self._wavelet)
        denoised = self._restoration.denoise_wavelet(
            degraded,
            sigma=level / 255,
            wavelet=self._wavelet,
            method="BayesShrink",
            mode="soft",
            wavelet_levels=min(LEVELS, most),
            convert2ycbcr=not is_gray,
            channel_axis=None if is_gray else -1,
        )
        return np.asarray(denoised, dtype=np.float32)
