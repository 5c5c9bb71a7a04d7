"""Which files are read and where each result goes, settled before anything is computed."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

__all__ = ["IMAGE_SUFFIXES", "JPEG_SUFFIXES", "LOSSLESS_SUFFIXES", "Job", "UsageError", "plan_jobs"]

logger = logging.getLogger(__name__)

#: file names taken as images, lower case; results are only ever written to the lossless ones
JPEG_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
LOSSLESS_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff", ".bmp", ".webp"})
IMAGE_SUFFIXES: Final = JPEG_SUFFIXES | LOSSLESS_SUFFIXES


class UsageError(ValueError):
    """A request that cannot be carried out as it stands; nothing has been done yet."""


@dataclass(frozen=True)
class Job:
    """One image to restore.

    Attributes:
        source: file to read.
        destination: file to write.
        name: source relative to the input folder, for messages.
    """

    source: Path
    destination: Path
    name: Path


def plan_jobs(source: Path, output: Path) -> list[Job]:
    """List the images of a file or folder, subfolders included, with the files to write.

    The folder structure is mirrored and names are kept, but a JPEG becomes a PNG: ``a.jpg`` gives ``a.png``,
    or ``a.jpg.png`` where another input claims ``a.png``.

    Args:
        source: an image, or a folder of them. Links to folders are not followed.
        output: folder for the results; it need not exist.

    Raises:
        UsageError: if there is nothing to read, or a result would replace an input or another result.
    """
    _check_output(output)
    if source.is_dir():
        root, names = source, _image_names(source)
        _check_separate(source, output)
    elif source.is_file():
        root, names = source.parent, [Path(source.name)]
        if output.resolve() == root.resolve():
            raise UsageError(f"The output {output} is the input's own folder; give another one.")
        if source.suffix.lower() not in IMAGE_SUFFIXES:
            raise UsageError(f"{source} is not an image of a supported kind: {_listed(IMAGE_SUFFIXES)}.")
    else:
        raise UsageError(f"The input {source} does not exist; give an image or a folder of images.")
    jobs = [Job(root / name, output / result, name) for name, result in zip(names, _result_names(names), strict=True)]
    _check_inputs_kept(jobs)
    return jobs


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; give a folder.")
    if not output.exists() and output.suffix.lower() in IMAGE_SUFFIXES:
        raise UsageError(f"The output {output} names an image; give a folder, results keep their input's name.")


def _check_separate(source: Path, output: Path) -> None:
    """Refuse an output folder within the input folder: the next run would take results for inputs."""
    inner, outer = output.resolve(), source.resolve()
    if inner == outer or outer in inner.parents:
        raise UsageError(f"The output {output} lies within the input {source}; give a folder outside of it.")


def _image_names(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise UsageError(f"The folder {error.filename} cannot be listed ({error.strerror}).") from error

    names: list[Path] = []
    others = 0
    for parent, _, files in os.walk(folder, onerror=refuse):
        paths = [Path(parent, file).relative_to(folder) for file in files]
        images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
        names += images
        others += len(paths) - len(images)
    if not names:
        raise UsageError(f"The folder {folder} holds no images ({_listed(IMAGE_SUFFIXES)}).")
    if others:
        logger.info("%d other files in %s are left out", others, folder)
    return sorted(names)


def _result_names(names: Sequence[Path]) -> list[Path]:
    short = [name.with_suffix(".png") if name.suffix.lower() in JPEG_SUFFIXES else name for name in names]
    claims = Counter(short)
    return [
        name.with_name(name.name + ".png") if claims[result] > 1 and result != name else result
        for name, result in zip(names, short, strict=True)
    ]


def _check_inputs_kept(jobs: Sequence[Job]) -> None:
    """Refuse results that would replace an input, or one another."""
    inputs = {job.source.resolve() for job in jobs}
    seen: dict[Path, Job] = {}
    for job in jobs:
        result = job.destination.resolve()
        if result in inputs:
            raise UsageError(f"The result of {job.name} would replace the input {result}; give another output folder.")
        if result in seen:
            raise UsageError(f"{seen[result].name} and {job.name} would both become {result}; rename one of them.")
        seen[result] = job


def _listed(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))
