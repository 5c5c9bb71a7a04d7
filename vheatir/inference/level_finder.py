"""The levels to restore with: given, read from the file, or estimated from the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from vheatir.imageio.images import Image, ImageError
from vheatir.inference.arrays import canvas_of, is_tensor, plain_array
from vheatir.inference.backends import Model
from vheatir.levels.grain import estimate_noise, is_drawn
from vheatir.levels.jpeg_trace import lowest_jpeg_quality
from vheatir.levels.levels import Levels, Sigma, given_numbers, is_auto, mean_sigma
from vheatir.weights.file import Task

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Auto", "LevelFinder", "given_levels"]

Auto: TypeAlias = Literal["auto"]

#: a quality found in the pixels may differ by so much from the one that a file was saved with
_TRACE_TOLERANCE: Final = 2
#: side of the middle square that the photo model's estimate is of, in pixels
_SEEN: Final = 1088


class LevelFinder:
    """Settles the levels of images for one task.

    Args:
        task: "photo", "denoise" or "jpeg".
        model_for: the model for gray images (True) or colour ones, loaded when it is asked for.
    """

    def __init__(self, task: Task, model_for: Callable[[bool], Model]) -> None:
        self._task = task
        self._model_for = model_for

    def of_array(
        self, image: npt.NDArray[Any] | Tensor, sigma: Sigma | Auto | None, quality: float | Auto | None
    ) -> tuple[Levels, str]:
        """Find the levels of an array, or check those of a tensor.

        Args:
            image: as for :meth:`vheatir.Restorer.restore`, like the levels.
            sigma: given, "auto", or None.
            quality: given, "auto", or None.

        Returns:
            The levels; and how they were found, in words, "" if they were given.

        Raises:
            ValueError: if the task takes others, or an image shows none.
        """
        if self._task == "photo":
            given = given_levels(sigma, quality)
            return (given if is_tensor(image) else _good_if_drawn(plain_array(image), given)), ""
        if self._task == "denoise":
            if sigma is None or quality is not None:
                raise ValueError(
                    'Task "denoise" takes sigma, the noise\'s standard deviation in 8-bit units, and no quality.'
                )
            if is_auto(sigma):
                return self._estimated_sigma(_array(image, "sigma"))
            parts = given_numbers("sigma", sigma)
            found = f"of channels {', '.join(f'{part:g}' for part in parts)}" if len(parts) > 1 else ""
            return given_levels(sigma, None), found
        if quality is None or sigma is not None:
            raise ValueError('Task "jpeg" takes quality, 1 to 100 or "auto", and no sigma.')
        if not is_auto(quality):
            return given_levels(None, quality), ""
        traced = lowest_jpeg_quality(_array(image, "quality"))
        if traced is None:
            raise ValueError("The image shows no trace of JPEG compression; give its quality, 1 to 100.")
        return Levels(quality=traced), "estimated"

    def of_file(
        self, path: Path, image: Image, sigma: Sigma | Auto | None, quality: float | Auto | None
    ) -> tuple[Levels, str]:
        """Find the levels of a file.

        Args:
            path: for messages.
            image: what was read from it, in the stored orientation.
            sigma: as for :meth:`vheatir.Restorer.restore`.
            quality: as for :meth:`vheatir.Restorer.restore_file`.

        Returns:
            The levels; and how they were found, in words, "" if they were given.

        Raises:
            ValueError: as for :meth:`vheatir.Restorer.restore` (ImageError is one).
        """
        if self._task == "photo":
            given = _good_if_drawn(image.shown_pixels, given_levels(sigma, quality), image.jpeg_quality)
            return given, self._seen(image, given)
        if self._task == "denoise" or sigma is not None or not (quality is None or is_auto(quality)):
            return self.of_array(image.shown_pixels, sigma, quality)
        own, traced = image.jpeg_quality, lowest_jpeg_quality(image.pixels)
        if traced is not None and (own is None or traced < own - _TRACE_TOLERANCE):
            found = "estimated" if own is None else f"estimated, of an earlier compression than the file's {own}"
            return Levels(quality=traced), found
        if own is None:
            raise ImageError(f"{path} shows no trace of JPEG compression: give --quality, 1 to 100, for it.")
        return Levels(quality=own), "read from the file"

    def _seen(self, image: Image, given: Levels) -> str:
        """What the model estimates of an image's levels, in words; seen in its middle, not all of a large one."""
        canvas = canvas_of(image.pixels)
        rows, columns = (_middle(side) for side in (canvas.height, canvas.width))
        model = self._model_for(canvas.has_equal_channels)
        x = canvas.read(rows, columns)
        seen = model.estimate(np.repeat(x, model.header.channels // x.shape[1], axis=1))
        noise = "" if given.sigma is not None else f"noise {seen.sigma:.1f}"
        jpeg = "" if given.quality is not None else f"JPEG quality {seen.quality:.0f}"
        return ", ".join(part for part in (noise, jpeg) if part) + " estimated" if noise or jpeg else ""

    def _estimated_sigma(self, pixels: npt.NDArray[Any]) -> tuple[Levels, str]:
        """White noise, the root mean square of the channels, or stronger grain; within the range of the training."""
        noise = estimate_noise(pixels)
        channels, estimate = noise.channels, round(noise.level, 1)
        model = self._model_for(len(channels) == 1)
        smallest, largest = model.header.level_range
        level = min(max(estimate, smallest), largest)
        bounded = "" if level == estimate else f" at {estimate:g}, beyond the training"
        if noise.is_grain:
            return Levels(sigma=level), f"estimated{bounded}, of grain; as white noise {mean_sigma(channels):.1f}"
        parts = "" if len(channels) == 1 else f", by channel {', '.join(f'{part:.1f}' for part in channels)}"
        return Levels(sigma=level), f"estimated{bounded}{parts}"


def _good_if_drawn(pixels: npt.NDArray[Any], given: Levels, quality: float | None = None) -> Levels:
    """The levels for "photo", whose network takes halftones and dithering for noise; and the quality of the file."""
    if None not in (given.sigma, given.quality) or not is_drawn(pixels):
        return given
    sigma, known = given.sigma, given.quality
    return Levels(0.0 if sigma is None else sigma, (quality or 100.0) if known is None else known)


def given_levels(sigma: object, quality: object) -> Levels:
    """Return the levels that are numbers; "auto" and None are not known."""
    return Levels(
        sigma=None if sigma is None or is_auto(sigma) else _one_sigma(given_numbers("sigma", sigma)),
        quality=None if quality is None or is_auto(quality) else _one_quality(given_numbers("quality", quality)),
    )


def _array(image: npt.NDArray[Any] | Tensor, name: str) -> npt.NDArray[Any]:
    if is_tensor(image):
        raise ValueError(f'{name}="auto" is for arrays; give the {name} of a tensor.')
    return plain_array(image)


def _one_sigma(parts: tuple[float, ...]) -> float:
    return parts[0] if len(parts) == 1 else mean_sigma(parts)


def _one_quality(numbers: tuple[float, ...]) -> float:
    if len(numbers) != 1:
        raise ValueError(f"quality is one number, not {len(numbers)}.")
    return numbers[0]


def _middle(side: int) -> slice:
    start = max(0, side - _SEEN) // 2
    return slice(start, start + min(side, _SEEN))
