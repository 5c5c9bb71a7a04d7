"""Learned conductivity: frequency value embeddings (FVE) on a small grid that belongs to frequencies.

Source: vHeat (CVPR 2025), section 3.3: k is predicted from frequency value embeddings, learned per stage, by a
linear map per block. What differs: the grid has fixed physical frequencies, so one set of weights serves every
image size; softplus instead of ReLU, so that no k dies at zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vheatir.nn.ops.precision import autocast_off

__all__ = [
    "Conductivity",
    "FrequencyValueEmbedding",
    "hat_weights",
    "interpolate_spectrum",
    "log_spaced_conductivity",
]


class FrequencyValueEmbedding(nn.Module):
    """Embeddings of the frequencies ``(pi r / R, pi s / R)``, r and s from 0 to R, shared by a group of blocks.

    Args:
        channels: C, the length of an embedding.
        resolution: R, the number of intervals into which the frequencies 0 to pi are divided.
    """

    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        if resolution < 1:
            raise ValueError(f"The frequency grid needs a resolution of 1 or more, not {resolution}.")
        self.weight = nn.Parameter(torch.randn(resolution + 1, resolution + 1, channels) * 0.02)

    def forward(self) -> Tensor:
        """The embeddings, shape (R + 1, R + 1, C)."""
        return self.weight


class Conductivity(nn.Module):
    """k >= 0 at every node of the frequency grid: ``softplus(Linear(FVE))``, in square pixels.

    Args:
        embedding_channels: C of the frequency value embeddings.
        channels: number of channels that conduct.
        k_min: conductivity at which the first channel starts, in square pixels.
        k_max: conductivity at which the last channel starts; the others lie between, evenly in log k.

    Raises:
        ValueError: if not 0 < k_min <= k_max.
    """

    def __init__(self, embedding_channels: int, channels: int, *, k_min: float, k_max: float) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_channels, channels)
        with torch.no_grad():
            start = log_spaced_conductivity(channels, k_min, k_max)
            self.linear.bias.copy_(start + torch.log(-torch.expm1(-start)))  # the inverse of softplus

    def forward(self, embedding: Tensor) -> Tensor:
        """Conductivity at the grid's nodes.

        Args:
            embedding: shape (R + 1, R + 1, embedding_channels).

        Returns:
            k, shape (R + 1, R + 1, channels), in float32 or wider whatever autocast says.
        """
        with autocast_off(embedding.device):
            dtype = torch.promote_types(embedding.dtype, torch.float32)
            weight, bias = self.linear.weight.to(dtype), self.linear.bias.to(dtype)
            return nn.functional.softplus(nn.functional.linear(embedding.to(dtype), weight, bias))


def log_spaced_conductivity(channels: int, k_min: float, k_max: float) -> Tensor:
    """Conductivities from k_min to k_max, evenly spaced in log k: shape (channels,)."""
    if not 0 < k_min <= k_max:
        raise ValueError(f"Conductivities must satisfy 0 < k_min <= k_max, not k_min={k_min}, k_max={k_max}.")
    return torch.exp(torch.linspace(math.log(k_min), math.log(k_max), channels))


def interpolate_spectrum(nodes: Tensor, height: int, width: int, *, kept: tuple[int, int] | None = None) -> Tensor:
    """Read a map given at the nodes of a frequency grid at the frequencies of an H x W image.

    Frequency ``pi n / H`` lies at grid position ``n R / H`` exactly; between nodes the map is bilinear.

    Args:
        nodes: shape (..., R + 1, R + 1, C); node (r, s) belongs to the frequencies (pi r / R, pi s / R).
        height: H, 1 or more.
        width: W, 1 or more.
        kept: how many of the lowest frequencies to read along height and width; None for all.

    Returns:
        Shape (..., H, W, C), or (..., *kept, C), dtype of nodes.
    """
    resolution = nodes.shape[-2] - 1
    row_count, column_count = (height, width) if kept is None else kept
    rows = hat_weights(height, row_count, resolution, nodes.dtype, nodes.device)
    columns = hat_weights(width, column_count, resolution, nodes.dtype, nodes.device)
    along_rows: Tensor = (rows @ nodes.flatten(-2)).unflatten(-1, nodes.shape[-2:])
    return columns @ along_rows


def hat_weights(size: int, count: int, resolution: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Linear interpolation weights for the first ``count`` frequencies of an axis of ``size`` pixels.

    Returns:
        Shape (count, resolution + 1): row n reads the frequency grid at position n R / size.
    """
    position = torch.arange(count, dtype=dtype, device=device) * resolution / size
    node = torch.arange(resolution + 1, dtype=dtype, device=device)
    return (1 - (position[:, None] - node[None, :]).abs()).clamp(min=0)
