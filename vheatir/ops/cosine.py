"""Cosine transforms along the first axis of a matrix, split into halves until dense products pay.

The orthonormal DCT-II of an even length folds into a DCT-II and a DCT-IV of half the length; a DCT-IV of an even
length turns by Givens rotations into two DCT-II of half the length. Every step is orthogonal, so rounding errors do not
grow as they do in algorithms that divide by cosines. Source: Plonka and Tasche, "Fast and numerically stable
algorithms for discrete cosine transforms", Linear Algebra and its Applications 394, 2005 (equations of C^II and C^IV).
Frequencies come out in the order in which the halves leave them: nothing is interleaved.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["CosineTransform", "plan_transform"]


class CosineTransform(ABC):
    """An orthonormal transform of length N along the first axis of (N, K).

    Attributes:
        order: order[i] is the frequency of row i of a spectrum.
    """

    order: list[int]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Spectrum of x (N, K)."""

    @abstractmethod
    def inverse(self, spectrum: Tensor) -> Tensor:
        """What has this spectrum (N, K)."""


@lru_cache(maxsize=16)
def plan_transform(size: int, *, leaf: int, dtype: torch.dtype, device: torch.device) -> CosineTransform:
    """Plan the orthonormal DCT-II of length ``size``; even lengths above ``leaf`` are halved. The latest are kept.

    Args:
        size: N, 1 or more.
        leaf: longest length whose transform is one dense product.
        dtype: floating type of the signals; the coefficients are evaluated in float64 whatever it is.
        device: where the signals live.
    """
    with torch.inference_mode(False), torch.no_grad():
        return _plan(2, size, 1.0, leaf, dtype, device)


def _plan(kind: int, size: int, scale: float, leaf: int, dtype: torch.dtype, device: torch.device) -> CosineTransform:
    if size <= leaf or size % 2:
        return _Dense(kind, size, scale, dtype, device)
    return (_Folded if kind == 2 else _Rotated)(size, scale, leaf, dtype, device)


class _Dense(CosineTransform):
    """One product with the cosines, of DCT-II (kind 2) or DCT-IV (kind 4)."""

    def __init__(self, kind: int, size: int, scale: float, dtype: torch.dtype, device: torch.device) -> None:
        self.order = list(range(size))
        n = torch.arange(size, dtype=torch.float64, device=device)
        row = 2 * n if kind == 2 else 2 * n + 1
        quarter = torch.remainder(row[:, None] * (2 * n + 1), 8 * size)
        basis = torch.cos(quarter * (math.pi / (4 * size))) * math.sqrt(2 / size)
        if kind == 2:
            basis[0] /= math.sqrt(2)
        self._basis = (basis * scale).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self._basis @ x

    def inverse(self, spectrum: Tensor) -> Tensor:
        return self._basis.mT @ spectrum


class _Folded(CosineTransform):
    """DCT-II: sums of mirrored pairs hold the even frequencies, differences the odd ones."""

    def __init__(self, size: int, scale: float, leaf: int, dtype: torch.dtype, device: torch.device) -> None:
        self._half = size // 2
        self._even = _plan(2, self._half, scale / math.sqrt(2), leaf, dtype, device)
        self._odd = _plan(4, self._half, scale / math.sqrt(2), leaf, dtype, device)
        self.order = [2 * n for n in self._even.order] + [2 * n + 1 for n in self._odd.order]

    def forward(self, x: Tensor) -> Tensor:
        first, mirrored = x[: self._half], x[self._half :].flip(0)
        return torch.cat((self._even.forward(first + mirrored), self._odd.forward(first - mirrored)))

    def inverse(self, spectrum: Tensor) -> Tensor:
        even, odd = self._even.inverse(spectrum[: self._half]), self._odd.inverse(spectrum[self._half :])
        return torch.cat((even + odd, (even - odd).flip(0)))


class _Rotated(CosineTransform):
    """DCT-IV: mirrored pairs, each turned by its own angle, give two DCT-II, whose frequencies pair up again."""

    def __init__(self, size: int, scale: float, leaf: int, dtype: torch.dtype, device: torch.device) -> None:
        half = self._half = size // 2
        self._part = _plan(2, half, scale / math.sqrt(2), leaf, dtype, device)
        j = torch.arange(half, dtype=torch.float64, device=device)
        angle = (2 * j + 1) * (math.pi / (4 * size))
        sign = 1 - 2 * torch.remainder(j, 2)
        self._cosine, self._sine = angle.cos()[:, None].to(dtype), angle.sin()[:, None].to(dtype)
        self._cosine_b, self._sine_b = (sign * angle.cos())[:, None].to(dtype), (-sign * angle.sin())[:, None].to(dtype)
        order = self._part.order  # begins with 0
        place = {frequency: row for row, frequency in enumerate(order)}
        partner = [place[half - frequency] for frequency in order[1:]]
        self._partner = torch.tensor(partner, dtype=torch.long, device=device)
        back = sorted(range(1, half), key=lambda row: partner[row - 1])
        self._back = torch.tensor([row - 1 for row in back], dtype=torch.long, device=device)
        self.order = [0, *(2 * n for n in order[1:]), *(2 * n - 1 for n in order[1:]), size - 1]

    def forward(self, x: Tensor) -> Tensor:
        first, mirrored = x[: self._half], x[self._half :].flip(0)
        a = self._part.forward(self._cosine * first + self._sine * mirrored)
        b = self._part.forward(self._sine_b * first + self._cosine_b * mirrored)
        partner = b.index_select(0, self._partner)
        edge = math.sqrt(2)
        return torch.cat((a[:1] * edge, a[1:] + partner, a[1:] - partner, b[:1] * -edge))

    def inverse(self, spectrum: Tensor) -> Tensor:
        upper, lower = spectrum[1 : self._half], spectrum[self._half : -1]
        edge = math.sqrt(2)
        a = self._part.inverse(torch.cat((spectrum[:1] * edge, upper + lower)))
        b = self._part.inverse(torch.cat((spectrum[-1:] * -edge, (upper - lower).index_select(0, self._back))))
        first = self._cosine * a + self._sine_b * b
        return torch.cat((first, (self._sine * a + self._cosine_b * b).flip(0)))
