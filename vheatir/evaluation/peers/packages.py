"""Packages that a peer needs and nothing else does."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["PeerError", "require"]


class PeerError(ValueError):
    """A peer that cannot be had; the message names the remedy."""


def require(module: str, *, peer: str, extra: str) -> ModuleType:
    """Import what a peer is made of.

    Args:
        module: its full name.
        peer: who needs it, for the message.
        extra: of this project, that installs it.

    Raises:
        PeerError: if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise PeerError(f"Peer {peer} needs the package {package}: pip install 'vheatir[{extra}]'.") from error
