"""The quality of a JPEG file, read from its own quantisation table.

libjpeg scales the luminance table of ITU-T T.81, Annex K (table K.1), by the quality; the quality whose table
is nearest to the file's is the one it was written with, or the closest match if another encoder wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vheatir.data.jpeg_tables import LUMINANCE, scaled_table

__all__ = [
    "FrameHeader",
    "frame_header",
    "is_complete",
    "is_jpeg",
    "jpeg_quality",
    "luminance_table",
    "nearest_quality",
    "scaled_luminance_table",
]

# order in which a DQT segment lists an 8x8 table (ITU-T T.81, figure A.6): along the anti-diagonals
_ZIGZAG: Final = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))

# second byte of the markers (ITU-T T.81, table B.1)
_SOI, _EOI, _SOS, _DQT = 0xD8, 0xD9, 0xDA, 0xDB
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def is_jpeg(data: bytes) -> bool:
    """Tell whether the bytes start like a JPEG file."""
    return data.startswith(b"\xff\xd8\xff")


@dataclass(frozen=True)
class FrameHeader:
    """Size and number of colour components of a JPEG's frame."""

    width: int
    height: int
    components: int


def frame_header(data: bytes) -> FrameHeader | None:
    """Return the frame header of a JPEG file, or None if there is none."""
    for marker, _, payload in _segments(data):
        if marker in _FRAME_HEADERS and len(payload) >= 6:
            height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
            return FrameHeader(width, height, payload[5])
    return None


def is_complete(data: bytes) -> bool:
    """Tell whether the bytes of a JPEG file reach its end-of-image marker.

    Looked for behind the first scan header, since a thumbnail in the header has a marker of its own;
    entropy-coded data cannot contain it.
    """
    scan = next((offset for marker, offset, _ in _segments(data) if marker == _SOS), None)
    return scan is not None and data.find(bytes((0xFF, _EOI)), scan) != -1


def jpeg_quality(data: bytes) -> int:
    """Return the libjpeg quality, 1 to 100, nearest to the luminance table of a JPEG file.

    Args:
        data: the file's bytes; the header is enough.

    Raises:
        ValueError: if there is no luminance quantisation table in it.
    """
    return nearest_quality(luminance_table(data))


def luminance_table(data: bytes) -> npt.NDArray[np.int64]:
    """Return the quantisation table of a JPEG file's first component (Y, or gray), shape (8, 8).

    Row n and column m belong to the vertical and horizontal frequencies n and m.

    Raises:
        ValueError: if the header has no frame or no such table.
    """
    tables: dict[int, npt.NDArray[np.int64]] = {}
    selected: int | None = None
    for marker, _, payload in _segments(data):
        if marker == _DQT:
            tables.update(_quantisation_tables(payload))
        elif marker in _FRAME_HEADERS and len(payload) >= 9:
            selected = payload[8]  # precision 1, height 2, width 2, components 1, then id 1, sampling 1, table 1
    if selected is None or selected not in tables:
        raise ValueError("the JPEG header has no luminance quantisation table")
    return tables[selected]


def scaled_luminance_table(quality: int) -> npt.NDArray[np.int64]:
    """Return libjpeg's baseline luminance table of a quality: table K.1 scaled, rounded, limited to 1..255.

    Example:
        ``scaled_luminance_table(50)`` is table K.1 itself; quality 75 halves it, 16 to 8 at DC.
    """
    return scaled_table(LUMINANCE, quality)


def nearest_quality(table: npt.NDArray[np.integer[Any]]) -> int:
    """Return the quality, 1 to 100, whose table is nearest to ``table`` (8, 8) by summed difference."""
    bounded = np.minimum(table, 255)  # 16-bit tables exceed what baseline libjpeg writes
    return min(range(1, 101), key=lambda quality: int(np.abs(scaled_luminance_table(quality) - bounded).sum()))


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (marker, offset behind its segment, payload) up to the first scan header, if it is reached."""
    offset = 2  # behind SOI
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker in _WITHOUT_LENGTH:
            offset += 2
            continue
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = offset + 2 + length
        yield marker, end, data[offset + 4 : end]
        if marker in (_SOS, _EOI):
            return
        offset = end


def _quantisation_tables(payload: bytes) -> dict[int, npt.NDArray[np.int64]]:
    """Split a DQT payload into its tables, by identifier; an incomplete last one is left out."""
    tables: dict[int, npt.NDArray[np.int64]] = {}
    offset = 0
    while offset < len(payload):
        wide, identifier = payload[offset] >> 4 != 0, payload[offset] & 0x0F
        size = 128 if wide else 64
        values = payload[offset + 1 : offset + 1 + size]
        if len(values) < size:
            break
        table = np.empty(64, dtype=np.int64)
        table[_ZIGZAG] = np.frombuffer(values, dtype=">u2" if wide else "u1")
        tables[identifier] = table.reshape(8, 8)
        offset += 1 + size
    return tables
