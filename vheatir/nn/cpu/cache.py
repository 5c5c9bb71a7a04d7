"""A bounded, least-recently-used store of tensors that depend on a shape rather than on an input."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import torch
from torch import Tensor

__all__ = ["TensorCache", "fingerprint"]

#: refusals in a row after which what is kept counts as no longer used: more than a network has blocks
_PATIENCE: Final = 100


class TensorCache:
    """Keeps the most recently used tensors, as long as together they fit into ``max_bytes``.

    Tensors are built outside autograd and outside inference mode, so that one built during inference can
    later take part in training. A tensor larger than the whole budget is built and returned, never kept.

    Args:
        max_bytes: upper bound on the bytes of all tensors kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._bytes = 0
        self._refused = 0  # since something kept was last asked for
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes held at the moment."""
        return self._bytes

    def get(self, key: Hashable, build: Callable[[], Tensor]) -> Tensor:
        """Return the tensor kept under ``key``, or build it, keep it and return it."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        with torch.inference_mode(False), torch.no_grad():
            tensor = build()
        self._put(key, tensor)
        return tensor

    def get_if_room(self, key: Hashable, nbytes: int, build: Callable[[], Tensor]) -> Tensor | None:
        """Return the tensor kept under ``key``, or build and keep it if it fits beside the others; else None.

        Unlike :meth:`get` it does not throw out what is in use: where a network's tensors do not fit together, some
        stay and the rest is done without, rather than each in turn making room for the next. Only when what is kept
        has not been asked for in a long while is it forgotten.

        Args:
            key: as for :meth:`get`.
            nbytes: size that the tensor will have.
            build: makes it.
        """
        with self._lock:
            if key in self._entries:
                self._refused = 0
                return self._entries[key]
            if self._bytes + nbytes > self.max_bytes:
                self._refused += 1
                if nbytes > self.max_bytes or self._refused < _PATIENCE:
                    return None
                self._entries.clear()
                self._bytes = self._refused = 0
        return self.get(key, build)

    def clear(self) -> None:
        """Forget every tensor."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _put(self, key: Hashable, tensor: Tensor) -> None:
        if tensor.nbytes > self.max_bytes:
            return
        with self._lock:
            previous = self._entries.pop(key, None)
            self._bytes += tensor.nbytes - (previous.nbytes if previous is not None else 0)
            self._entries[key] = tensor
            while self._bytes > self.max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.nbytes


def fingerprint(values: Tensor) -> bytes:
    """The values themselves, to be part of a key: assignment to a weight's ``.data`` leaves no other trace."""
    return values.cpu().numpy().tobytes()
