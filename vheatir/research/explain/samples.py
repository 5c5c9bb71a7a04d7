"""Pieces of an image, and random ones, on which a network is explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from vheatir.research.explain.radii import Pixel

__all__ = ["Cut", "cut_around", "natural_inputs", "random_inputs", "sample_radius"]

#: cuts start at multiples of this, so that a JPEG's blocks and folded pixels lie in them as in the whole image
_GRID: Final = 8


@dataclass(frozen=True)
class Cut:
    """A piece of an image.

    Attributes:
        image: the piece, shape (1, C, h, w).
        corner: row and column of its first pixel in the whole image.
        pixel: row and column of the chosen pixel in the piece.
    """

    image: Tensor
    corner: Pixel
    pixel: Pixel


def cut_around(image: Tensor, pixel: Pixel, size: int) -> Cut:
    """Cut a square around a pixel, moved so as to lie within the image.

    It starts at a multiple of 8 and has a side of ``size`` to ``size + 7`` pixels, less where the image has less.

    Args:
        image: shape (1, C, H, W).
        pixel: row and column.
        size: of the side, 1 or more.
    """
    (top, bottom), (left, right) = (
        _span(place, length, size) for place, length in zip(pixel, image.shape[-2:], strict=True)
    )
    return Cut(image[..., top:bottom, left:right], (top, left), (pixel[0] - top, pixel[1] - left))


def sample_radius(height: int, width: int, size: int) -> int:
    """Radius of the field that :func:`natural_inputs` leaves room for; pixels may still vary by some eight pixels."""
    half = (min(height, width, size) - 1) // 2
    return half - min(_GRID, half // 4)


def natural_inputs(image: Tensor, size: int, count: int, seed: int) -> Iterator[tuple[Tensor, Pixel]]:
    """Cuts of an image around pixels drawn at random, with each one's pixel: ``count`` of them.

    The pixels lie :func:`sample_radius` or more from the edges of image and cut.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = image.shape[-2:]
    radius = sample_radius(height, width, size)
    for _ in range(count):
        row, column = (
            int(torch.randint(radius, length - radius, (), generator=generator)) for length in (height, width)
        )
        cut = cut_around(image, (row, column), size)
        yield cut.image, cut.pixel


def random_inputs(image: Tensor, size: int, count: int, seed: int) -> Iterator[tuple[Tensor, Pixel]]:
    """Images of independent values, even in [0, 1], in place of the cuts of :func:`natural_inputs`."""
    generator = torch.Generator().manual_seed(seed)
    for cut, pixel in natural_inputs(image, size, count, seed):
        yield torch.rand(cut.shape, generator=generator).to(cut), pixel


def _span(place: int, length: int, size: int) -> tuple[int, int]:
    start = min(max(place - size // 2, 0), max(length - size, 0))
    return start // _GRID * _GRID, min(start + size, length)
