"""The degradations of :mod:`vheatir.data.degradations` for whole batches, on any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vheatir.data.degradations import Degradation, GaussianNoise, JpegCompression
from vheatir.data.device.jpeg import compress_jpeg
from vheatir.nn.condition import jpeg_condition, noise_condition

__all__ = ["degrade"]

_GRID = 8  # side of a JPEG block


def degrade(degradation: Degradation, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Degrade every crop by a draw of its own; the distributions are those of the degradation itself.

    Args:
        degradation: what to draw from.
        clean: uint8, shape (B, C, h + margin, w + margin), C is 1 or 3 (RGB).
        generator: of the same device, to draw from.

    Returns:
        The degraded crops, float32 in [0, 1] (noise may leave that range), and the clean crops they belong to, float32
        in [0, 1], both (B, C, h, w); the network's condition, float32 (B,).

    Raises:
        TypeError: if there is no such degradation on a device.
    """
    if isinstance(degradation, GaussianNoise):
        return _add_noise(degradation, clean, generator)
    if isinstance(degradation, JpegCompression):
        return _Jpeg(degradation, generator)(clean)
    raise TypeError(f"{type(degradation).__name__} cannot be drawn on a device.")


def _add_noise(noise: GaussianNoise, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    count, device = len(clean), clean.device
    if noise.choices:
        choice = torch.randint(len(noise.choices), (count,), generator=generator, device=device)
        sigma = torch.tensor(noise.choices, device=device)[choice]
    else:
        sigma = noise.low + (noise.high - noise.low) * torch.rand(count, generator=generator, device=device)
    level, target = noise_condition(sigma), clean / 255
    normal = torch.randn(clean.shape, generator=generator, device=device)
    return target + level[:, None, None, None] * normal, target, level


class _Jpeg:
    """One draw of JPEG compression for a batch.

    Args:
        options: the distribution.
        generator: to draw from.
    """

    def __init__(self, options: JpegCompression, generator: torch.Generator) -> None:
        self._options = options
        self._generator = generator

    def __call__(self, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        options = self._options
        if clean.shape[1] == 1 and options.studio_swing > 0:
            studio = (clean * (219 / 255) + 16).round().to(torch.uint8)
            clean = self._choose(options.studio_swing, studio, clean)
        degraded = clean
        if options.double > 0:
            degraded = self._choose(options.double, self._compress(degraded)[0], degraded)
            degraded, clean = self._shift_grid(degraded, clean)
        degraded, quality = self._compress(degraded)
        if options.grid_phase:
            degraded, clean = self._shift_grid(degraded, clean)
        return degraded / 255, clean / 255, jpeg_condition(quality)

    def _choose(self, probability: float, one: Tensor, other: Tensor) -> Tensor:
        """``one`` with this probability, sample by sample."""
        return torch.where((self._uniform(len(one)) < probability)[:, None, None, None], one, other)

    def _compress(self, images: Tensor) -> tuple[Tensor, Tensor]:
        quality = self._draw_quality(len(images))
        kinds = self._options.subsampling
        if images.shape[1] == 1 or set(kinds) == {"420"}:
            return compress_jpeg(images, quality), quality
        choice = torch.randint(len(kinds), (len(images),), generator=self._generator, device=images.device)
        subsampled = torch.tensor([kind == "420" for kind in kinds], device=images.device)[choice]
        return compress_jpeg(images, quality, subsampled), quality

    def _draw_quality(self, count: int) -> Tensor:
        """Whole numbers, shape (count,)."""
        low, high, drawn = self._options.low, self._options.high, self._uniform(count)
        if self._options.log_quality:
            drawn = torch.exp(math.log(low) + math.log((high + 1) / low) * drawn)
        else:
            drawn = low + (high + 1 - low) * drawn
        return drawn.int().clamp(low, high)

    def _shift_grid(self, degraded: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Cut both at the same place of the grid, drawn for each sample, leaving 7 pixels less each way."""
        count, _, height, width = clean.shape
        device = clean.device
        top, left = torch.randint(_GRID, (2, count, 1), generator=self._generator, device=device)
        rows = (top + torch.arange(height - _GRID + 1, device=device))[:, :, None]
        columns = (left + torch.arange(width - _GRID + 1, device=device))[:, None, :]
        sample = torch.arange(count, device=device)[:, None, None]
        cut = torch.cat([degraded, clean], dim=1).permute(0, 2, 3, 1)[sample, rows, columns].permute(0, 3, 1, 2)
        first, second = cut.chunk(2, dim=1)
        return first, second

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self._generator, device=self._generator.device, dtype=torch.float64)
