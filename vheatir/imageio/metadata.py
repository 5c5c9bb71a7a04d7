"""EXIF orientation."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["orientation", "turned_upright", "with_upright_tag"]

Array = npt.NDArray[Any]

_ORIENTATION: Final = 0x0112


def orientation(exif: bytes | None) -> int:
    """Return the orientation, 1 to 8, of EXIF data (a TIFF structure); 1 where they tell none."""
    found = next((value for _, value in _orientations(exif or b"")), 1)
    return found if 1 <= found <= 8 else 1


def with_upright_tag(exif: bytes) -> bytes:
    """Return EXIF data whose orientation is 1; not another byte changes."""
    changed = bytearray(exif)
    for at, _ in _orientations(exif):
        changed[at : at + 2] = struct.pack(_byte_order(exif) + "H", 1)
    return bytes(changed)


def turned_upright(plane: Array, how: int) -> Array:
    """Turn an image (H, W) or (H, W, C) as an EXIF orientation, 1 to 8, asks a viewer to (EXIF 2.3, 4.6.4 A)."""
    if how >= 5:
        plane = plane.swapaxes(0, 1)  # 5 is this alone
    rows, columns = _FLIPS[how]
    return np.ascontiguousarray(plane[:: -1 if rows else 1, :: -1 if columns else 1])


#: whether rows and columns are reversed, after the exchange of both for 5 to 8
_FLIPS: Final = {
    1: (False, False),
    2: (False, True),
    3: (True, True),
    4: (True, False),
    5: (False, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}


def _byte_order(exif: bytes) -> str:
    return {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4], "")


def _orientations(exif: bytes) -> Iterator[tuple[int, int]]:
    """Yield (position, value) of the orientation in the first directory, if it is there and whole."""
    order = _byte_order(exif)
    if not order or len(exif) < 10:
        return
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        if struct.unpack_from(order + "H", exif, entry)[0] == _ORIENTATION:
            yield entry + 8, struct.unpack_from(order + "H", exif, entry + 8)[0]
            return
