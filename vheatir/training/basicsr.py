"""The one door to BasicSR 1.4.2: training does without it, and uses its classes where an option file names them.

BasicSR does not import beside today's packages. Two things are put right first, each only where it is broken: a CPU
build of torch beside a torchvision built for CUDA (:mod:`vheatir.system.torchvision`), and the module
``torchvision.transforms.functional_tensor``, from which BasicSR takes ``rgb_to_grayscale``, gone since 0.17.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from typing import Any, Final, Literal

__all__ = ["Kind", "advice", "find_class", "import_module"]

#: what option files name under ``type``
Kind = Literal["network", "dataset", "loss", "metric"]

_HOMES: Final[Mapping[Kind, tuple[str, str]]] = {
    "network": ("basicsr.archs", "ARCH_REGISTRY"),
    "dataset": ("basicsr.data", "DATASET_REGISTRY"),
    "loss": ("basicsr.losses", "LOSS_REGISTRY"),
    "metric": ("basicsr.metrics", "METRIC_REGISTRY"),
}


def find_class(kind: Kind, name: str) -> Any:
    """BasicSR's class or function of this name, imported now; None if it has none or is not installed."""
    if not _is_installed():
        return None
    package, registry = _HOMES[kind]
    import_module(package)
    known = dict(iter(getattr(import_module("basicsr.utils.registry"), registry)))
    return known.get(name) or known.get(f"{name}_basicsr")  # its suffix for names that other packages have, too


def import_module(name: str) -> Any:
    """A module of BasicSR's, or the package itself, put right before.

    Raises:
        ImportError: if BasicSR is not installed.
    """
    _make_importable()
    return importlib.import_module(name)


def advice() -> str:
    """How to install BasicSR on this Python, in a sentence; nothing where it is installed."""
    if _is_installed():
        return ""
    version = sys.version_info  # by a name of its own: a type checker reads the other as the Python that it checks for
    if version < (3, 13):
        return "BasicSR's classes can be used after pip install 'vheatir[basicsr]'."
    return (
        "BasicSR's classes can be used after python3.12 -m pip wheel --no-deps basicsr, "
        "then python -m pip install setuptools basicsr-1.4.2-py3-none-any.whl: it builds on Python 3.12 alone."
    )


def _is_installed() -> bool:
    return importlib.util.find_spec("basicsr") is not None


def _make_importable() -> None:
    from vheatir.system.torchvision import mend_torchvision

    mend_torchvision()
    name = "torchvision.transforms.functional_tensor"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)  # without one, find_spec fails on it
        functional = importlib.import_module("torchvision.transforms.functional")
        module.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
        sys.modules[name] = module
