"""The effective receptive field: which input pixels a restored pixel depends on, and how much.

Source: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS 2016:
the gradient of an output pixel by the input, averaged over inputs. What differs: squared gradients are averaged. They
do not cancel, as gradients of different sign would, and add up to an energy, so that their radii stand beside those of
the heat that spreads (:mod:`vheatir.research.explain.spread`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vheatir.research.explain.radii import Pixel, enclosed_energy, energy_radii

__all__ = ["ReceptiveField", "gradient_energy", "pixel_gradients", "receptive_field"]


@dataclass(frozen=True)
class ReceptiveField:
    """The effective receptive field of a pixel, averaged over inputs.

    Attributes:
        energy: mean squared gradient, shape (2 r + 1, 2 r + 1), float64, the restored pixel in the middle.
        radii: distances in image pixels within which 50, 90 and 99 % of the energy lie.
        inputs: number of inputs.
    """

    energy: Tensor
    radii: tuple[float, ...]
    inputs: int

    def enclosed(self) -> tuple[Tensor, Tensor]:
        """Distances in image pixels, and the share of the energy that lies no farther."""
        middle = self.energy.shape[0] // 2
        return enclosed_energy(self.energy, (middle, middle))


def pixel_gradients(restore: Callable[[Tensor], Tensor], images: Tensor, pixel: Pixel) -> Tensor:
    """Gradients of a restored pixel, the mean of its channels, by every pixel of its image.

    Args:
        restore: maps images (B, C, H, W) to images of that shape, each by itself, and lets gradients pass.
        images: shape (B, C, H, W).
        pixel: row and column of the restored pixel, in every image.

    Returns:
        Shape of ``images``.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        restored = restore(images)[..., pixel[0], pixel[1]].mean(dim=1).sum()
        (gradients,) = torch.autograd.grad(restored, images)
    return gradients


def gradient_energy(restore: Callable[[Tensor], Tensor], image: Tensor, pixel: Pixel) -> Tensor:
    """Squared gradient of a restored pixel, the mean of its channels, by every pixel of the input.

    Args:
        restore: maps images (1, C, H, W) to images of that shape, and lets gradients pass.
        image: shape (1, C, H, W).
        pixel: row and column of the restored pixel.

    Returns:
        The sum over the input's channels, shape (H, W), float64.
    """
    return pixel_gradients(restore, image, pixel)[0].double().square().sum(dim=0).cpu()


def receptive_field(
    restore: Callable[[Tensor], Tensor], inputs: Iterable[tuple[Tensor, Pixel]], radius: int
) -> ReceptiveField:
    """Average :func:`gradient_energy` over inputs, each about a pixel of its own.

    What lies outside of the square of that radius is left out of the energy.

    Args:
        restore: as for :func:`gradient_energy`.
        inputs: images (1, C, H, W), and the pixel of each, ``radius`` or more pixels from every edge.
        radius: r, half the side of the map.

    Raises:
        ValueError: if there are no inputs, or a pixel lies nearer to an edge.
    """
    total, count = torch.zeros(2 * radius + 1, 2 * radius + 1, dtype=torch.float64), 0
    for image, (row, column) in inputs:
        height, width = image.shape[-2:]
        if not (radius <= row < height - radius and radius <= column < width - radius):
            raise ValueError(f"Pixel ({row}, {column}) lies nearer than {radius} pixels to an edge of the input.")
        energy = gradient_energy(restore, image, (row, column))
        total += energy[row - radius : row + radius + 1, column - radius : column + radius + 1]
        count += 1
    if count == 0:
        raise ValueError("A receptive field is averaged over one input or more.")
    return ReceptiveField(total / count, energy_radii(total, (radius, radius)), count)
