"""Restoring arrays, tensors and files: load once, restore many, any size.

>>> clean = vheatir.restore(noisy, task="denoise", sigma=15)
>>> restorer = vheatir.Restorer("denoise")
>>> restorer.restore_file("noisy.png", "clean.png", sigma="auto")
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from vheatir.errors import is_number
from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.read import read_image
from vheatir.imageio.white_level import restretched, stretched
from vheatir.imageio.write import prepared, write_image
from vheatir.inference.arrays import Canvas, ImageLike, canvas_of
from vheatir.inference.backends import BackendName, Model, Precision, make_backend
from vheatir.inference.level_finder import Auto, LevelFinder, given_levels
from vheatir.inference.memory import SMALLEST_TILE, largest_tile
from vheatir.inference.runner import RestorationError, TileRunner
from vheatir.levels.levels import Levels, Sigma, is_auto, scaled_levels, trained_levels
from vheatir.weights.file import Task, WeightsHeader

if TYPE_CHECKING:
    import torch

    from vheatir.inference.network import RestorationNetwork

__all__ = ["FileResult", "RestorationError", "Restorer", "restore"]

logger = logging.getLogger(__name__)

#: images of at most so many pixels are restored in batches of so many: see Restorer.restore_many
_BATCH_PIXELS: Final = 64 * 64
_BATCH: Final = 16

#: side of a tile if nothing else is asked and memory allows: see docs/tiling.md
DEFAULT_TILE: Final = 1088


@dataclass(frozen=True)
class FileResult:
    """What was done to one file.

    Attributes:
        levels: what the network was told, before ``strength``.
        found: how the levels were found, in words, if they were not given; for "photo" what the network estimated.
        image: the restored image as it was written.
        original: what was read, turned upright.
        tiles: how many pieces went through the network.
    """

    levels: Levels
    found: str
    image: Image
    original: Image
    tiles: int


class Restorer:
    """Removes noise, JPEG artifacts or both from images; models are loaded at first need and kept.

    An image whose channels are all equal goes to the gray model, unless ``model`` is a colour one or the task "photo",
    which has one model for all; its result is gray in any case. Images larger than a tile are restored in overlapping
    tiles, blended smoothly; each goes to the device by itself, and memory that runs out halves it.

    Processes that are forked after something was restored compute with one thread in torch, whose other threads are not
    in them (it would wait for them without end); on a GPU they cannot compute at all. Start workers with the method
    "spawn", or before the first image, for more.

    Args:
        task: "photo" for real photographs, whatever is wrong with them; "denoise" for white noise and "jpeg" for
            compression alone.
        model: bundled name, weights file, or loaded model; None chooses the bundled one by task and channels.
        device: where torch computes; None means a tensor's own device, for arrays CUDA where there is some, else the
            CPU. A model given as a module computes on its own device.
        precision: "fp32", or autocast to "bf16" or "fp16" (fp16 not on a CPU). A tile that is not finite is computed
            again in fp32, and logged.
        tile: largest side of a tile in pixels, 64 or more; "auto" takes 1088, or what fits into the free memory.
        ensemble: mean over the eight flips and quarter turns, for eight times the work.
        strength: factor of the levels, σ and 100 - quality, told or estimated; 0 with "photo" changes nothing.
        backend: "torch", or "onnx" for onnxruntime, in fp32; "auto" takes torch where it is installed.
        provider: execution provider of onnxruntime's, such as "cuda"; None for the CPU.

    Raises:
        ValueError: if an argument is out of range, or unfit for the others.
        ModuleNotFoundError: if the backend is not installed.
    """

    def __init__(
        self,
        task: Task,
        *,
        model: str | Path | RestorationNetwork | None = None,
        device: str | torch.device | None = None,
        precision: Precision = "fp32",
        tile: int | Auto = "auto",
        ensemble: bool = False,
        strength: float = 1.0,
        backend: BackendName = "auto",
        provider: str | None = None,
    ) -> None:
        if task not in ("photo", "denoise", "jpeg"):
            raise ValueError(f'task is "photo", "denoise" or "jpeg", not {task!r}.')
        if not is_auto(tile) and not is_number(tile, SMALLEST_TILE, is_whole=True):
            raise ValueError(f'A tile has a side of {SMALLEST_TILE} pixels or more, or is "auto", not {tile!r}.')
        if not is_number(strength, 0, sys.float_info.max):
            raise ValueError(f"strength is a factor of 0 or more, not {strength!r}.")
        self.task: Task = task
        self.tile = tile
        self.ensemble = ensemble
        self.strength = strength
        self._model = model
        self._backend = make_backend(backend, device=device, precision=precision, provider=provider)
        self._finder = LevelFinder(task, self._chosen_model)

    def restore(
        self, image: ImageLike, *, sigma: Sigma | Auto | None = None, quality: float | Auto | None = None
    ) -> ImageLike:
        """Restore an image, or a batch of one size.

        Args:
            image: array (H, W), (H, W, 1) or (H, W, 3), RGB, of uint8, uint16 or float in [0, 1]; or float tensor
                (C, H, W) or (B, C, H, W) in [0, 1].
            sigma: for "denoise": standard deviation of the noise in 8-bit units, within the trained range; or one for
                each of the channels R, G and B, of which the root mean square is used; or "auto" to estimate it,
                white or grainy (arrays only).
            quality: for "jpeg": quality the JPEG was saved with, 1 to 100; outside the model's trained range the
                nearest trained quality is used, and logged; or "auto" to estimate it from the traces in the pixels
                (arrays only). "photo" needs neither; a number for either is taken as known (σ 0: no noise, quality
                100: no compression).

        Returns:
            The restored image: same kind, dtype, shape and device, clamped to the range and rounded.

        Raises:
            ValueError: if an argument is missing, out of range, or unfit for the others (WeightsError is one);
                or if no quality is found.
            TypeError: if the image's type is not one of those above.
            RestorationError: if the result is not finite in fp32 either.
        """
        return self._restore(image, self._finder.of_array(image, sigma, quality)[0])[0]

    def restore_many(
        self,
        images: Sequence[npt.NDArray[Any]],
        *,
        sigma: Sigma | Auto | None = None,
        quality: float | Auto | None = None,
    ) -> list[npt.NDArray[Any]]:
        """Restore arrays; small ones of one shape and level go through the network together.

        Together where that is faster: on a CPU, batches of 32 x 32 pixels take 0.4 times as long as single images, but
        1.3 times from 128 x 128 on.

        Args:
            images: arrays as :meth:`restore` takes them, of any shapes and types.
            sigma: as for :meth:`restore`, for all images; "auto" estimates each one's own.
            quality: the same.

        Returns:
            The restored images, in their order.

        Raises:
            ValueError: as for :meth:`restore`, before anything is restored.
        """
        images = list(images)
        levels = [self._finder.of_array(image, sigma, quality)[0] for image in images]
        canvases = [canvas_of(image) for image in images]
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, (canvas, level) in enumerate(zip(canvases, levels, strict=True)):
            size = (canvas.height, canvas.width, canvas.channels)
            kind = (*size, canvas.has_equal_channels, canvas.is_clipped, level)
            is_small = canvas.height * canvas.width <= _BATCH_PIXELS
            groups.setdefault(kind if is_small else (index,), []).append(index)
        for indices in groups.values():
            for start in range(0, len(indices), _BATCH):
                batch = [canvases[index] for index in indices[start : start + _BATCH]]
                self._restore_canvases(batch, levels[indices[0]])
        results: list[Any] = [canvas.result for canvas in canvases]
        return results

    def restore_file(
        self,
        source: str | Path,
        destination: str | Path,
        *,
        sigma: Sigma | Auto | None = None,
        quality: float | Auto | None = None,
        quality_out: int | None = None,
        max_megapixels: float | None = None,
        white_level: int | None = None,
    ) -> FileResult:
        """Restore an image file; alpha, bit depth, EXIF and ICC profile are kept, the orientation is applied.

        Args:
            source: image to read.
            destination: file to write, in the format of its suffix; its folder must exist.
            sigma: as for :meth:`restore`.
            quality: as for :meth:`restore`; "auto" and None mean the file's own if it is a JPEG file, or a lower one
                that its pixels show a trace of: images are often compressed more than once.
            quality_out: quality of a JPEG destination, 1 to 100.
            max_megapixels: larger images are refused; None means the default of ``read_image``.
            white_level: value of white in files of 16 bits, 255 to 65535, of which levels are measured; None finds it
                in tags, or in bits that no value uses, and says so in the image's note.

        Raises:
            ImageError: if the file cannot be read, or the format cannot hold the result; nothing is written then.
            OSError: if the result cannot be written.
            ValueError: as for :meth:`restore`.
        """
        image = read_image(Path(source), max_megapixels=max_megapixels)
        image = prepared(Path(destination), image, quality=quality_out)  # what cannot be written is found in time
        image = _with_white(Path(source), image, white_level)
        full = replace(image, pixels=stretched(image.pixels, image.white)) if image.white else image
        levels, found = self.file_levels(Path(source), full, sigma, quality)
        # in the stored orientation, on the JPEG's own grid
        pixels, tiles = self._restore(full.pixels, levels)
        restored = replace(image, pixels=restretched(pixels, image.white) if image.white else pixels).upright()
        write_image(Path(destination), restored, quality=quality_out)
        return FileResult(levels, found, restored, image.upright(), tiles)

    def check(self, *, sigma: Sigma | Auto | None = None, quality: float | Auto | None = None) -> None:
        """Load the models that files will need, and refuse what no file could be restored with.

        Args:
            sigma: of all files, or None or "auto" if each has its own.
            quality: the same.

        Raises:
            ValueError: if the level is out of range, or the model, device or precision cannot be used.
        """
        for is_gray in (True, False):
            trained_levels(self._chosen_model(is_gray).header, given_levels(sigma, quality))

    def _restore(self, image: ImageLike, levels: Levels) -> tuple[ImageLike, int]:
        """The result, and in how many pieces it was computed."""
        canvas = canvas_of(image)
        pieces = self._restore_canvases([canvas], levels, image)
        result: Any = canvas.result
        return result, pieces

    def _restore_canvases(self, canvases: Sequence[Canvas], levels: Levels, image: object = None) -> int:
        """Restore one image, or several of one size that fit into a tile, and return in how many pieces."""
        first = canvases[0]
        model = self._chosen_model(first.has_equal_channels, image)
        header = model.header
        _check_channels(header, first)
        told = trained_levels(header, levels)
        is_photo = header.name == "photo"
        tile = min(DEFAULT_TILE, largest_tile(header, model.free_bytes(), images=len(canvases) * first.batch))
        runner = TileRunner(
            model,
            told if is_photo else scaled_levels(header, told, self.strength),
            strength=self.strength if is_photo else 1.0,
            tile=tile if self.tile == "auto" else self.tile,
            ensemble=self.ensemble,
            is_clipped=first.is_clipped,
        )
        if len(canvases) == 1:
            runner.restore(first)
        else:
            runner.restore_batch(canvases)
        return runner.passes

    def _chosen_model(self, is_gray: bool, image: object = None) -> Model:
        """The model asked for, or the bundled one that fits."""
        if self._model is None and self.task == "photo":
            return self._backend.load("photo", image)
        if self._model is None:
            return self._backend.load(f"{self.task}-{'gray' if is_gray else 'color'}", image)
        loaded = self._backend.load(self._model, image)
        if loaded.header.task != self.task:
            raise ValueError(f"Model {loaded.header.name} is for task {loaded.header.task}, not {self.task}.")
        return loaded

    def file_levels(
        self, path: Path, image: Image, sigma: Sigma | Auto | None, quality: float | Auto | None
    ) -> tuple[Levels, str]:
        """Find the levels that :meth:`restore_file` would use.

        Args:
            path: for messages.
            image: what was read from it, in the stored orientation.
            sigma: as for :meth:`restore`.
            quality: as for :meth:`restore_file`.

        Returns:
            The levels; and how they were found, in words, "" if they were given.

        Raises:
            ValueError: as for :meth:`restore` (ImageError is one).
        """
        return self._finder.of_file(path, image, sigma, quality)


def restore(
    image: ImageLike,
    *,
    task: Task,
    sigma: Sigma | Auto | None = None,
    quality: float | Auto | None = None,
    device: str | torch.device | None = None,
    model: str | Path | RestorationNetwork | None = None,
    precision: Precision = "fp32",
) -> ImageLike:
    """Remove noise or JPEG artifacts from one image: :meth:`Restorer.restore` in one call.

    Models loaded here are kept for the next call. For many images, or for tiles, strength and ensembles, make a
    :class:`Restorer`, which documents the arguments and errors.
    """
    restorer = Restorer(task, model=model, device=device, precision=precision)
    return restorer.restore(image, sigma=sigma, quality=quality)


def _with_white(path: Path, image: Image, white: int | None) -> Image:
    """The image with the white that is asked for, or with a note on the one that was found."""
    if image.pixels.dtype != np.uint16:
        return image
    if white is None and image.white is None:
        return image
    if white is None:
        words = f"white taken as {image.white}: give --white-level 65535 if the picture is dark"
        return replace(image, note=", ".join(filter(None, (image.note, words))))
    if int(image.pixels.max()) > white:
        raise ImageError(f"{path} has values up to {image.pixels.max()}: give a --white-level of that or more.")
    return replace(image, white=white)


def _check_channels(header: WeightsHeader, canvas: Canvas) -> None:
    if header.channels == 1 and not canvas.has_equal_channels:
        raise ValueError(f"The image is a colour one and model {header.name} takes gray ones; use a colour model.")
    if header.channels == 3 and canvas.channels == 1 and header.name != "photo":
        raise ValueError(f"The image is a gray one and model {header.name} takes colour ones; use a gray model.")
