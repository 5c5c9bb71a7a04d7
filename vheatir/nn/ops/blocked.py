"""Heat conduction over large maps: halved cosine transforms, block by block, so that each block stays in the cache.

Three sweeps over the map instead of seven: down the columns; along the rows, decay, and back; up the columns. Spectra
keep the order in which the halved transforms leave them; the decay is made in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from vheatir.nn.ops.cosine import HalvedCosine, plan_transform
from vheatir.nn.ops.decay import SpectrumDecay
from vheatir.nn.ops.inplace import is_plain_inference

__all__ = ["BlockedConduction", "blocked_conduction"]

# Measured with two threads on an AMD EPYC (AVX-512, 32 MB of shared cache), 60 channels in float32, milliseconds for
# leaves of 16 / 32 / 64 / 128: 3.9 / 3.1 / 3.2 / 4.2 at 128 x 128, 20 / 16 / 16 / 18 at 256 x 256, 126 / 98 / 90 / 93
# at 512 x 512; blocks of half or of twice the size are no faster.
_SMALLEST: Final = 64
_LEAF: Final = 64
#: values in a block: 4 MB of float32, so that a few of them share a cache of the third level
_BLOCK: Final = 2**20


def blocked_conduction(u: Tensor) -> BlockedConduction | None:
    """Return how to conduct over u (B, H, W, C) in blocks, or None where plain products are as good or needed.

    Blocks are for maps with a side of 64 or more in float32 or float64 on a CPU, outside of autograd and of compilers.
    """
    if not is_plain_inference() or u.device.type != "cpu":
        return None
    if u.dtype not in (torch.float32, torch.float64) or max(u.shape[1:3]) < _SMALLEST:
        return None
    rows, columns = (plan_transform(size, leaf=_LEAF, dtype=u.dtype, device=u.device) for size in u.shape[1:3])
    return BlockedConduction(rows, columns, _BLOCK)


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
        """:func:`vheatir.nn.ops.heat_conduction`, given the conductivity on its grid of frequencies.

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
