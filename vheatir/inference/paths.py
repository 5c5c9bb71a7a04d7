"""Which files are read and where each result goes, settled before anything is computed."""

from __future__ import annotations

import fnmatch
import importlib.util
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vheatir.errors import UsageError
from vheatir.imageio.formats import FORMATS, IMAGE_SUFFIXES, JPEG_SUFFIXES

__all__ = [
    "Job",
    "Selection",
    "plan_jobs",
]

logger = logging.getLogger(__name__)

#: read by plugins of Pillow's, where there are some, and written as PNG
_PLUGIN_SUFFIXES: Final = frozenset({".avif"}) | (
    frozenset({".heic", ".heif"}) if importlib.util.find_spec("pillow_heif") else frozenset()
)
_INPUT_SUFFIXES: Final = IMAGE_SUFFIXES | _PLUGIN_SUFFIXES
#: pictures of other kinds, worth a word when they are left out
_OTHER_PICTURES: Final = frozenset({
    ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".gif", ".psd", ".xcf", ".svg", ".exr", ".hdr", ".tga", ".pbm", ".pgm",
    ".ppm", ".pnm", ".fits", ".dcm", ".pdf", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2",
    ".orf", ".rw2", ".raf", ".pef", ".raw", ".3fr", ".iiq",
})  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One image to restore.

    Attributes:
        source: file to read.
        destination: file to write.
        name: source relative to the input folder, for messages.
        problem: why it cannot even be tried (a folder that cannot be listed), or None.
    """

    source: Path
    destination: Path
    name: Path
    problem: str | None = None


@dataclass(frozen=True)
class Selection:
    """Which files of a folder, and in which format their results.

    Attributes:
        include: glob patterns of the file name, or of the path relative to the input; none means every image.
        exclude: the same, of files to leave out.
        format: one of :data:`FORMATS`, or None for the input's own, JPEGs becoming PNGs.
        keep_jpeg: JPEGs stay JPEGs.
        inside: the output may lie within the input; it is not read then.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: str | None = None
    keep_jpeg: bool = False
    inside: bool = False

    def takes(self, name: Path) -> bool:
        """Tell whether a file of this name, relative to the input, is wanted."""
        wanted = not self.include or any(_matches(name, pattern) for pattern in self.include)
        return wanted and not any(_matches(name, pattern) for pattern in self.exclude)

    def result_name(self, name: Path) -> Path:
        """Name of the result of a file, where nothing else claims it."""
        suffix = name.suffix.lower()
        if self.format is not None:
            return name if suffix in FORMATS[self.format] else name.with_suffix(FORMATS[self.format][0])
        if suffix in _PLUGIN_SUFFIXES or (suffix in JPEG_SUFFIXES and not self.keep_jpeg):
            return name.with_suffix(".png")
        return name


def plan_jobs(source: Path, output: Path, selection: Selection | None = None) -> list[Job]:
    """List the images of a file or folder, subfolders included, with the files to write.

    The folder structure is mirrored and names are kept, but where the format changes, so does the suffix: ``a.jpg``
    gives ``a.png``, or ``a.jpg.png`` where another input claims ``a.png``.

    Args:
        source: an image, or a folder of them. Links to folders are not followed, so none is walked in circles.
        output: folder for the results; it need not exist.
        selection: which files and formats; None means every image, in its own.

    Raises:
        UsageError: if there is nothing to read, or a result would replace an input or another result.
    """
    selection = selection or Selection()
    _check_output(output)
    problems: list[Job] = []
    if source.is_dir():
        if _resolved(output) == _resolved(source) or not selection.inside:
            _check_separate(source, output)
        root, names = source, _image_names(source, output, selection, problems)
    elif source.is_file():
        root, names = source.parent, [Path(source.name)]
        if _resolved(output) == _resolved(root):
            raise UsageError(f"The output {output} is the input's own folder; give another one.")
        if source.suffix.lower() not in _INPUT_SUFFIXES:
            raise UsageError(f"{source} is not an image of a supported kind: {_listed(_INPUT_SUFFIXES)}.")
    else:
        raise UsageError(f"The input {source} does not exist; give an image or a folder of images.")
    results = _result_names(names, selection)
    jobs = [Job(root / name, output / result, name) for name, result in zip(names, results, strict=True)]
    _check_inputs_kept(jobs)
    return jobs + problems


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; give a folder.")
    if not output.exists() and output.suffix.lower() in _INPUT_SUFFIXES:
        raise UsageError(f"The output {output} names an image; give a folder, results keep their input's name.")


def _check_separate(source: Path, output: Path) -> None:
    """Refuse an output folder within the input folder: the next run would take results for inputs."""
    inner, outer = _resolved(output), _resolved(source)
    if inner == outer or outer in inner.parents:
        raise UsageError(
            f"The output {output} lies within the input {source}; give a folder outside of it, or, for one below it, "
            "--output-inside."
        )


def _image_names(folder: Path, output: Path, selection: Selection, problems: list[Job]) -> list[Path]:
    def note(error: OSError) -> None:
        place = Path(error.filename)
        if place == folder:
            raise UsageError(f"The folder {place} cannot be listed ({error.strerror}).") from error
        problem = f"{place} cannot be listed ({error.strerror}); check that you may read it."
        problems.append(Job(place, place, place.relative_to(folder), problem))

    names: list[Path] = []
    others: Counter[str] = Counter()
    results = _resolved(output)
    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if name != output.name or _resolved(Path(parent, name)) != results]
        # what macOS keeps of a file where it cannot be kept with it is called ._ and the file's name
        paths = [Path(parent, file).relative_to(folder) for file in files if not file.startswith("._")]
        images = [path for path in paths if path.suffix.lower() in _INPUT_SUFFIXES and selection.takes(path)]
        names += images
        others.update(path.suffix.lower() for path in set(paths) - set(images))
    if not names and not problems:
        wanted = "that the patterns leave" if selection.include or selection.exclude else _listed(_INPUT_SUFFIXES)
        left_out = f"; left out{_named(others)}" if others else ""
        raise UsageError(f"The folder {folder} holds no images ({wanted}){left_out}.")
    if others:
        logger.info("%d other files in %s are left out%s", others.total(), folder, _named(others))
    return sorted(names)


def _named(others: Counter[str]) -> str:
    """Files that are left out, by kind, the most frequent first; and what to do with those that are pictures."""
    kinds = [(suffix, count) for suffix, count in others.most_common() if suffix not in _INPUT_SUFFIXES]
    listed = ", ".join(f"{suffix or 'no suffix'}: {count}" for suffix, count in kinds)
    remedy = "; convert pictures to PNG or TIFF first" if _OTHER_PICTURES & set(others) else ""
    return f" ({listed}{remedy})" if listed else ""


def _resolved(path: Path) -> Path:
    """The path without links; a link that leads in a circle stays as it is."""
    return Path(os.path.realpath(path))


def _matches(name: Path, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name.name, pattern) or fnmatch.fnmatchcase(name.as_posix(), pattern)


def _result_names(names: Sequence[Path], selection: Selection) -> list[Path]:
    short = [selection.result_name(name) for name in names]
    claims = Counter(_one_spelling(result) for result in short)
    return [
        name.with_name(name.name + result.suffix) if claims[_one_spelling(result)] > 1 and result != name else result
        for name, result in zip(names, short, strict=True)
    ]


def _one_spelling(path: Path) -> str:
    """The path as text, the same for all that name one file: a.JPG and a.jpg do on Windows, and on most Macs."""
    return str(path).casefold() if sys.platform in ("win32", "darwin") else str(path)


def _check_inputs_kept(jobs: Sequence[Job]) -> None:
    """Refuse results that would replace an input, or one another."""
    folders: dict[Path, Path] = {}  # resolving ten thousand paths one by one takes its time

    def resolved(path: Path) -> Path:
        if path.is_symlink():
            return _resolved(path)
        if path.parent not in folders:
            folders[path.parent] = _resolved(path.parent)
        return folders[path.parent] / path.name

    inputs = {resolved(job.source) for job in jobs}
    seen: dict[str, Job] = {}
    for job in jobs:
        result = resolved(job.destination)
        if result in inputs:
            raise UsageError(f"The result of {job.name} would replace the input {result}; give another output folder.")
        other = seen.setdefault(_one_spelling(result), job)
        if other is not job:
            raise UsageError(f"{other.name} and {job.name} would both become {result}; rename one of them.")


def _listed(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))
