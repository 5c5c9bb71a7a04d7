"""How far a network looks, measured by gradients.

Source: as :mod:`vheatir.research.explain.receptive`, by whose gradients this goes. What differs, and is meant:
gradients are not squared here, since mixers differ most in the faint influence of far pixels, which squares all but
hide; and a square, not a circle, holds a share of it, since windows and convolutions look as far along the diagonals as
their corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from vheatir.nn.condition import noise_condition
from vheatir.research.explain.receptive import pixel_gradients

__all__ = ["influence", "receptive_sides"]

_IMAGES: Final = 4
_LEVEL: Final = noise_condition(25)


def influence(network: nn.Module, channels: int, size: int) -> Tensor:
    """How strongly each pixel acts on what the network adds to the central pixel.

    Args:
        network: called ``network(x, level)``; its own skip from input to output does not count.
        channels: of the image.
        size: N, side of the image in pixels.

    Returns:
        Absolute gradients of the mean of its channels, shape (N, N), summed over images of uniform noise and their
        channels, in float64.
    """
    generator = torch.Generator().manual_seed(0)
    images, level = torch.rand(_IMAGES, channels, size, size, generator=generator), torch.full((_IMAGES,), _LEVEL)
    gradients = pixel_gradients(lambda x: network(x, level) - x, images, (size // 2, size // 2))
    return gradients.double().abs().sum(dim=(0, 1))


def receptive_sides(influence: Tensor, shares: Sequence[float]) -> list[int]:
    """Sides of the smallest squares around the central pixel that hold these shares of the influence.

    Args:
        influence: shape (N, N), not zero everywhere.
        shares: more than 0, at most 1; 1 asks for everything that acts at all.

    Returns:
        Odd sides in pixels; squares may reach beyond the image.
    """
    size = influence.shape[0]
    distance = (torch.arange(size) - size // 2).abs()
    ring = torch.maximum(distance[:, None], distance[None, :])
    within = torch.zeros(size // 2 + 1, dtype=torch.float64).index_add(0, ring.flatten(), influence.flatten())
    held = within.cumsum(0)
    return [2 * int((held < share * held[-1] * (1 - 1e-12)).sum()) + 1 for share in shares]
