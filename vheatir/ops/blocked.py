"""Heat conduction over large maps: halved cosine transforms, block by block, so that each block stays in the cache.

Three sweeps over the map instead of seven: down the columns; along the rows, decay, and back; up the columns. Spectra
keep the order in which the halved transforms leave them, and the decay is put into that order once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from vheatir.ops.cosine import HalvedCosine, plan_transform

__all__ = ["BlockedConduction", "blocked_conduction"]

_SMALLEST: Final = 96
_LEAF: Final = 32
_BLOCK: Final = 2**19


def blocked_conduction(u: Tensor) -> BlockedConduction | None:
    """Return how to conduct over u (B, H, W, C) in blocks, or None where plain products are as good or needed.

    Blocks are for maps with a side of 96 or more in float32 or float64 on a CPU, outside of autograd and of compilers.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or u.device.type != "cpu":
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

    def ordered(self, decay: Tensor) -> Tensor:
        """Put a decay (..., H, W, C), made for frequencies in their natural order, into that of the spectra.

        Returns:
            Shape (..., W, H, C): the width first, as the blocks of the second sweep lie in memory.
        """
        rows, columns = (torch.tensor(plan.order, device=decay.device) for plan in (self.rows, self.columns))
        return decay.index_select(-3, rows).transpose(-3, -2).index_select(-3, columns)

    def conduct(self, u: Tensor, decay: Tensor) -> Tensor:
        """:func:`vheatir.ops.heat_conduction` with an ordered decay.

        Args:
            u: temperatures, shape (B, H, W, C).
            decay: shape (W, H, C) or (B, W, H, C), as :meth:`ordered` returns it, in the dtype of u.
        """
        batch, height, width, channels = u.shape
        conducted = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        decays = decay.expand(batch, width, height, channels)
        longest = max(self.block, 64 * height, width * channels)
        work = torch.empty(2, longest, dtype=u.dtype, device=u.device)
        for index in range(batch):
            self._conduct(u[index], decays[index], conducted[index], work)
        return conducted

    def _conduct(self, u: Tensor, decay: Tensor, result: Tensor, work: Tensor) -> None:
        height, width, channels = u.shape
        source, flat = u.reshape(height, width * channels), result.view(height, width * channels)
        step = max(64, self.block // height)
        parts = [slice(start, min(start + step, flat.shape[1])) for start in range(0, flat.shape[1], step)]
        for part in parts:
            signal, spectrum = _views(work, height, part.stop - part.start)
            torch.index_select(source[:, part], 0, self.rows.gather, out=signal)
            self.rows.forward(signal, spectrum)
            flat[:, part] = spectrum
        step = max(1, self.block // (width * channels))
        for start in range(0, height, step):
            self._along_rows(result[start : start + step], decay[:, start : start + step], work)
        for part in parts:
            spectrum, signal = _views(work, height, part.stop - part.start)
            spectrum.copy_(flat[:, part])
            self.rows.inverse(spectrum, signal)
            flat[:, part].index_copy_(0, self.rows.gather, signal)

    def _along_rows(self, spectrum: Tensor, decay: Tensor, work: Tensor) -> None:
        """Transform the width of some rows (h, W, C), let them decay, and transform back, in place."""
        height, width, channels = spectrum.shape
        signal, waves = _views(work, width, height * channels)
        across = spectrum.transpose(0, 1)
        torch.index_select(across, 0, self.columns.gather, out=signal.view(width, height, channels))
        self.columns.forward(signal, waves)
        waves.view(width, height, channels).mul_(decay)
        self.columns.inverse(waves, signal)
        across.index_copy_(0, self.columns.gather, signal.view(width, height, channels))


def _views(work: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Two working matrices (rows, columns)."""
    first, second = work[:, : rows * columns].view(2, rows, columns)
    return first, second
