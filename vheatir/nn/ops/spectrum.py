"""Heat conduction that transforms the lowest frequencies only: rectangular cosine bases.

A wave of frequency w decays by exp(-k w^2). Where the diffusion length sqrt(2 k) is long, nothing is left of the high
waves, so they need not be computed at all: the cosine matrices keep their first rows, and the transforms cost as much
less. What is left out is taken as fully decayed. By Parseval's theorem the error is at most
``exp(-k_min w_K^2) ||u||``, w_K the lowest frequency left out and k_min the smallest conductivity among those left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vheatir.nn.ops.conductivity import interpolate_spectrum
from vheatir.nn.ops.dct import dct_basis, transform_columns, transform_rows
from vheatir.nn.ops.heat import heat_decay
from vheatir.nn.ops.windows import take_inner

__all__ = ["LowSpectrum", "kept_frequencies"]

#: shares are rounded to this many parts, so that 0.07 * 100 is seven, not seven and a little
_PARTS = 1_000_000


def kept_frequencies(size: int, ratio: float) -> int:
    """How many of the ``size`` frequencies of an axis are kept: ``ceil(ratio * size)``, at least the mean."""
    parts = max(1, round(ratio * _PARTS))
    return (size * parts + _PARTS - 1) // _PARTS  # whole numbers, which an exported graph can keep open


@dataclass(frozen=True)
class LowSpectrum:
    """The lowest frequencies of an H x W map.

    Attributes:
        height: H.
        width: W.
        rows: frequencies kept along the height, K.
        columns: frequencies kept along the width, L.
    """

    height: int
    width: int
    rows: int
    columns: int

    @classmethod
    def of(cls, height: int, width: int, ratio: float) -> LowSpectrum:
        """The lowest ``ratio`` (more than 0, at most 1) of the frequencies of each axis, rounded up."""
        return cls(height, width, kept_frequencies(height, ratio), kept_frequencies(width, ratio))

    def decay(self, nodes: Tensor) -> Tensor:
        """Decay of the frequencies kept.

        Args:
            nodes: conductivity at the nodes of the frequency grid, shape (..., R + 1, R + 1, C).

        Returns:
            exp(-k w^2), shape (..., K, L, C): the first K x L of :func:`vheatir.nn.ops.heat_decay`.
        """
        size = (self.height, self.width)
        kept = (self.rows, self.columns)
        return heat_decay(interpolate_spectrum(nodes, *size, kept=kept), size=size)

    def conduct(self, u: Tensor, decay: Tensor) -> Tensor:
        """Let the temperature u diffuse, and drop what it has of the other frequencies.

        Args:
            u: temperatures, shape (B, H, W, C), any floating dtype; float16 is computed in float32.
            decay: as :meth:`decay` returns it, shape (K, L, C) or (B, K, L, C), float32 or float64.

        Returns:
            Temperatures after conduction, shape and dtype of u.
        """
        working = torch.float32 if u.dtype == torch.float16 else u.dtype
        rows = take_inner(dct_basis(self.height, dtype=working, device=u.device), 0, 0, self.rows)
        columns = take_inner(dct_basis(self.width, dtype=working, device=u.device), 0, 0, self.columns)
        coefficients = transform_columns(columns, transform_rows(rows, u.to(working)))
        coefficients = coefficients * decay.to(working)
        return transform_rows(rows.mT, transform_columns(columns.mT, coefficients)).to(u.dtype)
