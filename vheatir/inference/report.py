"""What became of each file, and the report of it: JSON Lines, written as files finish."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from vheatir.errors import UsageError

__all__ = ["FileReport", "Status", "json_line", "json_lines"]

Status = Literal["restored", "skipped", "failed"]

_START: Final = b'{"file": '


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
def json_lines(path: Path, *, go_on: bool) -> Iterator[Callable[[FileReport], None]]:
    """Open a report; yield what appends a file's line to it, on the disk when it returns.

    Args:
        path: the report.
        go_on: append to the report that is there, rather than begin it anew. A line that a power cut left half is
            removed.

    Raises:
        UsageError: if what is there is not such a report.
        OSError: if it cannot be written.
    """
    with path.open("r+b" if go_on and path.exists() else "wb") as file:
        if file.readable():
            _seek_end_of_lines(path, file)

        def append(report: FileReport) -> None:
            file.write(f"{json_line(report)}\n".encode("ascii"))
            file.flush()

        yield append


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
