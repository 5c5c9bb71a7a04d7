"""Restoring image files, one after the other; a file that fails is reported and the others go on."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.write import write_image
from vheatir.inference.before_after import comparison
from vheatir.inference.level_finder import Auto
from vheatir.inference.memory import is_out_of_memory
from vheatir.inference.paths import Job
from vheatir.inference.restorer import FileResult, Restorer
from vheatir.levels.levels import Sigma
from vheatir.system.atomic import atomic_path, remove_stale

__all__ = ["FileReport", "Settings", "Status", "restore_files", "write_report"]

logger = logging.getLogger(__name__)

Status = Literal["restored", "skipped", "failed"]


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


@dataclass(frozen=True)
class FileReport:
    """What became of one file.

    Attributes:
        job: the file.
        status: "restored", "skipped" (its result was there), or "failed".
        level: the level used, in words.
        value: the level used, of tasks that have one.
        width: pixels of the result.
        height: pixels of the result.
        tiles: pieces that went through the network.
        seconds: reading, restoring and writing.
        note: what was converted, in words.
        failure: None, or why there is no result.
        is_bad_input: the failure lies in what was asked, the input file itself most often.
    """

    job: Job
    status: Status
    level: str = ""
    value: float | None = None
    width: int = 0
    height: int = 0
    tiles: int = 0
    seconds: float = 0.0
    note: str = ""
    failure: str | None = None
    is_bad_input: bool = False


def restore_files(jobs: Iterable[Job], settings: Settings) -> Iterator[FileReport]:
    """Restore each file in turn and report on it; no failure of a file goes further than its report."""
    tidied: set[Path] = set()
    for job in jobs:
        start = time.perf_counter()
        if job.destination.parent not in tidied:  # what an earlier, killed run left there
            tidied.add(job.destination.parent)
            remove_stale(job.destination.parent)
        try:
            report = _restore_file(job, settings)
        except Exception as error:  # whatever is wrong with this file, the next one may be well
            logger.debug("%s failed", job.source, exc_info=True)
            report = FileReport(job, "failed", failure=_reason(job, error), is_bad_input=isinstance(error, ValueError))
        yield replace(report, seconds=time.perf_counter() - start)


def write_report(path: Path, reports: Sequence[FileReport], *, task: str) -> None:
    """Write the reports as JSON: a list with one object a file.

    Raises:
        OSError: if it cannot be written.
    """
    records = [
        {
            "file": str(report.job.source),
            "result": str(report.job.destination) if report.failure is None else None,
            "status": report.status,
            "task": task,
            "level": report.value,
            "levels": report.level,
            "width": report.width,
            "height": report.height,
            "tiles": report.tiles,
            "seconds": round(report.seconds, 3),
            "note": report.note,
            "reason": report.failure,
        }
        for report in reports
    ]
    with atomic_path(path) as temporary:
        # names of files may hold bytes that are no UTF-8: escaped, they survive
        temporary.write_text(json.dumps(records, indent=1) + "\n", encoding="ascii")


def _restore_file(job: Job, settings: Settings) -> FileReport:
    if job.problem is not None:
        raise ImageError(job.problem)
    if settings.skip_existing and job.destination.exists():
        return FileReport(job, "skipped")
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
    return FileReport(
        job,
        "restored",
        level=f"{result.levels}{found}",
        value=None if settings.restorer.task == "photo" else value,
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
