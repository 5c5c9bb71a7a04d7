"""Which files are read and where each result goes: a stream, of which one folder at a time is in memory."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import itertools
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vheatir.errors import UsageError
from vheatir.imageio.formats import FORMATS, IMAGE_SUFFIXES, JPEG_SUFFIXES

__all__ = [
    "Job",
    "Selection",
    "mirrored_jobs",
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
    ".orf", ".rw2", ".raf", ".pef", ".raw", ".3fr", ".iiq", ".ico", ".pcx", ".dds", ".jls", ".jxr", ".qoi", ".eps",
})  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One image to restore.

    Attributes:
        source: file to read.
        destination: file to write.
        name: source relative to the input folder, for messages.
        problem: why it cannot even be tried (a folder that cannot be listed, a result that would replace an input),
            or None.
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
        shard: (3, 16) takes the third of sixteen parts, which have no file in common and hold all of them together. A
            hash of the name decides, so that runs on other machines, or of tomorrow, part a folder in the same way.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: str | None = None
    keep_jpeg: bool = False
    inside: bool = False
    shard: tuple[int, int] = (1, 1)

    def takes(self, name: Path) -> bool:
        """Tell whether a file of this name, relative to the input, is an image that is wanted."""
        # what macOS keeps of a file where it cannot be kept with it is called ._ and the file's name
        if name.suffix.lower() not in _INPUT_SUFFIXES or name.name.startswith("._"):
            return False
        wanted = not self.include or any(_matches(name, pattern) for pattern in self.include)
        return wanted and not any(_matches(name, pattern) for pattern in self.exclude)

    def in_shard(self, name: Path) -> bool:
        """Tell whether a file of this name, relative to the input, belongs to the shard."""
        number, count = self.shard
        digest = hashlib.blake2b(os.fsencode(name.as_posix()), digest_size=8).digest()
        return int.from_bytes(digest, "big") % count == number - 1

    def result_suffix(self, suffix: str) -> str:
        """Suffix of the result of a file with this suffix."""
        known = suffix.lower()
        if self.format is not None:
            return suffix if known in FORMATS[self.format] else FORMATS[self.format][0]
        if known in _PLUGIN_SUFFIXES or (known in JPEG_SUFFIXES and not self.keep_jpeg):
            return ".png"
        return suffix


def plan_jobs(source: Path, output: Path, selection: Selection | None = None) -> Iterator[Job]:
    """List the images of a file or folder, subfolders included, with the files to write.

    The folder structure is mirrored and names are kept, but where the format changes, so does the suffix: ``a.jpg``
    gives ``a.png``, or ``a.jpg.png`` where another input of its folder claims ``a.png``. Each folder is settled when
    the stream comes to it, its files by name, then its subfolders. A result that would replace an input, through links
    that join the two trees, makes its job one with a problem.

    Args:
        source: an image, or a folder of them. Links to folders are not followed, so none is walked in circles.
        output: folder for the results; it need not exist.
        selection: which files and formats; None means every image, in its own.

    Raises:
        UsageError: before the first job, if there is nothing to read, or results would come to lie among the inputs.
    """
    selection = selection or Selection()
    _check_output(output)
    if source.is_dir():
        _check_separate(source, output, inside=selection.inside)
        jobs = _folder_jobs(source, output, selection)
    elif source.is_file():
        if _resolved(output) == _resolved(source.parent):
            raise UsageError(f"The output {output} is the input's own folder; give another one.")
        if source.suffix.lower() not in _INPUT_SUFFIXES:
            raise UsageError(f"{source} is not an image of a supported kind: {_listed(_INPUT_SUFFIXES)}.")
        jobs = _Links(source.parent, output).checked_jobs(Path(), [source.name], selection)
    else:
        what = "does not exist"
        if os.path.lexists(source):
            what = "is no regular file" if source.exists() else "is a link that leads nowhere"
        raise UsageError(f"The input {source} {what}; give an image or a folder of images.")
    first = next(jobs, None)  # finds an empty or closed folder at once
    return iter(()) if first is None else itertools.chain([first], jobs)


def mirrored_jobs(source: Path, output: Path, inner: Path, names: Sequence[str], selection: Selection) -> Iterator[Job]:
    """The jobs of one folder that belong to the shard; no two have one destination.

    Args:
        source: folder for the inputs of all.
        output: folder for the results of all.
        inner: the folder, relative to both.
        names: of the images that are wanted in it, all that there are, whatever the shard.
        selection: formats and shard.
    """
    for name, result in zip(names, _result_names(names, selection), strict=True):
        if selection.in_shard(inner / name):
            yield Job(source / inner / name, output / inner / result, inner / name)


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; give a folder.")
    if not output.exists() and output.suffix.lower() in _INPUT_SUFFIXES | _OTHER_PICTURES:
        raise UsageError(
            f"The output {output} names an image; give a folder, results keep their input's name and format, or get "
            f"another by --format: {', '.join(FORMATS)}."
        )


def _check_separate(source: Path, output: Path, *, inside: bool) -> None:
    """Refuse results that would come to lie among the inputs: they would replace some, and be taken for some later."""
    results, inputs = _resolved(output), _resolved(source)
    if results == inputs or (inputs in results.parents and not inside):
        raise UsageError(
            f"The output {output} lies within the input {source}; give a folder outside of it, or, for one below it, "
            "--output-inside."
        )
    # mirrored into its grandparent g, g/a/b/a/b/x.png would replace the input g/a/b/x.png
    if results in inputs.parents and (back := source / inputs.relative_to(results)).exists():
        raise UsageError(
            f"Results of {back} would come to lie within the input {source}, and could replace inputs; "
            "give another output folder."
        )


def _folder_jobs(source: Path, output: Path, selection: Selection) -> Iterator[Job]:
    problems: list[Job] = []

    def note(error: OSError) -> None:
        place = Path(error.filename)
        if place == source:
            raise UsageError(f"The folder {place} cannot be listed ({error.strerror}).") from error
        problem = f"{place} cannot be listed ({error.strerror}); check that you may read it."
        problems.append(Job(place, place, place.relative_to(source), problem))

    found = False
    others: Counter[str] = Counter()
    results = _resolved(output)
    links = _Links(source, output)
    for parent, folders, files in os.walk(source, onerror=note):
        folders[:] = sorted(name for name in folders if name != output.name or _resolved(Path(parent, name)) != results)
        inner = Path(parent).relative_to(source)
        names = sorted(file for file in files if selection.takes(inner / file))
        others.update(_suffix(file) for file in set(files).difference(names) if not file.startswith("._"))
        found = found or bool(names)
        yield from links.checked_jobs(inner, names, selection)
    yield from (job for job in problems if selection.in_shard(job.name))
    if not found and not problems:
        wanted = "that the patterns leave" if selection.include or selection.exclude else _listed(_INPUT_SUFFIXES)
        left_out = f"; left out{_named(others)}" if others else ""
        raise UsageError(f"The folder {source} holds no images ({wanted}){left_out}.")
    if others:
        logger.info("%d other files in %s are left out%s", others.total(), source, _named(others))


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


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _result_names(names: Sequence[str], selection: Selection) -> list[str]:
    """Names of the results of one folder, each another: files that become what others claim keep their suffix too."""
    results = [name.removesuffix(old) + selection.result_suffix(old) for name in names for old in [Path(name).suffix]]
    claims = Counter(map(_one_spelling, results))
    shared = [claims[_one_spelling(result)] > 1 for result in results]
    taken: set[str] = set()
    # first what nobody else claims, then files that keep their name
    for index in sorted(range(len(names)), key=lambda i: (shared[i], results[i] != names[i])):
        result, suffix = results[index], Path(results[index]).suffix
        if shared[index] and result != names[index]:
            result = names[index] + suffix
        while _one_spelling(result) in taken:
            result += suffix
        taken.add(_one_spelling(result))
        results[index] = result
    return results


def _one_spelling(name: str) -> str:
    """The same for all names of one file: a.JPG and a.jpg are names of one on Windows, and on most Macs."""
    return name.casefold() if sys.platform in ("win32", "darwin") else name


class _Links:
    """Finds results that would replace an input, or one another, through links."""

    def __init__(self, source: Path, output: Path) -> None:
        self._source, self._output = source, output
        self._inputs, self._results = _resolved(source), _resolved(output)
        self._leading: dict[Path, Path] = {}

    def checked_jobs(self, inner: Path, names: Sequence[str], selection: Selection) -> Iterator[Job]:
        """The jobs of one folder, each with its problem where it has one."""
        folder = self._output / inner
        place = _resolved(folder)
        is_unsafe = place != self._results / inner and self._is_unsafe(folder, place)
        # a result replaces a link of its name, not what that leads to; but an input may be a link to a result's place
        paths = (self._source / inner / name for name in names)
        read = {_resolved(path) for path in paths if path.is_symlink()}
        for job in mirrored_jobs(self._source, self._output, inner, names, selection):
            problem = None
            if is_unsafe:
                problem = f"{job.source} is left out: {folder} leads to inputs or to other results; remove that link."
            elif read and (result := place / job.destination.name) in read:
                problem = f"{job.source} is left out: its result would replace the input {result}; give another output."
            yield replace(job, problem=problem)

    def _is_unsafe(self, folder: Path, place: Path) -> bool:
        around = {place, *place.parents}
        return bool(around & {self._inputs, self._results}) or self._leading.setdefault(place, folder) != folder


def _listed(suffixes: frozenset[str]) -> str:
    return ", ".join(sorted(suffixes))
