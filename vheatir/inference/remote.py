"""Images on S3, Google Cloud Storage and the other file systems of pyarrow, restored through temporary files here."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pyarrow import fs

from vheatir.errors import UsageError
from vheatir.inference.folder import Settings, describe, reported, restore_file
from vheatir.inference.paths import Job, Selection, mirrored_jobs
from vheatir.inference.report import FileReport

__all__ = ["Place", "check_places", "list_jobs", "open_place", "restore_remote", "top_folders", "whole_file"]

#: an upload appears there when it is complete, never before; elsewhere it gets its name when it is complete
_OBJECT_STORES: Final = ("s3", "gcs", "abfs")


@dataclass(frozen=True)
class Place:
    """A folder of some file system.

    Attributes:
        files: the file system of pyarrow's.
        path: the folder on it.
        name: the folder for messages, as it was given.
    """

    files: Any
    path: str
    name: str


def open_place(uri: str) -> Place:
    """Find the file system of ``s3://bucket/folder``, ``gs://...``, ``file:///...`` or of a local path.

    Raises:
        UsageError: if there is none for it.
    """
    try:
        files, path = fs.FileSystem.from_uri(uri if "://" in uri else os.path.abspath(uri))
    except (ValueError, OSError) as error:
        raise UsageError(f"{uri} is no place that pyarrow finds: {error}") from error
    return Place(files, path.rstrip("/"), uri.partition("?")[0].rstrip("/"))


def check_places(source: Place, output: Place) -> None:
    """Refuse an input that is no folder, and an output that would mix with it.

    Raises:
        UsageError: saying which.
        OSError: if the file system does not answer.
    """
    if source.files.get_file_info(source.path).type != fs.FileType.Directory:
        raise UsageError(f"The input {source.name} is no folder that exists; give a folder of images.")
    inner, outer = Path(source.path), Path(output.path)
    if source.files == output.files and (inner == outer or inner in outer.parents or outer in inner.parents):
        raise UsageError(f"The output {output.name} and the input {source.name} lie within one another; part them.")


def top_folders(source: Place) -> list[str]:
    """The folders right below a place: each can be listed by another process."""
    return sorted(entry.base_name for entry in _entries(source, "") if _is_folder(source, entry))


def list_jobs(source: Place, output: Place, selection: Selection, folder: str, *, deep: bool) -> Iterator[Job]:
    """List the images of one folder of the source, as :func:`~vheatir.inference.paths.plan_jobs` does.

    Args:
        source: the input.
        output: where results go.
        selection: which files and formats.
        folder: relative to the source.
        deep: list its subfolders too.
    """
    roots = Path(source.path), Path(output.path)
    folders = [folder]
    while folders:
        inner = Path(folders.pop())
        try:
            entries = _entries(source, inner.as_posix())
        except OSError as error:
            problem = f"{source.name}/{inner.as_posix()} cannot be listed: {error}"
            if selection.in_shard(inner):
                yield Job(roots[0] / inner, roots[1] / inner, inner, problem)
            continue
        files = (entry.base_name for entry in entries if entry.type == fs.FileType.File)
        yield from mirrored_jobs(*roots, inner, sorted(f for f in files if selection.takes(inner / f)), selection)
        if deep:
            names = sorted((entry.base_name for entry in entries if _is_folder(source, entry)), reverse=True)
            folders += [(inner / name).as_posix() for name in names]


def restore_remote(job: Job, settings: Settings, source: Place, output: Place) -> FileReport:
    """Fetch a file, restore it as :meth:`~vheatir.Restorer.restore_file` does, and put the result; report on it."""
    paths = job.source, job.destination
    with TemporaryDirectory(prefix="vheatir-") as folder:
        here, there = (Path(folder, f"{label}{path.suffix}") for label, path in zip("ab", paths, strict=True))
        local = Job(here, there, job.name, job.problem)
        report = reported(local, settings, partial(_fetch_restore_put, job, source, output))
        file = f"{source.name}/{job.name.as_posix()}"
        result = f"{output.name}/{job.name.with_name(job.destination.name).as_posix()}"
        reason = report.reason and report.reason.replace(str(local.source), file).replace(
            str(local.destination), result
        )
        return replace(report, file=file, result=report.result and result, reason=reason)


def _fetch_restore_put(job: Job, source: Place, output: Place, local: Job, settings: Settings) -> FileReport:
    here, destination = fs.LocalFileSystem(), job.destination.as_posix()
    if settings.skip_existing and output.files.get_file_info(destination).type != fs.FileType.NotFound:
        return describe(local, settings, "skipped")
    if job.problem is None:
        origin = job.source.as_posix()
        fs.copy_files(origin, str(local.source), source_filesystem=source.files, destination_filesystem=here)
    report = restore_file(local, settings)
    with whole_file(output.files, destination) as temporary:
        fs.copy_files(str(local.destination), temporary, source_filesystem=here, destination_filesystem=output.files)
    return report


@contextmanager
def whole_file(files: Any, path: str) -> Iterator[str]:
    """Yield the name to write a file under, such that it has the name ``path`` only when it is whole."""
    if files.type_name in _OBJECT_STORES:
        yield path
        return
    folder = path.rpartition("/")[0]
    files.create_dir(folder, recursive=True)
    temporary = f"{folder}/.vheatir-{secrets.token_hex(8)}.tmp"
    try:
        yield temporary
        files.move(temporary, path)
    except BaseException:
        if files.get_file_info(temporary).type != fs.FileType.NotFound:
            files.delete_file(temporary)
        raise


def _entries(place: Place, folder: str) -> list[Any]:
    entries: list[Any] = place.files.get_file_info(
        fs.FileSelector(f"{place.path}/{folder}".removesuffix("/.").rstrip("/"))
    )
    return entries


def _is_folder(place: Place, entry: Any) -> bool:
    """Whether to look into it: links to folders may lead in a circle."""
    is_link = place.files.type_name == "local" and os.path.islink(entry.path)
    return entry.type == fs.FileType.Directory and not is_link
