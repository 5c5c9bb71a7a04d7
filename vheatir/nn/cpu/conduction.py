"""Heat conduction on a CPU: large maps by halved cosine transforms, block by block; what can be kept is kept.

Large maps take three sweeps instead of seven: down the columns; along the rows, decay, and back; up the columns. Each
block stays in the cache. Spectra keep the order in which the halved transforms leave them; the decay is made in that
order. Small maps, other dtypes and parts of the spectrum are dense products, with bases and decays of earlier calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from vheatir.nn.cpu.cache import TensorCache, fingerprint
from vheatir.nn.cpu.cosine import HalvedCosine, plan_transform
from vheatir.nn.heat import HeatConduction2d, along_height, along_width, dct_basis, hat_weights

__all__ = ["BlockedConduction", "SpectrumDecay", "blocked_conduction", "conduct", "kept_basis"]

# Measured with two threads on an AMD EPYC (AVX-512, 32 MB of shared cache), 60 channels in float32, milliseconds for
# leaves of 16 / 32 / 64 / 128: 3.9 / 3.1 / 3.2 / 4.2 at 128 x 128, 20 / 16 / 16 / 18 at 256 x 256, 126 / 98 / 90 / 93
# at 512 x 512; blocks of half or of twice the size are no faster.
_SMALLEST: Final = 64
_LEAF: Final = 64
#: values in a block: 4 MB of float32, so that a few of them share a cache of the third level
_BLOCK: Final = 2**20
#: what decays further is as good as nothing, and numbers as small (denormals) would be computed slowly
_LARGEST_EXPONENT: Final = 46.0  # exp(-46) = 1e-20

_BASES: Final = TensorCache(max_bytes=256 * 2**20)
_DECAYS: Final = TensorCache(max_bytes=256 * 2**20)
_SPECTRA: Final = TensorCache(max_bytes=16 * 2**20)


def conduct(
    operator: HeatConduction2d, u: Tensor, embedding: Tensor, level: Tensor | None, *, out: Tensor | None = None
) -> Tensor:
    """:meth:`HeatConduction2d.conduct`.

    Args:
        operator: whose weights and options count.
        u: see there, like ``embedding`` and ``level``.
        embedding: see there.
        level: see there.
        out: receives the result where u is conducted in blocks; see :meth:`BlockedConduction.conduct`.
    """
    nodes = operator.conductivity_nodes(u, embedding, level)
    blocked = blocked_conduction(u) if operator.spectrum_ratio == 1 else None
    if blocked is not None:
        return blocked.conduct(u, nodes, operator.gain, out=out)
    heated = _dense_conduction(u, _decay(operator, nodes.double() if u.dtype == torch.float64 else nodes, u))
    return heated if operator.gain is None else torch.lerp(u, heated, operator.gain.to(u.dtype), out=heated)


def blocked_conduction(u: Tensor) -> BlockedConduction | None:
    """Return how to conduct over u (B, H, W, C) in blocks, or None where plain products are as good or needed.

    Blocks are for maps with a side of 64 or more in float32 or float64.
    """
    if u.dtype not in (torch.float32, torch.float64) or max(u.shape[1:3]) < _SMALLEST:
        return None
    rows, columns = (plan_transform(size, leaf=_LEAF, dtype=u.dtype, device=u.device) for size in u.shape[1:3])
    return BlockedConduction(rows, columns, _BLOCK)


def _dense_conduction(u: Tensor, decay: Tensor) -> Tensor:
    """:func:`vheatir.nn.heat.heat_conduction`, with bases that are kept."""
    working = torch.float32 if u.dtype == torch.float16 else u.dtype
    rows, columns = (
        kept_basis(size, count, dtype=working) for size, count in zip(u.shape[1:3], decay.shape[-3:-1], strict=True)
    )
    spectrum = along_width(columns, along_height(rows, u.to(working)))
    return along_height(rows.mT, along_width(columns.mT, spectrum * decay.to(working))).to(u.dtype)


def kept_basis(size: int, count: int, *, dtype: torch.dtype) -> Tensor:
    """:func:`vheatir.nn.heat.dct_basis`, built, or found from an earlier call."""
    device = torch.device("cpu")
    return _BASES.get((size, count, dtype), lambda: dct_basis(size, count, dtype=dtype, device=device))


def _decay(operator: HeatConduction2d, nodes: Tensor, u: Tensor) -> Tensor:
    """:meth:`HeatConduction2d.decay` for u, built, or found from an earlier call."""

    def build() -> Tensor:
        decay = operator.decay(nodes, u.shape[1:3])
        return decay if u.dtype == torch.float16 else decay.to(u.dtype)

    if nodes.shape[0] > 1:
        return build()
    key = (u.shape[1:3], operator.spectrum_ratio, u.dtype, nodes.dtype, nodes.shape, fingerprint(nodes))
    return _DECAYS.get(key, build)


@dataclass(frozen=True)
class BlockedConduction:
    """Conduction by planned transforms.

    Attributes:
        rows: transform of length H.
        columns: transform of length W.
        block: values in a block.
    """

    rows: HalvedCosine
    columns: HalvedCosine
    block: int

    def conduct(self, u: Tensor, nodes: Tensor, gain: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
        """:func:`vheatir.nn.heat.heat_conduction`, given the conductivity on its grid of frequencies.

        Args:
            u: temperatures, shape (B, H, W, C).
            nodes: conductivity at the nodes of the frequency grid, shape (S, R + 1, R + 1, C), S = 1 or B.
            gain: g per channel, shape (C,), for the step ``u + g (heat(u) - u)``; None for 1.
            out: receives the result, shape of u; it may be u itself, or a part of a map with more channels.
        """
        _, height, width, channels = u.shape
        gain = None if gain is None else gain.to(u.dtype)
        decays = [SpectrumDecay(k.to(u.dtype), self.rows.order, self.columns.order, gain) for k in nodes]
        if out is None:
            out = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        longest = max(self.block, max(height, width) * channels)
        work = torch.empty(2, longest, dtype=u.dtype, device=u.device)
        for index in range(len(u)):
            self._conduct(u[index], decays[index % len(decays)], out[index], work)
        return out

    def _conduct(self, u: Tensor, decay: SpectrumDecay, result: Tensor, work: Tensor) -> None:
        height, width, channels = u.shape
        step = max(1, self.block // (height * channels))
        parts = [slice(start, start + step) for start in range(0, width, step)]
        for part in parts:
            signal, spectrum = _views(work, u[:, part].shape)
            torch.index_select(u[:, part], 0, self.rows.gather, out=signal)
            self.rows.forward(signal.flatten(1), spectrum.flatten(1))
            result[:, part] = spectrum
        step = max(1, self.block // (width * channels))
        for start in range(0, height, step):
            self._along_rows(result[start : start + step], decay, start, work)
        for part in parts:
            spectrum, signal = _views(work, u[:, part].shape)
            spectrum.copy_(result[:, part])
            self.rows.inverse(spectrum.flatten(1), signal.flatten(1))
            result[:, part].index_copy_(0, self.rows.gather, signal)

    def _along_rows(self, spectrum: Tensor, decay: SpectrumDecay, first: int, work: Tensor) -> None:
        """Transform the width of rows (h, W, C) from ``first`` on, let them decay, and transform back, in place."""
        across = spectrum.transpose(0, 1)
        signal, waves = _views(work, across.shape)
        torch.index_select(across, 0, self.columns.gather, out=signal)
        self.columns.forward(signal.flatten(1), waves.flatten(1))
        decay.apply(waves, first, signal)
        self.columns.inverse(waves.flatten(1), signal.flatten(1))
        across.index_copy_(0, self.columns.gather, signal)


def _views(work: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Two working arrays of that shape."""
    first, second = work[:, : shape.numel()].view(2, *shape)
    return first, second


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
        self._kept = _SPECTRA.get_if_room(key, nbytes, self._build)

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
