"""Cosine transforms along the first axis of a matrix, halved in place until one batch of small dense products is left.

The orthonormal DCT-II of an even length folds into a DCT-II and a DCT-IV of half the length; a DCT-IV of an even
length turns by plane rotations into two DCT-II of half the length. Source: Plonka and Tasche, "Fast and numerically
stable algorithms for discrete cosine transforms", Linear Algebra and its Applications 394, 2005. Every step is
orthogonal up to a factor that the small bases absorb, so rounding errors do not grow.

What is ours is that nothing is copied or reordered on the way: signals are gathered once with their mirrored halves
already turned round, alternating signs are passed on to the steps below, and the small bases are written in the order
in which the pairs of a DCT-IV meet. A rotation is three shears in place (lifting).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from vheatir.nn.cpu.products import left_product

__all__ = ["HalvedCosine", "plan_transform"]

_EDGE = math.sqrt(2)


@lru_cache(maxsize=16)
def plan_transform(size: int, *, leaf: int, dtype: torch.dtype, device: torch.device) -> HalvedCosine:
    """Plan the orthonormal DCT-II of length ``size``; even lengths above ``leaf`` are halved. The latest are kept.

    Args:
        size: N, 1 or more.
        leaf: longest length at which a DCT-II is one dense product; a DCT-IV, whose halving costs more, is one up to
            twice that.
        dtype: floating type of the signals; the coefficients are evaluated in float64 whatever it is.
        device: where the signals live.
    """
    levels = 0
    while (size >> levels) > leaf and (size >> levels) % 2 == 0:
        levels += 1
    with torch.inference_mode(False), torch.no_grad():
        return HalvedCosine(size, levels, dtype=dtype, device=device)


class HalvedCosine:
    """The orthonormal DCT-II of length N along the first axis of (N, K), halved ``levels`` times.

    Args:
        size: N, divisible by 2 ** levels.
        levels: number of halvings, 0 for one dense product.
        dtype: floating type of the signals.
        device: where they live.

    Attributes:
        gather: sample gather[i] of a signal stands in row i of a gathered signal, shape (N,).
        order: order[i] is the frequency of row i of a spectrum, shape (N,).
    """

    def __init__(self, size: int, levels: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.size = size
        self._levels: list[list[_Step]] = [[] for _ in range(levels)]
        self._leaves: list[_Leaf] = []
        whole = _Node(kind=2, start=0, size=size, backward=False, alternating=False, sign=1)
        self.order = torch.tensor(self._build(whole, 0, dtype, device), device=device)
        self.gather = torch.tensor(_gathering(size, levels), device=device)

    def forward(self, x: Tensor, out: Tensor) -> None:
        """Spectrum of a gathered signal.

        Args:
            x: shape (N, K), gathered; it is used as working space.
            out: receives the spectrum, shape (N, K), contiguous like x.
        """
        for level in self._levels:
            for step in level:
                step.split(x)
        for leaf in self._leaves:
            leaf.transform(x, out)
        for level in reversed(self._levels):
            for step in level:
                step.pair(out)

    def inverse(self, spectrum: Tensor, out: Tensor) -> None:
        """Gathered signal of a spectrum; arguments as of :meth:`forward`."""
        for level in self._levels:
            for step in level:
                step.unpair(spectrum)
        for leaf in self._leaves:
            leaf.transform_back(spectrum, out)
        for level in reversed(self._levels):
            for step in level:
                step.unsplit(out)

    def _build(self, node: _Node, level: int, dtype: torch.dtype, device: torch.device) -> list[int]:
        """Add the steps below ``node``; returns the frequency, of the node's own transform, of each of its rows."""
        below = len(self._levels) - level
        if below == 0 or (below == 1 and node.kind == 4):
            scale = 2.0 ** (-level / 2)  # what the steps above have made the spectrum larger by
            basis = node.basis()[:, _gathering(node.size, below)] * scale
            self._leaves.append(_Leaf(node, basis.to(device=device, dtype=dtype)))
            return node.natural_order()
        below -= 1
        step = _Fold(node) if node.kind == 2 else _Rotation(node, _gathering(node.size // 2, below), dtype, device)
        self._levels[level].append(step)
        upper, lower = (self._build(child, level + 1, dtype, device) for child in step.children)
        return step.order(upper, lower)


class _Leaf:
    """A transform that is one dense product."""

    def __init__(self, node: _Node, basis: Tensor) -> None:
        self._rows = slice(node.start, node.start + node.size)
        self._basis, self._transposed = basis.contiguous(), basis.mT.contiguous()

    def transform(self, x: Tensor, out: Tensor) -> None:
        """Its rows of the spectrum of x."""
        out[self._rows].copy_(left_product(self._basis, x[self._rows]))

    def transform_back(self, spectrum: Tensor, out: Tensor) -> None:
        """Its rows of the signal of a spectrum."""
        out[self._rows].copy_(left_product(self._transposed, spectrum[self._rows]))


@dataclass(frozen=True)
class _Node:
    """A transform within the whole.

    Attributes:
        kind: 2 for DCT-II, 4 for DCT-IV.
        start: its first row.
        size: its length n.
        backward: the spectrum stands in reverse: frequency n - f for f (and 0 stays) in a DCT-II, n - 1 - f in a
            DCT-IV.
        alternating: the signal arrives with its odd samples negated.
        sign: factor of the spectrum.
    """

    kind: int
    start: int
    size: int
    backward: bool
    alternating: bool
    sign: int

    def natural_order(self) -> list[int]:
        if not self.backward:
            return list(range(self.size))
        top = self.size if self.kind == 2 else self.size - 1
        return [(top - f) % self.size for f in range(self.size)]

    def basis(self) -> Tensor:
        """The orthonormal matrix in float64, with the node's order and signs: shape (n, n)."""
        n = torch.arange(self.size, dtype=torch.float64)
        row = 2 * n if self.kind == 2 else 2 * n + 1
        quarter = torch.remainder(row[:, None] * (2 * n + 1), 8 * self.size)
        basis = torch.cos(quarter * (math.pi / (4 * self.size))) * math.sqrt(2 / self.size)
        if self.kind == 2:
            basis[0] /= math.sqrt(2)
        if self.alternating:
            basis[:, 1::2] *= -1
        return basis[self.natural_order()] * self.sign


class _Fold:
    """DCT-II: sums of mirrored pairs hold the even frequencies, differences the odd ones."""

    def __init__(self, node: _Node) -> None:
        half = node.size // 2
        self._upper = slice(node.start, node.start + half)
        self._lower = slice(node.start + half, node.start + node.size)
        self._alternating = node.alternating
        self.children = (
            _Node(2, node.start, half, node.backward, node.alternating, node.sign),
            _Node(4, node.start + half, half, node.backward, node.alternating, node.sign),
        )

    def order(self, upper: list[int], lower: list[int]) -> list[int]:
        return [2 * f for f in upper] + [2 * f + 1 for f in lower]

    def split(self, x: Tensor) -> None:
        # mirrored samples of an alternating signal differ in sign, so that sum and difference change places
        (_turn if self._alternating else _butterfly)(x[self._upper], x[self._lower])

    def unsplit(self, x: Tensor) -> None:
        (_turn_back if self._alternating else _butterfly)(x[self._upper], x[self._lower])

    def pair(self, spectrum: Tensor) -> None:
        """The spectra of the halves are the spectrum."""

    def unpair(self, spectrum: Tensor) -> None:
        """See :meth:`pair`."""


class _Rotation:
    """DCT-IV: mirrored pairs, each turned by its own angle, give two DCT-II, whose frequencies pair up again."""

    def __init__(self, node: _Node, samples: list[int], dtype: torch.dtype, device: torch.device) -> None:
        half = node.size // 2
        self._upper = slice(node.start, node.start + half)
        self._lower = slice(node.start + half, node.start + node.size)
        self._backward = node.backward
        angle = (2 * torch.tensor(samples, dtype=torch.float64) + 1) * (math.pi / (4 * node.size))
        if node.alternating:
            angle = -angle
        self._tangent, self._sine = (
            x[:, None].to(device=device, dtype=dtype) for x in ((angle / 2).tan(), angle.sin())
        )
        # the second signal alternates by itself: in an alternating node the signs cancel, but for one
        sign = -node.sign if node.alternating else node.sign
        self.children = (
            _Node(2, node.start, half, node.backward, node.alternating, node.sign),
            _Node(2, node.start + half, half, not node.backward, not node.alternating, sign),
        )

    def order(self, upper: list[int], lower: list[int]) -> list[int]:
        half = len(upper)
        assert all((f + partner) % half == 0 for f, partner in zip(upper, lower, strict=True))
        even, odd = [2 * f for f in upper[1:]], [2 * f - 1 for f in upper[1:]]
        if self._backward:
            return [2 * half - 1, *odd, 0, *even]
        return [0, *even, 2 * half - 1, *odd]

    def split(self, x: Tensor) -> None:
        p, q = x[self._upper], x[self._lower]
        p.addcmul_(q, self._tangent)
        q.addcmul_(p, self._sine, value=-1)
        p.addcmul_(q, self._tangent)

    def unsplit(self, x: Tensor) -> None:
        p, q = x[self._upper], x[self._lower]
        p.addcmul_(q, self._tangent, value=-1)
        q.addcmul_(p, self._sine)
        p.addcmul_(q, self._tangent, value=-1)

    def pair(self, spectrum: Tensor) -> None:
        a, b = spectrum[self._upper], spectrum[self._lower]
        if self._backward:
            first = a[0] * _EDGE
            torch.mul(b[0], -_EDGE, out=a[0])
            b[0].copy_(first)
            _turn(a[1:], b[1:])
        else:
            a[0].mul_(_EDGE)
            b[0].mul_(-_EDGE)
            _butterfly(a[1:], b[1:])

    def unpair(self, spectrum: Tensor) -> None:
        a, b = spectrum[self._upper], spectrum[self._lower]
        if self._backward:
            first = b[0] * _EDGE
            torch.mul(a[0], -_EDGE, out=b[0])
            a[0].copy_(first)
            _turn_back(a[1:], b[1:])
        else:
            a[0].mul_(_EDGE)
            b[0].mul_(-_EDGE)
            _butterfly(a[1:], b[1:])


_Step = _Fold | _Rotation


def _butterfly(a: Tensor, b: Tensor) -> None:
    """(a, b) <- (a + b, a - b), in place."""
    a.add_(b)
    torch.sub(a, b, alpha=2, out=b)


def _turn(a: Tensor, b: Tensor) -> None:
    """(a, b) <- (a - b, a + b), in place."""
    a.sub_(b)
    torch.add(a, b, alpha=2, out=b)


def _turn_back(a: Tensor, b: Tensor) -> None:
    """(a, b) <- (a + b, b - a), in place: the transpose of :func:`_turn`."""
    b.sub_(a)
    torch.add(b, a, alpha=2, out=a)


def _gathering(size: int, levels: int) -> list[int]:
    """Which sample stands where, so that mirrored partners lie half the length apart at every level."""
    if levels == 0:
        return list(range(size))
    half = _gathering(size // 2, levels - 1)
    return half + [size - 1 - index for index in half]
