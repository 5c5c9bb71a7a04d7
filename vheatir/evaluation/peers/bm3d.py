"""BM3D: Dabov, Foi, Katkovnik, Egiazarian, IEEE TIP 16, 2007; here its authors' own binaries.

The package ``bm3d`` is theirs, of the version of Mäkinen, Azzari, Foi, IEEE TIP 29, 2020. Its licence allows
non-commercial use alone and asks that the authors be cited with results; so nothing but this file imports it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vheatir.evaluation.peers.packages import require

__all__ = ["Bm3d"]


class Bm3d:
    """The package's default profile, with the known σ; RGB by its opponent colour transform.

    Raises:
        PeerError: if ``bm3d`` is not installed.
    """

    name = "BM3D"

    def __init__(self) -> None:
        self._package = require("bm3d", peer="bm3d", extra="bm3d")

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        denoise = self._package.bm3d if degraded.ndim == 2 else self._package.bm3d_rgb
        return np.asarray(denoise(degraded.astype(np.float64), level / 255), dtype=np.float32)
