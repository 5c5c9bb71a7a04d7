"""TIFF directories: metadata taken out of a TIFF file as EXIF data, and put into one that was written without.

Sources: TIFF 6.0 (directories, types of values); EXIF 2.3 (EXIF data are a TIFF structure without pixels, whose
directory points to others of camera settings, GPS data and interoperability). Classic TIFF alone, below 4 GiB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["encode_gray_alpha_tiff", "exif_of_tiff", "with_metadata"]

_SHORT, _LONG, _UNDEFINED = 3, 4, 7
#: type of values -> (bytes of a value, bytes of what is swapped between byte orders)
_SIZES: Final = {1: (1, 1), 2: (1, 1), 3: (2, 2), 4: (4, 4), 5: (8, 4), 6: (1, 1), 7: (1, 1)} | {
    8: (2, 2), 9: (4, 4), 10: (8, 4), 11: (4, 4), 12: (8, 8), 13: (4, 4),
}  # fmt: skip
#: tags whose value is the place of another directory: EXIF, GPS, interoperability
_POINTERS: Final = frozenset({34665, 34853, 40965})
#: tags of the main directory that describe the picture, not how its pixels lie in the file: title, maker, model,
#: orientation, resolution and its unit, software, date, artist, computer, rating, IPTC, Windows' titles, copyright
_DESCRIPTIVE: Final = _POINTERS | frozenset(
    {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 316, 18246, 18249, 33432, 33723, *range(40091, 40096)}
)
_ORIENTATION: Final = 274
_ICC_PROFILE: Final = 34675
_DEFLATE, _UNASSOCIATED_ALPHA = 8, 2


@dataclass(frozen=True)
class _Entry:
    """One field of a directory; its values in little-endian order, or the directory it points to."""

    tag: int
    kind: int
    count: int
    payload: bytes
    children: tuple[_Entry, ...] | None = None


def exif_of_tiff(data: bytes) -> bytes | None:
    """Return what a TIFF file tells about its picture as EXIF data, turned upright; None if that is nothing.

    Orientation becomes 1, since the pixels are turned on reading. Damaged directories count as nothing.
    """
    entries = [entry for entry in _entries_of(data) if entry.tag in _DESCRIPTIVE - {_ORIENTATION}]
    if not entries:
        return None
    upright = _Entry(_ORIENTATION, _SHORT, 1, struct.pack("<H", 1))
    return b"II*\0" + struct.pack("<I", 8) + _serialised([*entries, upright], 8)


def with_metadata(data: bytes, *, exif: bytes | None, icc: bytes | None) -> bytes:
    """Return a little-endian classic TIFF of one page with EXIF data and ICC profile, appended with a new directory.

    Raises:
        ValueError: if it is another kind of TIFF.
    """
    if not data.startswith(b"II*\0"):
        raise ValueError("not a little-endian classic TIFF")
    fields = {entry.tag: entry for entry in _entries_of(data)}
    fields |= {entry.tag: entry for entry in _entries_of(exif or b"") if entry.tag in _DESCRIPTIVE}
    if icc is not None:
        fields[_ICC_PROFILE] = _Entry(_ICC_PROFILE, _UNDEFINED, len(icc), icc)
    body = data + b"\0" * (len(data) % 2)
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + _serialised(fields.values(), len(body))


def encode_gray_alpha_tiff(gray: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> bytes:
    """Encode gray (H, W) with alpha (H, W), uint8 or uint16, as a TIFF, which OpenCV does not write."""
    height, width = gray.shape
    pixels = np.stack((gray, alpha), axis=-1).astype(gray.dtype.newbyteorder("<"))
    strip = zlib.compress(pixels.tobytes(), 6)
    bits = gray.dtype.itemsize * 8
    # width, height, bits, compression, gray with 0 as black, place, samples, rows, bytes, interleaved, kind of alpha
    shorts = {258: (bits, bits), 259: (_DEFLATE,), 262: (1,), 277: (2,), 284: (1,), 338: (_UNASSOCIATED_ALPHA,)}
    longs = {256: width, 257: height, 273: 8, 278: height, 279: len(strip)}
    entries = [_Entry(tag, _SHORT, len(v), struct.pack(f"<{len(v)}H", *v)) for tag, v in shorts.items()]
    entries += [_Entry(tag, _LONG, 1, struct.pack("<I", value)) for tag, value in longs.items()]
    strip += b"\0" * (len(strip) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + _serialised(entries, 8 + len(strip))


def _entries_of(data: bytes) -> list[_Entry]:
    """Fields of the first directory of a TIFF structure; none if it is damaged, or none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return []
    try:
        return _directory(data, struct.unpack_from(order + "I", data, 4)[0], order, depth=0)
    except struct.error:
        return []


def _directory(data: bytes, at: int, order: str, *, depth: int) -> list[_Entry]:
    (count,) = struct.unpack_from(order + "H", data, at)
    entries = []
    for place in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", data, place)
        if kind not in _SIZES:
            continue
        entry = _entry(data, place + 8, order, _Entry(tag, kind, values, b""), depth=depth)
        if entry is not None:
            entries.append(entry)
    return entries


def _entry(data: bytes, place: int, order: str, head: _Entry, *, depth: int) -> _Entry | None:
    """The field whose value, or the offset of whose value, lies at ``place``; None if it lies outside the data."""
    (offset,) = struct.unpack_from(order + "I", data, place)
    if head.tag in _POINTERS:
        if depth > 1:  # directories that point to one another in circles
            return None
        children = tuple(_directory(data, offset, order, depth=depth + 1))
        return _Entry(head.tag, _LONG, 1, b"", children)
    value_size, unit = _SIZES[head.kind]
    size = value_size * head.count
    start = place if size <= 4 else offset
    payload = data[start : start + size]
    if len(payload) < size:
        return None
    if order == ">" and unit > 1:
        payload = np.frombuffer(payload, dtype=f">u{unit}").astype(f"<u{unit}").tobytes()
    return _Entry(head.tag, head.kind, head.count, payload)


def _serialised(entries: Iterable[_Entry], offset: int) -> bytes:
    """A directory placed at ``offset``, which is even, and behind it what does not fit into its fields."""
    ordered = sorted(entries, key=lambda entry: entry.tag)
    behind = offset + 2 + 12 * len(ordered) + 4
    fields, values = b"", b""
    for entry in ordered:
        field = entry.payload
        if entry.children is not None:
            field = struct.pack("<I", behind + len(values))
            values += _serialised(entry.children, behind + len(values))
        elif len(field) > 4:
            field = struct.pack("<I", behind + len(values))
            values += entry.payload + b"\0" * (len(entry.payload) % 2)
        fields += struct.pack("<HHI", entry.tag, entry.kind, entry.count) + field.ljust(4, b"\0")
    return struct.pack("<H", len(ordered)) + fields + b"\0" * 4 + values
