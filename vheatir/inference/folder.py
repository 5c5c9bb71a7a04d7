"""Restoring image files, one after the other; a file that fails is reported and the others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.write import write_image
from vheatir.inference.before_after import comparison
from vheatir.inference.level_finder import Auto
from vheatir.inference.memory import is_out_of_memory
from vheatir.inference.paths import Job
from vheatir.inference.report import FileReport, Status
from vheatir.inference.restorer import FileResult, Restorer
from vheatir.levels.levels import Sigma
from vheatir.system.atomic import remove_stale

__all__ = ["Settings", "describe", "reported", "restore_file", "restoring"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What is asked for every file.

    Attributes:
        restorer: what restores them.
        sigma: standard deviation of the noise in 8-bit units, one or three, or "auto", for "denoise".
        quality: JPEG quality; None or "auto" means each file's own.
        quality_out: quality of JPEG results.
        max_megapixels: larger files are refused; None means the default.
        white_level: value of white in files of 16 bits; None means each file's own.
        skip_existing: leave out files whose result exists.
        compare: folder for comparison pictures, or None.
    """

    restorer: Restorer
    sigma: Sigma | Auto | None = None
    quality: float | Auto | None = None
    quality_out: int | None = None
    max_megapixels: float | None = None
    white_level: int | None = None
    skip_existing: bool = False
    compare: Path | None = None


def restoring(settings: Settings) -> Callable[[Job], FileReport]:
    """What restores one file after the other and reports on each; no failure of a file goes further than its report."""
    tidied: list[Path] = []

    def restore(job: Job) -> FileReport:
        folder = job.destination.parent
        if tidied != [folder]:  # what an earlier, killed run left there
            tidied[:] = [folder]
            remove_stale(folder)
        return reported(job, settings, restore_file)

    return restore


def reported(job: Job, settings: Settings, restore: Callable[[Job, Settings], FileReport]) -> FileReport:
    """Restore a file with the given function, and report on it whatever goes wrong."""
    start = time.perf_counter()
    try:
        report = restore(job, settings)
    except Exception as error:  # whatever is wrong with this file, the next one may be well
        logger.debug("%s failed", job.source, exc_info=True)
        reason, is_bad = _reason(job, error), isinstance(error, ValueError)
        report = replace(describe(job, settings, "failed"), reason=reason, is_bad_input=is_bad)
    return replace(report, seconds=round(time.perf_counter() - start, 3))


def describe(job: Job, settings: Settings, status: Status) -> FileReport:
    """The report on a file of which nothing but its status is known."""
    result = None if status == "failed" else str(job.destination)
    return FileReport(str(job.source), result, str(job.name), status, settings.restorer.task)


def restore_file(job: Job, settings: Settings) -> FileReport:
    """Restore a file, unless its result is there and may stay.

    Raises:
        Exception: whatever went wrong.
    """
    if job.problem is not None:
        raise ImageError(job.problem)
    if settings.skip_existing and job.destination.exists():
        return describe(job, settings, "skipped")
    job.destination.parent.mkdir(parents=True, exist_ok=True)
    result = settings.restorer.restore_file(
        job.source,
        job.destination,
        sigma=settings.sigma,
        quality=settings.quality,
        quality_out=settings.quality_out,
        max_megapixels=settings.max_megapixels,
        white_level=settings.white_level,
    )
    if settings.compare is not None:
        _write_comparison(settings.compare / job.name.with_name(job.name.name + ".png"), result)
    height, width = result.image.pixels.shape[:2]
    found = f" ({result.found})" if result.found else ""
    value = result.levels.sigma if settings.restorer.task == "denoise" else result.levels.quality
    return replace(
        describe(job, settings, "restored"),
        level=None if settings.restorer.task == "photo" else value,
        levels=f"{result.levels}{found}",
        width=width,
        height=height,
        tiles=result.tiles,
        note=result.image.note,
    )


def _write_comparison(path: Path, result: FileResult) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(comparison(result.original.pixels, result.image.pixels)))


def _reason(job: Job, error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or job.source}: {error.strerror or error}."
    if is_out_of_memory(error):
        return f"{job.source} needs more memory than there is; crop it, or use a machine with more."
    return f"{job.source} cannot be restored: {error}"
