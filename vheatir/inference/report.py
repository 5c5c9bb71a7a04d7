"""What became of each file, and the report of it: JSON Lines or Parquet, written as files finish."""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO, Final, Literal

from vheatir.errors import UsageError

__all__ = ["FileReport", "Status", "json_line", "json_lines", "parquet_parts"]

Status = Literal["restored", "skipped", "failed"]

_START: Final = b'{"file": '
_FULL: Final = (errno.ENOSPC, errno.EFBIG)
_ROWS_OF_A_PART: Final = 10_000
_SECONDS_OF_A_PART: Final = 30.0


@dataclass(frozen=True)
class FileReport:
    """What became of one file: one line of the report.

    Attributes:
        file: what was read.
        result: what was written, or was there; None if it failed.
        name: the file, relative to the input.
        status: "restored", "skipped" (its result was there), or "failed".
        task: what was asked for.
        level: the level used, of tasks that have one.
        levels: the same in words, with how it was found.
        width: pixels of the result.
        height: pixels of the result.
        tiles: pieces that went through the network.
        seconds: reading, restoring and writing.
        note: what was converted, in words.
        reason: None, or why there is no result.
        is_bad_input: the failure lies in what was asked, the input file itself most often.
    """

    file: str
    result: str | None
    name: str
    status: Status
    task: str
    level: float | None = None
    levels: str = ""
    width: int = 0
    height: int = 0
    tiles: int = 0
    seconds: float = 0.0
    note: str = ""
    reason: str | None = None
    is_bad_input: bool = False


def json_line(report: FileReport) -> str:
    """The report as one line of JSON; bytes of a file's name that are no UTF-8 survive in it, escaped."""
    return json.dumps(asdict(report))


@contextmanager
def json_lines(place: str, *, go_on: bool) -> Iterator[Callable[[FileReport], None]]:
    """Open a report; yield what appends the line of a file, to be read as soon as it returns.

    Args:
        place: the report's path.
        go_on: append to the report that is there, rather than begin it anew. A line that a power cut left half is
            removed.

    Raises:
        UsageError: if what is there is not such a report.
        OSError: if it cannot be written.
    """
    path = Path(place)
    with _named(place), path.open("r+b" if go_on and path.exists() else "wb") as file:
        if file.readable():
            _seek_end_of_lines(path, file)

        def append(report: FileReport) -> None:
            file.write(f"{json_line(report)}\n".encode("ascii"))
            file.flush()

        yield append


@contextmanager
def parquet_parts(place: str, *, go_on: bool) -> Iterator[Callable[[FileReport], None]]:
    """Open a report that is a folder of Parquet files; yield what takes down a file, to be written within a minute.

    Args:
        place: the folder, local or of a file system that pyarrow knows.
        go_on: the folder may hold parts of earlier runs, or of others that are under way.

    Raises:
        UsageError: if it holds any and they were not expected.
        OSError: if it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import fs, parquet

    from vheatir.inference.remote import open_place, whole_file

    folder = open_place(place)
    if not go_on and folder.files.get_file_info(folder.path).type != fs.FileType.NotFound:
        raise UsageError(f"{place} has a report already: give --report another name, or --skip-existing to go on.")
    kinds = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_()}
    schema = pa.schema(
        [(item.name, kinds.get(str(item.type).split(" ")[0], pa.string())) for item in fields(FileReport)]
    )
    run, part, last = secrets.token_hex(4), 0, time.monotonic()
    rows: list[dict[str, object]] = []

    def flush() -> None:
        nonlocal part, last
        if rows:
            with whole_file(folder.files, f"{folder.path}/{run}-{part:06d}.parquet") as name:
                parquet.write_table(pa.Table.from_pylist(rows, schema), name, filesystem=folder.files)
        part, last = part + 1, time.monotonic()
        rows.clear()

    def append(report: FileReport) -> None:
        # Arrow's texts are UTF-8; names of files may not be
        rows.append({key: _utf8(value) if isinstance(value, str) else value for key, value in asdict(report).items()})
        if len(rows) >= _ROWS_OF_A_PART or time.monotonic() - last > _SECONDS_OF_A_PART:
            flush()

    try:
        yield append
    finally:
        flush()


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Name the report in the error of a full disk, which names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _FULL:
            error.filename = place
        raise


def _utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _seek_end_of_lines(path: Path, file: BinaryIO) -> None:
    """Go to the end of the last whole line, and cut off what follows."""
    if file.read(len(_START)) not in (_START, b""):
        raise UsageError(f"{path} is not a report of this command: give --report another name, or remove it.")
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    file.seek(end)
    file.truncate()
