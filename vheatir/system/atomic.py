"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["atomic_path", "remove_stale"]

_NAME = re.compile(r"\.vheatir-(?P<host>.+)-(?P<process>\d+)-[0-9a-f]{8}\.tmp")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the folder of ``path``; rename it to ``path`` if the block succeeds.

    Whatever ends the block early, Ctrl-C included, removes the temporary file and leaves ``path`` as it was. An OSError
    about the temporary file, or, as a full disk's, about no file, names ``path``.
    """
    temporary = path.with_name(f".vheatir-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename in (None, temporary, str(temporary)):  # nobody knows that name
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove the temporary files that processes of this machine left in a folder when they were killed.

    Those of running processes stay, as do those of other machines that write into the same folder.
    """
    for entry in folder.glob(".vheatir-*.tmp"):
        name = _NAME.fullmatch(entry.name)
        if name is not None and name["host"] == socket.gethostname() and not psutil.pid_exists(int(name["process"])):
            entry.unlink(missing_ok=True)
