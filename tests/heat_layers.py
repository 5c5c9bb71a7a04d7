"""Operators that a test can make in a moment, with every option and with parameters at which each option matters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vheatir.nn.heat import FrequencyValueEmbedding, HeatConduction2d

#: arguments that switch each option on
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "residual": {"residual": True},
    "content": {"content": True},
    "level": {"level": True},
    "window": {"window": 3},
    "shifted": {"window": 4, "shifted": True},
    "all": {"residual": True, "content": True, "level": True, "window": 4, "shifted": True},
}


class HeatLayer(nn.Module):
    """An operator and the frequency embeddings it reads, called ``layer(u, level)``."""

    def __init__(self, channels: int, resolution: int, **options: Any) -> None:
        super().__init__()
        self.embedding = FrequencyValueEmbedding(4, resolution)
        self.operator = HeatConduction2d(channels, embedding_channels=4, **options)

    def forward(self, u: Tensor, level: Tensor | None = None) -> Tensor:
        output: Tensor = self.operator(u, self.embedding(), level)
        return output

    def conductivity(self) -> Tensor:
        """k at the nodes of the frequency grid, before any scaling."""
        nodes: Tensor = self.operator.conductivity(self.embedding())
        return nodes


def random_layer(
    channels: int = 3, resolution: int = 4, *, dtype: torch.dtype = torch.float64, seed: int = 0, **options: Any
) -> HeatLayer:
    """A layer as after some training: k differs from frequency to frequency, and every option has an effect."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = HeatLayer(channels, resolution, **options)
        nn.init.normal_(layer.embedding.weight)
        if layer.operator.content is not None:
            nn.init.normal_(layer.operator.content.linear.weight)
    return layer.to(dtype)


def uniform_layer(k: float, channels: int = 1, **options: Any) -> HeatLayer:
    """A layer in float64 whose conductivity is k at every frequency and in every channel."""
    layer = HeatLayer(channels, 2, k_min=k, k_max=k, **options).double()
    nn.init.zeros_(layer.embedding.weight)
    nn.init.constant_(layer.operator.conductivity.linear.bias, inverse_softplus(k))
    return layer


def inverse_softplus(value: float) -> float:
    """The x for which softplus(x) is ``value``."""
    return float(torch.tensor(value, dtype=torch.float64).expm1().log())


def random_map(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """Values in [0, 1)."""
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)
