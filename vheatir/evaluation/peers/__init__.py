"""Other methods, measured in the same run as ours: kept libraries, and any callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vheatir.data.evaluation import Task
from vheatir.evaluation.methods import Method
from vheatir.evaluation.peers.bm3d import Bm3d
from vheatir.evaluation.peers.function import load_function
from vheatir.evaluation.peers.identity import Identity
from vheatir.evaluation.peers.nlm import NonLocalMeans
from vheatir.evaluation.peers.packages import PeerError
from vheatir.evaluation.peers.tv import TotalVariation
from vheatir.evaluation.peers.wavelet import Wavelet

__all__ = ["PEERS", "PeerError", "make_peer"]

_DENOISERS: Final[dict[str, Callable[[], Method]]] = {
    "bm3d": Bm3d,
    "nlm": NonLocalMeans,
    "wavelet": Wavelet,
    "tv": TotalVariation,
}
#: names that :func:`make_peer` knows; beside them it takes any ``module:function``
PEERS: Final = ("identity", *_DENOISERS)


def make_peer(name: str, *, task: Task) -> Method:
    """Make a method to compare with; its package is imported now, not before.

    Args:
        name: one of :data:`PEERS`, or ``module:function``, a callable ``(degraded, level) -> restored`` as
            :class:`vheatir.evaluation.methods.Method` describes it.
        task: "denoise" or "jpeg"; the denoisers are for "denoise" alone.

    Raises:
        PeerError: if there is no such peer, it is not for this task, its package is not installed, or the function
            cannot be imported.
    """
    if name == "identity":
        return Identity(task)
    if ":" in name:
        return load_function(name)
    if name not in _DENOISERS:
        raise PeerError(f"There is no peer {name}; use {', '.join(PEERS)} or module:function.")
    if task != "denoise":
        raise PeerError(f"Peer {name} removes Gaussian noise alone; for {task} use identity or module:function.")
    return _DENOISERS[name]()
