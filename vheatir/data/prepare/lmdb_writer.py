"""Writing an LMDB in BasicSR's layout: PNG images under their names, listed in ``meta_info.txt``.

BasicSR's own function for this, ``basicsr.utils.lmdb_util.make_lmdb_from_imgs``, is not used: it sizes the database
by its first image, which fails on images of mixed sizes, refuses names beyond ASCII, copies alpha channels and 16 bits
that training does not read, ends the process if the folder exists, and leaves half a database behind when interrupted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.prepare.checks import Finding
from vheatir.data.prepare.pixels import to_eight_bits
from vheatir.imageio.read import read_image

__all__ = ["lmdb_key", "write_lmdb"]

_COMPRESS_LEVEL: Final = 1  # BasicSR's
_BATCH_BYTES: Final = 2**26  # of encoded images held in memory before they are committed
_PAGES: Final = 2**14  # bytes: what LMDB's pages may add to an image
_ROOM: Final = 2**24  # bytes: its own tables, with much to spare


def write_lmdb(folder: Path, findings: Iterable[Finding]) -> None:
    """Write images to a new LMDB, as training reads them: 8 bits, gray or colour, without alpha.

    The folder appears under its name only when it is whole.

    Args:
        folder: to be made; its name ends in ``.lmdb``.
        findings: the images, all usable; any iterable, so that a progress bar can watch.

    Raises:
        FileExistsError: if the folder exists.
        ImageError: if an image has become unreadable since it was checked.
    """
    import lmdb  # of the extra `train`

    if folder.exists():
        raise FileExistsError(f"{folder} exists already: remove it, or write elsewhere.")
    with _whole_folder(folder) as temporary:
        environment = lmdb.open(str(temporary))
        try:
            lines = _fill(environment, findings)
        finally:
            environment.close()
        (temporary / "meta_info.txt").write_text("".join(lines), encoding="ascii")


def lmdb_key(name: str, used: set[str]) -> str:
    """Return a key that is not in ``used`` for ``folder/file.suffix``, and add it there.

    BasicSR's readers cut the lines of ``meta_info.txt`` at dots and spaces, so that a key can have neither: it is
    the name without suffix, in letters, digits and ``_ - /``.

    Example:
        In turn, ``a/x.png``, ``a/x.jpg`` and ``a/x (1).png`` give ``a/x``, ``a/x-2`` and ``a/x__1_``.
    """
    key = plain = re.sub(r"[^A-Za-z0-9_/-]", "_", str(PurePosixPath(name).with_suffix("")))
    numbers = count(2)
    while key in used:
        key = f"{plain}-{next(numbers)}"
    used.add(key)
    return key


def _fill(environment: Any, findings: Iterable[Finding]) -> list[str]:
    """Store the images and return the lines of ``meta_info.txt``."""
    used: set[str] = set()
    lines: list[str] = []
    batch: list[tuple[str, bytes]] = []
    total, waiting = _ROOM, 0
    for finding in findings:
        image = _training_pixels(finding)
        key, encoded = lmdb_key(finding.name, used), _encode_png(image)
        lines.append(f"{key}.png ({image.shape[0]},{image.shape[1]},{finding.shape[2]}) {_COMPRESS_LEVEL}\n")
        batch.append((key, encoded))
        total, waiting = total + len(encoded) + _PAGES, waiting + len(encoded)
        if waiting >= _BATCH_BYTES:
            _commit(environment, batch, total)
            batch, waiting = [], 0
    _commit(environment, batch, total)
    return lines


def _commit(environment: Any, batch: list[tuple[str, bytes]], map_size: int) -> None:
    environment.set_mapsize(map_size)
    with environment.begin(write=True) as transaction:
        for key, encoded in batch:
            transaction.put(key.encode("ascii"), encoded)


def _training_pixels(finding: Finding) -> NDArray[np.uint8]:
    """Return (H, W) for gray content, else (H, W, 3) in OpenCV's order, BGR."""
    pixels = to_eight_bits(read_image(finding.path).pixels)
    if finding.shape[2] == 1:
        return pixels if pixels.ndim == 2 else pixels[..., 0]
    return pixels[..., ::-1]


def _encode_png(image: NDArray[np.uint8]) -> bytes:
    options = [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESS_LEVEL]
    return cv2.imencode(".png", np.ascontiguousarray(image), options)[1].tobytes()


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; rename it if the block succeeds, remove it if not."""
    temporary = folder.with_name(f".vheatir-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
