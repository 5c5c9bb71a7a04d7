"""What the scripts below ``datasets/`` share: exit codes, and one sentence for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from vheatir.data.sources import find_images

__all__ = ["find_in_folders", "run_command"]

_DONE: Final = 0
_BAD_USAGE: Final = 2
_INTERRUPTED: Final = 130


def run_command(program: str, work: Callable[[], None]) -> int:
    """Run a script's work and return its exit code: 0 done, 2 not done, with the reason, 130 interrupted.

    Args:
        program: the script's name, before the reason.
        work: raises an OSError or a ValueError whose message names the remedy.
    """
    try:
        work()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{program}: {error}\n")
        return _BAD_USAGE
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted.\n")
        return _INTERRUPTED
    return _DONE


def find_in_folders(folders: Iterable[Path], options: str) -> list[Path]:
    """Images of all folders, in order.

    Args:
        folders: where to look.
        options: the command's options that named them, for the message.

    Raises:
        FileNotFoundError: if a folder holds none.
    """
    paths = []
    for folder in folders:
        found = find_images(folder)
        if not found:
            raise FileNotFoundError(f"{folder} holds no image: check {options}.")
        paths += found
    return paths
