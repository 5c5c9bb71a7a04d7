"""What the verbs share: exit codes, one sentence for what went wrong, places for results, progress."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Final, Literal, TypeVar

from vheatir.errors import UsageError

__all__ = [
    "BAD_USAGE",
    "DONE",
    "EXIT_CODES",
    "FAILED",
    "INTERRUPTED",
    "check_parent",
    "make_folder",
    "new_parser",
    "number_or_auto",
    "print_what_can_be_printed",
    "printable",
    "progress",
    "run_command",
    "watched",
]

T = TypeVar("T")

DONE: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
INTERRUPTED: Final = 130

EXIT_CODES: Final = """\
exit codes:
  0 done; 1 restore: some files failed, report --check: a page is out of date; 2 wrong usage, or something that cannot
  be read, used or written; 130 interrupted, what was finished is kept"""

#: control characters, ends of lines, and what reverses the direction of writing
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: what to install for a package that is missing
_SOURCES: Final = {
    "torch": "torch",
    "skimage": "vheatir[metrics]",
    "lpips": "vheatir[metrics]",
    "msgspec": "vheatir[train]",
    "yaml": "vheatir[train]",
    "lmdb": "vheatir[train]",
    "onnx": "vheatir[onnx]",
    "onnxruntime": "vheatir[onnx]",
    "pyarrow": "vheatir[ray]",
    "ray": "vheatir[ray]",
}


def new_parser(verb: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """An argument parser whose help ends with the exit codes."""
    return argparse.ArgumentParser(
        prog=f"vheatir {verb}",
        description=description,
        epilog=f"{epilog}\n{EXIT_CODES}" if epilog else EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_command(command: Callable[[], int], *, quiet: bool = False) -> int:
    """Run a verb and return its exit code; what the user can fix becomes one sentence on standard error.

    ``python -X dev -m vheatir`` shows the traceback instead.

    Args:
        command: returns an exit code; raises a ValueError or an OSError whose message names the remedy.
        quiet: log warnings and failures alone.
    """
    from vheatir.system.allocator import keep_freed_memory

    handler = logging.StreamHandler()
    handler.setFormatter(_NamesOnOneLine("%(message)s"))
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=[handler])
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # failures are reported in our own words
    keep_freed_memory()
    try:
        return command()
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sentence = _sentence(error)
        if sentence is None or sys.flags.dev_mode:
            raise
        print(printable(f"error: {sentence}"), file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _sentence(error: Exception) -> str | None:
    """What to say of an error; None if it is none of the user's."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        wanted = _SOURCES.get(package)
        return None if wanted is None else f'{error.name} is not installed: pip install "{wanted}".'
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def printable(text: str) -> str:
    """A line with escapes in place of what would end it, turn it round, or command the terminal: names may hold it."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class _NamesOnOneLine(logging.Formatter):
    """Escapes names in what is logged; a message itself may have several lines."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            record = copy(record)
            record.args = tuple(printable(str(x)) if isinstance(x, str | Path) else x for x in record.args or ())
        return super().format(record)


def print_what_can_be_printed() -> None:
    """Escape the rest: names of files may hold bytes that are no UTF-8, and a console may not know σ."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def number_or_auto(text: str) -> float | Literal["auto"]:
    """The type of an argument that is a number, or ``auto``."""
    return "auto" if text == "auto" else float(text)


def make_folder(folder: Path, what: str) -> Path:
    """Make a folder for results.

    Args:
        folder: made with its parents, if missing.
        what: it is, for the message: "output folder", or "folder of --output".

    Raises:
        UsageError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The {what} {folder} cannot be made: {error.strerror}.") from error
    return folder


def check_parent(path: Path | None, option: str) -> None:
    """Refuse a file whose folder does not exist, before the work that it is to hold.

    Raises:
        UsageError: naming the option.
    """
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"The folder of {option} {path} does not exist; make it first.")


@contextmanager
def progress(total: int | None, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A bar over images, None if nobody knows how many, above which the log goes on.

    Yields what advances it by one, with a text beside it. ``tqdm.write`` prints above it.
    """
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm(), tqdm(total=total, unit="image", disable=quiet) as bar:

        def advance(text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update()

        yield advance


def watched(items: Sequence[T], label: str) -> Iterable[T]:
    """The items behind a bar; none where there is nothing to do."""
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, desc=label, unit="image", disable=not items)
    return bar
