"""Clean images in the memory of a device, and random crops of them, cut all at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vheatir.data.sources import ImageSource

__all__ = ["DeviceImages"]


class DeviceImages:
    """All images of a source as 8-bit pixels on a device.

    Args:
        source: the images.
        channels: 1 for gray, 3 for RGB.
        device: where the pixels go.
    """

    def __init__(self, source: ImageSource, *, channels: int, device: torch.device) -> None:
        images = [source.read(index, channels) for index in range(len(source.names))]
        sizes = torch.tensor([image.shape[:2] for image in images], device=device)
        self._heights, self._widths = sizes.unbind(1)
        self._ends = torch.cumsum(self._heights * self._widths, dim=0)
        self._starts = self._ends - self._heights * self._widths
        flat = np.concatenate([image.reshape(-1, channels) for image in images])
        self._pixels = torch.from_numpy(flat).to(device)
        self._total = len(flat)

    def crops(self, count: int, size: int, *, flip: bool, rotate: bool, generator: torch.Generator) -> Tensor:
        """Cut random square crops, as the training of ``DegradedImageDataset`` does.

        Args:
            count: B, how many.
            size: S, their side in pixels; a smaller image is continued by its mirror image.
            flip: flip half of them.
            rotate: rotate them by 0, 90, 180 or 270 degrees.
            generator: of the device, to draw from.

        Returns:
            uint8, shape (B, channels, S, S); images are drawn in proportion to their areas.
        """
        device = self._pixels.device
        pixel = torch.randint(self._total, (count,), generator=generator, device=device)
        image = torch.searchsorted(self._ends, pixel, right=True)
        heights, widths = self._heights[image], self._widths[image]
        place = torch.rand(2, count, generator=generator, device=device, dtype=torch.float64)
        top = (place[0] * (heights - size + 1).clamp(min=1)).long()[:, None, None]
        left = (place[1] * (widths - size + 1).clamp(min=1)).long()[:, None, None]
        rows, columns = self._orientations(count, size, flip=flip, rotate=rotate, generator=generator)
        rows = _mirror(top + rows, heights[:, None, None])
        columns = _mirror(left + columns, widths[:, None, None])
        index = self._starts[image][:, None, None] + rows * widths[:, None, None] + columns
        return self._pixels[index].permute(0, 3, 1, 2)

    def _orientations(
        self, count: int, size: int, *, flip: bool, rotate: bool, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The row and the column of the upright crop that each pixel of a turned one shows, (B, S, S) each."""
        device = self._pixels.device
        flips, turns = torch.rand(2, count, generator=generator, device=device)
        quarter = (4 * turns).long()[:, None, None] if rotate else torch.zeros(count, 1, 1, device=device).long()
        mirrored = (flips < 0.5)[:, None, None] & flip
        rows = torch.arange(size, device=device)[:, None].expand(count, size, size)
        columns = torch.arange(size, device=device).expand(count, size, size)
        odd, last = quarter % 2 == 1, size - 1
        rows, columns = torch.where(odd, columns, rows), torch.where(odd, rows, columns)
        rows = torch.where((quarter == 2) | (quarter == 3), last - rows, rows)
        columns = torch.where((quarter == 1) | (quarter == 2), last - columns, columns)
        return rows, torch.where(mirrored, last - columns, columns)


def _mirror(place: Tensor, length: Tensor) -> Tensor:
    """Places 0, 1, 2, ... along a line of this length that is continued by its mirror image, the end repeated."""
    place = place % (2 * length)
    return torch.minimum(place, 2 * length - 1 - place)
