"""Any callable as a peer: ``module:function``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vheatir.evaluation.peers.packages import PeerError

__all__ = ["FunctionPeer", "load_function"]


class FunctionPeer:
    """A callable, with its result checked.

    Args:
        name: heading in tables.
        function: ``(degraded, level) -> restored``.
    """

    def __init__(self, name: str, function: Callable[[NDArray[np.float32], float], ArrayLike]) -> None:
        self.name = name
        self._function = function

    def __call__(self, degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
        """Call it.

        Raises:
            PeerError: if its result has another shape, or is not finite.
        """
        restored = np.asarray(self._function(degraded, level), dtype=np.float32)
        if restored.shape != degraded.shape:
            raise PeerError(f"{self.name} returned shape {restored.shape} for an image of shape {degraded.shape}.")
        if not np.isfinite(restored).all():
            raise PeerError(f"{self.name} returned values that are not finite.")
        return restored


def load_function(name: str) -> FunctionPeer:
    """Import ``module:function`` (or ``module:object.method``), the current folder included.

    Raises:
        PeerError: if there is no such module or function, or it cannot be called.
    """
    module, _, attributes = name.partition(":")
    if not {"", str(Path.cwd())} & set(sys.path):  # an installed command does not look there by itself
        sys.path.append(str(Path.cwd()))
    try:
        function = reduce(getattr, attributes.split("."), import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise PeerError(f"Peer {name} cannot be imported ({error}); give module:function.") from error
    if not callable(function):
        raise PeerError(f"Peer {name} is no function; give one that is called as function(degraded, level).")
    return FunctionPeer(name, function)
