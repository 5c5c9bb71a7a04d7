"""Restoring image files, one after the other; a file that fails is reported and the others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vheatir.checkpoint import Degradation
from vheatir.inference.compute import Precision, check_precision, select_device
from vheatir.inference.images import Image, ImageError, read_image, write_image
from vheatir.inference.levels import trained_level
from vheatir.inference.network import cached_model
from vheatir.inference.paths import Job
from vheatir.inference.restorer import restore

__all__ = ["FileReport", "Settings", "check_settings", "restore_files"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What is asked for every file.

    Attributes:
        task: "denoise" or "jpeg".
        sigma: standard deviation of the noise in 8-bit units, for "denoise".
        quality: JPEG quality; None means each file's own.
        model: bundled name or weights file; None means the bundled one that fits the image.
        device: where to compute.
        precision: see :func:`vheatir.restore`.
    """

    task: Degradation
    sigma: float | None
    quality: float | None
    model: str | None
    device: torch.device
    precision: Precision


@dataclass(frozen=True)
class FileReport:
    """What became of one file.

    Attributes:
        job: the file.
        level: the level used, in words.
        width: pixels.
        height: pixels.
        seconds: reading, restoring and writing.
        failure: None, or why there is no result.
        is_bad_input: the failure lies in what was asked, the input file itself most often.
    """

    job: Job
    level: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    failure: str | None = None
    is_bad_input: bool = False


def check_settings(
    *,
    task: Degradation,
    sigma: float | None,
    quality: float | None,
    model: str | None,
    device: str,
    precision: Precision,
) -> Settings:
    """Load the models and refuse what no file could be restored with.

    Raises:
        ValueError: if the level is out of range, or the model, device or precision cannot be used.
    """
    selected = select_device(device)
    check_precision(precision, selected)
    for name in [f"{task}-gray", f"{task}-color"] if model is None else [model]:
        header = cached_model(name, selected).header
        if header.degradation != task:
            raise ValueError(f"Model {name} is for task {header.degradation}, not {task}.")
        level = sigma if task == "denoise" else quality
        if level is not None:
            trained_level(header, level)
    return Settings(task, sigma, quality, model, selected, precision)


def restore_files(jobs: Iterable[Job], settings: Settings) -> Iterator[FileReport]:
    """Restore each file in turn and report on it; no failure of a file goes further than its report."""
    for job in jobs:
        start = time.perf_counter()
        try:
            report = _restore_file(job, settings)
        except Exception as error:  # whatever is wrong with this file, the next one may be well
            logger.debug("%s failed", job.source, exc_info=True)
            report = FileReport(job, failure=_reason(job, error), is_bad_input=isinstance(error, ValueError))
        yield replace(report, seconds=time.perf_counter() - start)


def _restore_file(job: Job, settings: Settings) -> FileReport:
    image = read_image(job.source)
    quality, level = _level(job.source, image, settings)
    restored = restore(
        image.pixels,
        task=settings.task,
        sigma=settings.sigma,
        quality=quality,
        device=settings.device,
        model=settings.model,
        precision=settings.precision,
    )
    job.destination.parent.mkdir(parents=True, exist_ok=True)
    write_image(job.destination, replace(image, pixels=restored))
    height, width = image.pixels.shape[:2]
    return FileReport(job, level=level, width=width, height=height)


def _level(path: Path, image: Image, settings: Settings) -> tuple[float | None, str]:
    """The JPEG quality to use for a file, and its level in words."""
    if settings.task == "denoise":
        return None, f"sigma {settings.sigma:g}"
    if settings.quality is not None:
        return settings.quality, f"quality {settings.quality:g}"
    if image.jpeg_quality is None:
        raise ImageError(f"{path} is not a JPEG file that tells its quality: give --quality, 1 to 100, for it.")
    return image.jpeg_quality, f"quality {image.jpeg_quality} (read from the file)"


def _reason(job: Job, error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or job.source}: {error.strerror or error}."
    if _is_out_of_memory(error):
        return f"{job.source} needs more memory than there is; crop it, or use a machine with more."
    return f"{job.source} cannot be restored: {error}"


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
