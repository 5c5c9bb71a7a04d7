"""vHeatIR: image restoration (Gaussian noise, JPEG artifacts) by heat conduction.

Names are resolved on first use (PEP 562), so that ``import vheatir`` costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vheatir.inference.network import RestorationNetwork, load_model
    from vheatir.inference.restorer import RestorationError, Restorer, restore
    from vheatir.nn import VHeatIR, VHeatPyramid
    from vheatir.nn.heat import HeatConduction2d
    from vheatir.weights.file import WeightsError

__all__ = [
    "HeatConduction2d",
    "RestorationError",
    "RestorationNetwork",
    "Restorer",
    "VHeatIR",
    "VHeatPyramid",
    "WeightsError",
    "__version__",
    "load_model",
    "restore",
]

__version__ = "0.1.0"

_HOME_OF: Final = {
    "WeightsError": "vheatir.weights.file",
    "HeatConduction2d": "vheatir.nn.heat",
    "RestorationError": "vheatir.inference.restorer",
    "RestorationNetwork": "vheatir.inference.network",
    "Restorer": "vheatir.inference.restorer",
    "VHeatIR": "vheatir.nn",
    "VHeatPyramid": "vheatir.nn",
    "load_model": "vheatir.inference.network",
    "restore": "vheatir.inference.restorer",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vheatir' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
