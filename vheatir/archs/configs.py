"""Named configurations of the network: facts, not branches."""

from __future__ import annotations

from typing import Final

__all__ = ["CONFIGS"]

#: constructor arguments of :class:`vheatir.archs.VHeatIR`, without ``in_chans``
CONFIGS: Final[dict[str, dict[str, object]]] = {
    # the published system: SwinIR's size and vHeat's operator, at full resolution, one level a set of weights
    "paper": {
        "embed_dim": 180,
        "depths": [6, 6, 6, 6, 6, 6],
        "downscale": 1,
        "condition": False,
        "output_norm": True,
        "residual_step": False,
        "k_max": 1.0,
    },
    # the size of SwinIR's lightweight model, at full resolution
    "light": {"embed_dim": 60, "depths": [6, 6, 6, 6], "downscale": 1},
    # what ships: a quarter of the positions, and a quarter of the channels conduct
    "fast": {"embed_dim": 48, "depths": [3, 3, 3], "downscale": 2, "heat_ratio": 0.25, "k_min": 0.5, "k_max": 500.0},
}
