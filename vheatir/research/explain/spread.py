"""How the temperature of one pixel spreads through the network, on an actual image."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from vheatir.inference.network import RestorationNetwork
from vheatir.research.explain.blocks import block_outputs
from vheatir.research.explain.radii import Pixel, energy_radii

__all__ = ["OUTPUT", "Spread", "pixel_spread"]

#: name of the last spread: that into the restored image
OUTPUT: Final = "restored image"

#: half the difference of the two temperatures that the pixel is given, of 1
_STEP: Final = 1e-3


@dataclass(frozen=True)
class Spread:
    """How much one block's output changes with one pixel of the input.

    Attributes:
        name: of the block within the network, or :data:`OUTPUT`.
        change: root of the sum over channels of the squared derivative, shape (h, w), float64. Features have no unit:
            compare it within a map.
        scale: image pixels to a pixel of the map.
        radii: distances from the pixel, in image pixels, within which 50, 90 and 99 % of the squared change lie.
    """

    name: str
    change: Tensor
    scale: int
    radii: tuple[float, ...]


def pixel_spread(model: RestorationNetwork, image: Tensor, level: float, pixel: Pixel) -> list[Spread]:
    """Raise and lower one pixel a little, in all its channels alike, and watch every block's output.

    The derivative is a central difference in float64, which any kind of block allows: two passes, no gradients.

    Args:
        model: the network.
        image: shape (1, channels, H, W), in [0, 1].
        level: σ in 8-bit units, or JPEG quality.
        pixel: row and column in the image.

    Returns:
        One spread a block, in order, and a last one, :data:`OUTPUT`, into the restored image.
    """
    precise = copy.deepcopy(model).double()
    row, column = pixel
    pair = image.double().repeat(2, 1, 1, 1)
    pair[0, :, row, column] += _STEP
    pair[1, :, row, column] -= _STEP
    with torch.no_grad(), block_outputs(precise.network) as outputs:
        restored = precise(pair, level)
    maps = {name: _change(output) for name, output in outputs.items()}
    maps[OUTPUT] = _change(restored.permute(0, 2, 3, 1))
    return [_spread(name, change, image, pixel) for name, change in maps.items()]


def _change(outputs: Tensor) -> Tensor:
    return ((outputs[0] - outputs[1]) / (2 * _STEP)).square().sum(dim=-1).sqrt().cpu()


def _spread(name: str, change: Tensor, image: Tensor, pixel: Pixel) -> Spread:
    scale = -(-image.shape[-2] // change.shape[-2])  # the network extends an image to a multiple of it
    centre = (pixel[0] + 0.5) / scale - 0.5, (pixel[1] + 0.5) / scale - 0.5
    radii = tuple(scale * radius for radius in energy_radii(change.square(), centre))
    return Spread(name, change, scale, radii)
