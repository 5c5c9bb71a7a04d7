"""What a heat operator does to a frequency and to a hot pixel, from its conductivity k.

Notation: ω in radians a feature pixel; the decay ``D(ω) = exp(-k(ω) |ω|²)``; after the residual step with gain g the
operator as a whole has the transfer ``1 + g (D - 1)`` (g = 1 without one). Everything is in float64 and in feature
pixels; a feature pixel is ``downscale`` image pixels wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vheatir.nn.heat import heat_conduction, heat_decay, interpolate_spectrum

__all__ = [
    "Conduction",
    "averaging_length",
    "diffusion_length",
    "impulse_response",
    "radial_decay",
    "read_conductivity",
    "transfer",
]

_DIRECTIONS = 32


@dataclass(frozen=True)
class Conduction:
    """The conductivity of one heat operator, as one image and level make it.

    Attributes:
        name: of the module within the network.
        nodes: k at the nodes of the frequency grid, square feature pixels, shape (R + 1, R + 1, C), float64; node
            (r, s) belongs to the frequencies (πr/R, πs/R) down and across.
        gain: g of the residual step, shape (C,), float64; ones where there is no such step.
        height: of the map, or of the window within which heat conducts, in feature pixels.
        width: the same, across.
    """

    name: str
    nodes: Tensor
    gain: Tensor
    height: int
    width: int

    @property
    def channels(self) -> int:
        """Channels that conduct."""
        return self.nodes.shape[-1]


def read_conductivity(nodes: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Read k at any frequencies, bilinear between the nodes as the operator itself reads it.

    Args:
        nodes: shape (R + 1, R + 1, C).
        down: frequencies of the rows, 0 to π radians a feature pixel, any shape S.
        across: frequencies of the columns, shape S.

    Returns:
        k in square feature pixels, shape (*S, C).
    """
    resolution = nodes.shape[0] - 1
    node = torch.arange(resolution + 1, dtype=nodes.dtype, device=nodes.device)
    rows, columns = ((1 - (w[..., None] * resolution / math.pi - node).abs()).clamp(min=0) for w in (down, across))
    return torch.einsum("...r,...s,rsc->...c", rows, columns, nodes)


def transfer(decay: Tensor, gain: Tensor) -> Tensor:
    """Factor of each frequency after the residual step, ``1 + g (D - 1)``: shape of the decay (..., C)."""
    return 1 + gain * (decay - 1)


def radial_decay(nodes: Tensor, frequencies: Tensor) -> Tensor:
    """Decay at ``|ω|``, the mean over all directions.

    Args:
        nodes: shape (R + 1, R + 1, C).
        frequencies: |ω|, 0 to π radians a feature pixel, shape (F,).

    Returns:
        Shape (F, C), 0 to 1.
    """
    steps = torch.arange(_DIRECTIONS, dtype=nodes.dtype, device=nodes.device)
    angles = (steps + 0.5) / _DIRECTIONS * (math.pi / 2)
    down, across = frequencies[:, None] * torch.sin(angles), frequencies[:, None] * torch.cos(angles)
    k = read_conductivity(nodes, down, across)
    return torch.exp(-k * frequencies[:, None, None].square()).mean(dim=1)


def impulse_response(conduction: Conduction, side: int, *, step: bool = True) -> Tensor:
    """What becomes of one hot pixel, temperature 1, in the middle of a cold square.

    Args:
        conduction: the operator.
        side: of the square, odd, in feature pixels.
        step: after the residual step, ``h ← δ + g (h - δ)``; else before it.

    Returns:
        Temperatures, shape (side, side, C). They sum to 1: conduction keeps the mean.

    Raises:
        ValueError: if ``side`` is not odd: there is no middle then.
    """
    if side < 1 or side % 2 == 0:
        raise ValueError(f"The square of an impulse response has an odd side, not {side}.")
    nodes = conduction.nodes
    hot = torch.zeros(1, side, side, conduction.channels, dtype=nodes.dtype, device=nodes.device)
    hot[:, side // 2, side // 2] = 1
    heated = heat_conduction(hot, heat_decay(interpolate_spectrum(nodes, side, side)))
    return (torch.lerp(hot, heated, conduction.gain) if step else heated)[0]


def diffusion_length(nodes: Tensor) -> Tensor:
    """Standard deviation of the impulse response along an axis, before the residual step: ``sqrt(2 k(0))``.

    The second moment of an impulse response h is minus the curvature of its spectrum at ω = 0,
    ``Σ x² h = -∂²D/∂ω² = 2 k(0)``, whatever k is elsewhere, because k enters D as k(ω) |ω|². For a constant k, h is a
    Gaussian and this is its standard deviation, ``sqrt(2k)``. It is governed by the heat that goes farthest, and is 0
    for a channel whose k vanishes at ω = 0; :func:`averaging_length` weighs all frequencies.

    Args:
        nodes: k at the nodes of the frequency grid, shape (R + 1, R + 1, C).

    Returns:
        Feature pixels, shape (C,).
    """
    return (2 * nodes[0, 0]).sqrt()


def averaging_length(nodes: Tensor, *, side: int = 129) -> Tensor:
    """Standard deviation of the Gaussian that averages as many pixels as the impulse response does.

    An average with weights h of independent noise leaves ``Σ h²`` of its variance; a Gaussian of standard deviation l
    leaves ``1 / (4π l²)``, so ``l = 1 / sqrt(4π Σ h²)``, and by Parseval ``Σ h²`` is the mean of D² over all
    frequencies. For a constant k of a square pixel or more this is ``sqrt(2k)`` again; an operator that does nothing
    has ``1 / sqrt(4π) = 0.28``.

    Args:
        nodes: k at the nodes of the frequency grid, shape (R + 1, R + 1, C).
        side: of the frequency grid on which the mean is taken; lengths up to a quarter of it are exact to a percent.

    Returns:
        Feature pixels, shape (C,).
    """
    # the midpoint rule: no node at ω = 0, where the DCT of a finite map has one that counts for a whole cell
    middles = (torch.arange(side, dtype=nodes.dtype, device=nodes.device) + 0.5) * (math.pi / side)
    down, across = torch.meshgrid(middles, middles, indexing="ij")
    squared = (down.square() + across.square())[..., None]
    energy = torch.exp(-2 * read_conductivity(nodes, down, across) * squared).mean(dim=(0, 1))
    return 1 / (4 * math.pi * energy).sqrt()
