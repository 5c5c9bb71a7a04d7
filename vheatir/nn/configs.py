"""Named configurations of the network: facts, not branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["CONFIGS", "configuration", "network_arguments"]

#: constructor arguments of :class:`vheatir.nn.VHeatIR`, without ``in_chans``
CONFIGS: Final[dict[str, dict[str, object]]] = {
    # the published system: SwinIR's size and vHeat's operator, at full resolution, one level a set of weights;
    # for JPEG it takes img_range 255 beside, as SwinIR does (options/train/paper_jpeg_*.yml)
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
    "fast": {"embed_dim": 64, "depths": [4, 4, 4], "downscale": 2, "heat_ratio": 0.25, "k_min": 0.5, "k_max": 500.0},
}


def configuration(name: str, in_chans: int) -> dict[str, object]:
    """Return the constructor arguments of a named configuration for 1 (gray) or 3 (RGB) channels.

    Raises:
        ValueError: if there is no configuration of that name.
    """
    if name not in CONFIGS:
        raise ValueError(f"The configurations are {', '.join(CONFIGS)}; there is no {name!r}.")
    return {"in_chans": in_chans, **CONFIGS[name]}


def network_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments in a section ``network_g`` of an option file: everything but its ``type``."""
    return {key: value for key, value in section.items() if key != "type"}
