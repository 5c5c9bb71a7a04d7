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

from vheatir.imageio.jpeg_tables import LUMINANCE, scaled_table

__all__ = [
    "Component",
    "Frame",
    "all_segments",
    "frame_header",
    "header_segments",
    "is_jpeg",
    "jpeg_quality",
    "luminance_table",
    "nearest_quality",
    "parse_frame",
    "scaled_luminance_table",
    "tidied",
    "without_notes",
]

# order in which a DQT segment lists an 8x8 table (ITU-T T.81, figure A.6): along the anti-diagonals
_ZIGZAG: Final = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))

# second byte of the markers (ITU-T T.81, table B.1)
_SOI, _EOI, _SOS, _DQT = 0xD8, 0xD9, 0xDA, 0xDB
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: application segments, except JFIF's (0) and Adobe's (14), which tell of colours; comments
_NOTES: Final = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
#: bytes of any kind that may stand before a JPEG file, and those that may in any number
_MOST_JUNK: Final = 16
_BLANK: Final = b"\0\t\n\r "
#: starts of files that may hold a JPEG near their own
_OTHER_FILES: Final = (b"II", b"MM", b"RIFF", b"BM", b"\x89PNG", b"GIF8", b"8BPS")


def is_jpeg(data: bytes) -> bool:
    """Tell whether the bytes start like a JPEG file."""
    return data.startswith(b"\xff\xd8\xff")


@dataclass(frozen=True)
class Component:
    """A colour component: its name in scan headers, and its sampling factors."""

    name: int
    horizontal: int
    vertical: int


@dataclass(frozen=True)
class Frame:
    """A JPEG's frame header: the second byte of its marker, bits of a sample, size, and colour components."""

    marker: int
    precision: int
    width: int
    height: int
    components: tuple[Component, ...]

    @property
    def horizontal(self) -> int:
        """The largest horizontal sampling factor."""
        return max(component.horizontal for component in self.components)

    @property
    def vertical(self) -> int:
        """The largest vertical sampling factor."""
        return max(component.vertical for component in self.components)


def frame_header(data: bytes) -> Frame | None:
    """Return the frame header of a JPEG file, or None if there is none."""
    frames = (parse_frame(marker, payload) for marker, _, payload in _segments(data))
    return next((frame for frame in frames if frame is not None), None)


def parse_frame(marker: int, payload: bytes) -> Frame | None:
    """Return the frame header that a segment holds, or None if it is another segment, or damaged."""
    count = payload[5] if len(payload) > 5 else 0
    if marker not in _FRAME_HEADERS or count == 0 or len(payload) < 6 + 3 * count:
        return None
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    fields = [payload[at : at + 3] for at in range(6, 6 + 3 * count, 3)]
    components = tuple(Component(field[0], field[1] >> 4, field[1] & 0x0F) for field in fields)
    if any(component.horizontal == 0 or component.vertical == 0 for component in components):
        return None
    return Frame(marker, payload[0], width, height, components)


def tidied(data: bytes) -> bytes | None:
    """Return a JPEG file as decoders want it, without junk and with an end marker.

    Junk before the file or between the segments of its header is passed over by libjpeg and browsers. Before the file
    it is a few bytes, or blank: among many bytes of another kind a JPEG is something else's thumbnail. Whether a file
    without an end marker has all its pixels, is another question.

    Returns:
        The file, ``data`` itself if there is nothing to do; None if it is no JPEG file.
    """
    start = data.find(b"\xff\xd8", 0, _MOST_JUNK)
    blank = len(data) - len(data.lstrip(_BLANK))
    if start != 0 and blank > 0 and data.startswith(b"\xff\xd8", blank):
        start = blank
    if start == -1 or data.startswith(_OTHER_FILES) or (start > 0 and frame_header(data[start:]) is None):
        return None
    places = list(_placed_segments(data, start + 2))
    header = b"\xff\xd8" + b"".join(data[begin:end] for begin, _, end, _ in places)
    behind = places[-1][2] if places else start + 2
    # entropy-coded data cannot contain it, but a thumbnail in the header can
    ending = b"" if data.find(bytes((0xFF, _EOI)), behind) != -1 else bytes((0xFF, _EOI))
    is_clean = start == 0 and len(header) == behind
    return data + ending if is_clean else header + data[behind:] + ending


def without_notes(data: bytes) -> bytes:
    """Return a JPEG file without the segments that decoding needs not: EXIF data, profiles, comments."""
    places = list(_placed_segments(data, 2))
    kept = [data[begin:end] for begin, marker, end, _ in places if marker not in _NOTES]
    return b"".join((data[:2], *kept, data[places[-1][2] :])) if places else data


def header_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, payload) of the segments before the first scan that are whole."""
    for begin, marker, end, payload in _placed_segments(data, 2):
        if len(payload) == end - begin - 4:
            yield marker, payload


def all_segments(data: bytes, markers: npt.NDArray[np.integer[Any]]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (marker, offset behind its segment, payload) of every segment, also behind scans, up to the end marker.

    Args:
        data: the file, starting at its SOI marker.
        markers: sorted offsets of every 255 that neither 0 nor 255 follows.
    """
    offset = 2
    while True:
        place = int(np.searchsorted(markers, offset))
        if place == len(markers):
            return
        offset = int(markers[place])
        marker = data[offset + 1]
        if marker == _EOI:
            return
        if marker in _WITHOUT_LENGTH:
            offset += 2
            continue
        end = offset + 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        yield marker, end, data[offset + 4 : end]
        offset = end


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
    for _, marker, end, payload in _placed_segments(data, 2):
        yield marker, end, payload


def _placed_segments(data: bytes, offset: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (offset, marker, offset behind, payload) of segments up to the first scan header; junk is passed over."""
    while True:
        offset = data.find(b"\xff", offset)
        if offset == -1 or offset + 4 > len(data):
            return
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker == 0 or marker in _WITHOUT_LENGTH:
            offset += 2
            continue
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        end = offset + 2 + length
        yield offset, marker, end, data[offset + 4 : end]
        if marker in (_SOS, _EOI):
            return
        offset = max(end, offset + 2)


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
