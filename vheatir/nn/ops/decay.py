"""The decay of a large spectrum: computed a few rows at a time, or kept where there is room for it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from vheatir.nn.ops.cache import TensorCache, fingerprint
from vheatir.nn.ops.conductivity import hat_weights

__all__ = ["SpectrumDecay"]

_KEPT: Final = TensorCache(max_bytes=16 * 2**20)

#: what decays further is as good as nothing, and numbers as small (denormals) would be computed slowly
_LARGEST_EXPONENT: Final = 46.0  # exp(-46) = 1e-20


class SpectrumDecay:
    """``1 + g (exp(-k (w_n^2 + w_m^2)) - 1)`` over a spectrum whose frequencies stand in any order.

    This is the step ``u + g (heat(u) - u)``; with g = 1 it is the decay alone.

    Args:
        nodes: conductivity k at the nodes of the frequency grid, shape (R + 1, R + 1, C), in the dtype of the spectrum.
        rows: frequency n of each row of the spectrum, shape (H,).
        columns: frequency m of each column, shape (W,).
        gain: g per channel, shape (C,), in the dtype of the spectrum; None for 1.
    """

    def __init__(self, nodes: Tensor, rows: Tensor, columns: Tensor, gain: Tensor | None = None) -> None:
        self._nodes, self._rows, self._columns, self._gain = nodes, rows, columns, gain
        nbytes = len(rows) * len(columns) * nodes.shape[-1] * nodes.element_size()
        step = None if gain is None else fingerprint(gain)
        key = (len(rows), len(columns), nodes.dtype, nodes.shape, fingerprint(nodes), step)
        self._kept = _KEPT.get_if_room(key, nbytes, self._build)

    @cached_property
    def _at_rows(self) -> Tensor:
        """k at the rows' frequencies and the grid's columns, (R + 1, H, C): small, made once; k is bilinear."""
        along = _weights(self._nodes, self._rows) @ self._nodes.flatten(1)
        at_rows: Tensor = along.unflatten(1, self._nodes.shape[1:]).transpose(0, 1).contiguous()
        return at_rows

    @cached_property
    def _at_columns(self) -> Tensor:
        """Weights that read k at the columns' frequencies, (W, R + 1)."""
        return _weights(self._nodes, self._columns)

    @cached_property
    def _squared(self) -> tuple[Tensor, Tensor]:
        """Squares of the rows' and of the columns' frequencies in radians a pixel, (H,) and (W,)."""
        rows, columns = (
            (order.to(self._nodes.dtype) * (math.pi / len(order))).square() for order in (self._rows, self._columns)
        )
        return rows, columns

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
        shape = (len(self._columns), len(self._rows), self._nodes.shape[-1])
        decay = torch.empty(shape, dtype=self._nodes.dtype, device=self._nodes.device)
        self._compute(0, decay)
        return decay

    def _compute(self, first: int, out: Tensor) -> None:
        """Decay of the rows from ``first`` on, into ``out`` (W, h, C)."""
        last = first + out.shape[1]
        torch.mm(self._at_columns, self._at_rows[:, first:last].flatten(1), out=out.view(len(out), -1))
        rows, columns = self._squared
        squared = columns[:, None] + rows[first:last]
        out.mul_(squared[:, :, None]).clamp_(max=_LARGEST_EXPONENT).neg_().exp_()
        if self._gain is not None:
            torch.lerp(torch.ones_like(self._gain), out, self._gain, out=out)


def _weights(nodes: Tensor, order: Tensor) -> Tensor:
    return hat_weights(len(order), len(order), nodes.shape[0] - 1, nodes.dtype, nodes.device)[order]
