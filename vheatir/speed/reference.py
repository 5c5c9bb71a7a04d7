"""What ours is measured against: the operator's dense products as published, and SwinIR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.heat import FrequencyValueEmbedding, HeatConduction2d, heat_decay, interpolate_spectrum

__all__ = ["CostError", "DenseHeat", "Heat", "SwinIR", "swinir_class"]

_WINDOW: Final = 8
_HEADS: Final = 6


class CostError(ValueError):
    """A measurement that cannot be made; the message names the remedy."""


class Heat(nn.Module):
    """The operator and the frequency embeddings that its conductivity is predicted from; k as a network starts with.

    Args:
        channels: C.
        resolution: R of the frequency grid.
    """

    def __init__(self, channels: int, *, resolution: int = 8) -> None:
        super().__init__()
        self.embedding = FrequencyValueEmbedding(channels, resolution)
        self.operator = HeatConduction2d(channels, embedding_channels=channels, k_min=0.01, k_max=200.0)

    def forward(self, u: Tensor) -> Tensor:
        """u (B, H, W, C) -> the same shape, after conduction."""
        conducted: Tensor = self.operator(u, self.embedding())
        return conducted


class DenseHeat(nn.Module):
    """The same operator at one size, by four dense products with the cosine bases, as vHeat (CVPR 2025) has it.

    ``X = D_H U D_W^T``, ``X * exp(-k w^2)``, and back; bases and decay are made once, as its inference does.

    Args:
        heat: whose conductivity it takes.
        height: H.
        width: W.
        convolve: each product is a convolution of one tap over H or W, as in its code, rather than a ``torch.matmul``.
    """

    rows: Tensor
    columns: Tensor
    decay: Tensor

    def __init__(self, heat: Heat, height: int, width: int, *, convolve: bool = True) -> None:
        super().__init__()
        self._along_height = _convolve_height if convolve else _multiply_height
        self._along_width = _convolve_width if convolve else _multiply_width
        with torch.no_grad():
            nodes = heat.operator.conductivity(heat.embedding())
            decay = heat_decay(interpolate_spectrum(nodes, height, width))
        self.register_buffer("rows", _cosines(height).to(decay))
        self.register_buffer("columns", _cosines(width).to(decay))
        self.register_buffer("decay", decay)

    def forward(self, u: Tensor) -> Tensor:
        """u (B, H, W, C) -> the same shape, after conduction."""
        spectrum = self._along_width(self.columns, self._along_height(self.rows, u))
        return self._along_width(self.columns.mT, self._along_height(self.rows.mT, spectrum * self.decay))


class SwinIR(nn.Module):
    """BasicSR's SwinIR, called as our networks are; the level is not used.

    Args:
        in_chans: channels of the image.
        embed_dim: C.
        depths: number of blocks in each residual group.

    Raises:
        CostError: if BasicSR is not installed.
    """

    def __init__(self, *, in_chans: int, embed_dim: int, depths: Sequence[int]) -> None:
        super().__init__()
        self.swinir = swinir_class()(
            in_chans=in_chans,
            embed_dim=embed_dim,
            depths=tuple(depths),
            num_heads=(_HEADS,) * len(depths),
            window_size=_WINDOW,
            mlp_ratio=2.0,
            upscale=1,
            img_range=1.0,
            upsampler="",
            resi_connection="1conv",
        )

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """x (B, in_chans, H, W) -> the same shape; extended by reflection to whole windows, as BasicSR does."""
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % _WINDOW, 0, -height % _WINDOW), mode="reflect")
        restored: Tensor = self.swinir(padded)[..., :height, :width]
        return restored


def swinir_class() -> Any:
    """BasicSR's SwinIR, imported now.

    Raises:
        CostError: if BasicSR is not installed.
    """
    from vheatir.training.basicsr import advice, find_class

    swinir = find_class("network", "SwinIR")
    if swinir is None:
        raise CostError(f"SwinIR is BasicSR's: leave it out, or install BasicSR. {advice()}")
    return swinir


def _multiply_height(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix (H, H) times x (B, H, W, C)."""
    return torch.matmul(matrix, x.flatten(2)).view_as(x)


def _multiply_width(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix (W, W) times the width of x (B, H, W, C)."""
    return torch.matmul(matrix, x)


def _convolve_height(matrix: Tensor, x: Tensor) -> Tensor:
    """The same as a convolution of one tap, on a CPU faster than the plain product."""
    return F.conv1d(x.flatten(2), matrix[..., None]).view_as(x)


def _convolve_width(matrix: Tensor, x: Tensor) -> Tensor:
    """The same for the width."""
    return F.conv1d(x.flatten(0, 1), matrix[..., None]).view_as(x)


def _cosines(size: int) -> Tensor:
    """Orthonormal DCT-II matrix in float64: row n is the cosine of frequency pi n / N."""
    position = (torch.arange(size, dtype=torch.float64) + 0.5) * (math.pi / size)
    basis = torch.cos(torch.arange(size, dtype=torch.float64)[:, None] * position) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis
