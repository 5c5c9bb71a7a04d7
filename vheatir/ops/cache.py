"""A bounded, least-recently-used store of tensors that depend on a shape rather than on an input."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

__all__ = ["TensorCache"]


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
