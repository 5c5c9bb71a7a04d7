"""The decay of a large spectrum: computed a few rows at a time, or kept where there is room for it."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from vheatir.ops.cache import TensorCache
from vheatir.ops.conductivity import hat_weights

__all__ = ["SpectrumDecay"]

_KEPT: Final = TensorCache(max_bytes=16 * 2**20)

#: what decays further is as good as nothing, and numbers as small (denormals) would be computed slowly
_LARGEST_EXPONENT: Final = 46.0  # exp(-46) = 1e-20


class SpectrumDecay:
    """``exp(-k (w_n^2 + w_m^2))`` over a spectrum whose frequencies stand in any order.

    Args:
        nodes: conductivity k at the nodes of the frequency grid, shape (R + 1, R + 1, C), in the dtype of the spectrum.
        rows: frequency n of each row of the spectrum, shape (H,).
        columns: frequency m of each column, shape (W,).
    """

    def __init__(self, nodes: Tensor, rows: Tensor, columns: Tensor) -> None:
        resolution = nodes.shape[0] - 1
        self._channels = nodes.shape[-1]
        # k is bilinear in the frequencies: the rows' share is small and made now, the columns' is one product later
        weights = hat_weights(len(rows), len(rows), resolution, nodes.dtype, nodes.device)[rows]
        self._at_rows = (weights @ nodes.flatten(1)).unflatten(1, nodes.shape[1:]).transpose(0, 1).contiguous()
        self._weights = hat_weights(len(columns), len(columns), resolution, nodes.dtype, nodes.device)[columns]
        self._squared_rows, self._squared_columns = (
            (order.to(nodes.dtype) * (math.pi / len(order))).square() for order in (rows, columns)
        )
        # the values themselves are the key: weights may be replaced by assignment to .data, which leaves no trace
        key = (len(rows), len(columns), nodes.dtype, nodes.shape, nodes.numpy().tobytes())
        nbytes = len(rows) * len(columns) * self._channels * nodes.element_size()
        self._kept = _KEPT.get_if_room(key, nbytes, self._build)

    def apply(self, spectrum: Tensor, first: int, scratch: Tensor) -> None:
        """Multiply rows of the spectrum by their decay, in place.

        Args:
            spectrum: shape (W, h, C): h rows from ``first`` on, the width first.
            first: their first row.
            scratch: working space of the same shape.
        """
        if self._kept is not None:
            spectrum.mul_(self._kept[:, first : first + spectrum.shape[1]])
        else:
            self._compute(first, scratch)
            spectrum.mul_(scratch)

    def _build(self) -> Tensor:
        decay: Tensor = self._at_rows.new_empty(len(self._squared_columns), len(self._squared_rows), self._channels)
        self._compute(0, decay)
        return decay

    def _compute(self, first: int, out: Tensor) -> None:
        """Decay of the rows from ``first`` on, into ``out`` (W, h, C)."""
        last = first + out.shape[1]
        torch.mm(self._weights, self._at_rows[:, first:last].flatten(1), out=out.view(len(out), -1))
        squared = self._squared_columns[:, None] + self._squared_rows[first:last]
        out.mul_(squared[:, :, None]).clamp_(max=_LARGEST_EXPONENT).neg_().exp_()
