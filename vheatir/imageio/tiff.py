"""TIFF directories: metadata taken out of a TIFF file as EXIF data, and put into one that was written without.

Sources: TIFF 6.0 (directories, types of values); EXIF 2.3 (EXIF data are a TIFF structure without pixels, whose
directory points to others of camera settings, GPS data and interoperability); BigTIFF as libtiff defines it, for
reading. Written is classic TIFF, below 4 GiB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "directory_of",
    "encode_gray_alpha_tiff",
    "exif_of_tiff",
    "is_resolution_whole",
    "is_tiff",
    "jpeg_tables",
    "page_count",
    "resolution_exif",
    "resolution_of",
    "tags_of_tiff",
    "with_directory",
    "with_metadata",
]

_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
#: type of values -> (bytes of a value, bytes of what is swapped between byte orders)
_SIZES: Final = {1: (1, 1), 2: (1, 1), 3: (2, 2), 4: (4, 4), 5: (8, 4), 6: (1, 1), 7: (1, 1)} | {
    8: (2, 2), 9: (4, 4), 10: (8, 4), 11: (4, 4), 12: (8, 8), 13: (4, 4), 16: (8, 8), 17: (8, 8), 18: (8, 8),
}  # fmt: skip
#: types of whole numbers without sign, and of offsets -> NumPy's
_WHOLE: Final = {1: "u1", 3: "<u2", 4: "<u4", 13: "<u4", 16: "<u8", 18: "<u8"}
#: the last type of a classic TIFF; those behind are BigTIFF's
_LAST_CLASSIC: Final = 13
#: tags whose value is the place of another directory: EXIF, GPS, interoperability
_POINTERS: Final = frozenset({34665, 34853, 40965})
#: tags of the main directory that describe the picture, not how its pixels lie in the file: names of document and page,
#: title, maker, model, orientation, resolution and its unit, software, date, artist, computer, rating, IPTC, Windows'
#: titles, copyright; GeoTIFF's place on Earth, and GDAL's words
_DESCRIPTIVE: Final = _POINTERS | frozenset(
    {269, 270, 271, 272, 274, 282, 283, 285, 296, 305, 306, 315, 316, 18246, 18249, 33432, 33723, *range(40091, 40096)}
    | {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113}
)
_ORIENTATION: Final = 274
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_ICC_PROFILE: Final = 34675
_XMP: Final = 700
_IPTC: Final = 33723
_JPEG_TABLES: Final = 347
_EXTRA_SAMPLES: Final = 338
_SUBFILE_TYPE, _IS_REDUCED = 254, 1
#: what offsets that lie outside, or beyond what a machine counts to, raise
_DAMAGE: Final = (struct.error, OverflowError)
_DEFLATE, _UNASSOCIATED_ALPHA = 8, 2


@dataclass(frozen=True)
class _Form:
    """How a TIFF structure is laid out: order of bytes, and BigTIFF's wider fields."""

    order: str
    is_big: bool

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.is_big else "H"))

    @property
    def field(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ" if self.is_big else "HHI"))

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.is_big else "I"))

    @property
    def first(self) -> int:
        """Where the offset of the first directory stands."""
        return 8 if self.is_big else 4


_FORMS: Final = {
    b"II*\0": _Form("<", False),
    b"MM\0*": _Form(">", False),
    b"II+\0": _Form("<", True),
    b"MM\0+": _Form(">", True),
}


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
    wanted = _DESCRIPTIVE - {_ORIENTATION}
    entries = [entry for entry in _entries_of(data) if entry.tag in wanted and entry.kind <= _LAST_CLASSIC]
    if not entries:
        return None
    upright = _Entry(_ORIENTATION, _SHORT, 1, struct.pack("<H", 1))
    return b"II*\0" + struct.pack("<I", 8) + _serialised([*entries, upright], 8)


def tags_of_tiff(data: bytes) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return EXIF data (see :func:`exif_of_tiff`), ICC profile and XMP packet of a TIFF file, each None if missing."""
    payloads = {entry.tag: entry.payload for entry in _entries_of(data)}
    return exif_of_tiff(data), payloads.get(_ICC_PROFILE) or None, payloads.get(_XMP) or None


def resolution_of(exif: bytes | None) -> tuple[float, float] | None:
    """Return the pixels of an inch in x and y that EXIF data tell, or None."""
    fields = {entry.tag: entry.payload for entry in _entries_of(exif or b"")}
    scale = {2: 1.0, 3: 2.54}.get(int.from_bytes(fields.get(_RESOLUTION_UNIT, b"\2\0")[:2], "little"))
    rationals = [fields.get(tag, b"") for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    if scale is None or any(len(rational) != 8 for rational in rationals):
        return None
    (a, b), (c, d) = (struct.unpack("<II", rational) for rational in rationals)
    return (a / b * scale, c / d * scale) if a and b and c and d else None


def is_resolution_whole(exif: bytes) -> bool:
    """Tell whether the resolution in EXIF data, if there is one, is a number: some readers refuse a picture else."""
    found = [entry for entry in _entries_of(exif) if entry.tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    return all(entry.count == 1 and entry.kind in (_SHORT, _LONG, 5, 10) for entry in found)


def resolution_exif(exif: bytes | None, density: tuple[float, float]) -> bytes:
    """Return EXIF data with a resolution in pixels of an inch, if they tell none."""
    entries = _entries_of(exif or b"")
    if exif is not None and any(entry.tag == _X_RESOLUTION for entry in entries):
        return exif
    x, y = (struct.pack("<II", min(round(value * 1000), 2**32 - 1), 1000) for value in density)
    told = {_X_RESOLUTION: (5, x), _Y_RESOLUTION: (5, y), _RESOLUTION_UNIT: (_SHORT, b"\2\0")}
    entries = [entry for entry in entries if entry.tag not in told]
    entries += [_Entry(tag, kind, 1, payload) for tag, (kind, payload) in told.items()]
    return b"II*\0" + struct.pack("<I", 8) + _serialised(entries, 8)


def jpeg_tables(data: bytes) -> bytes | None:
    """Return the tables that a TIFF file's strips of JPEG share, or None."""
    return next((entry.payload for entry in _entries_of(data) if entry.tag == _JPEG_TABLES), None)


def is_tiff(data: bytes) -> bool:
    """Tell whether the bytes start like a TIFF or BigTIFF file."""
    return data[:4] in _FORMS


def directory_of(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the fields of the first directory that hold whole numbers: tag -> values."""
    return {
        entry.tag: tuple(np.frombuffer(entry.payload, _WHOLE[entry.kind]).tolist())
        for entry in _entries_of(data)
        if entry.kind in _WHOLE and entry.children is None and entry.count > 0
    }


def page_count(data: bytes) -> int:
    """Count the pages of a TIFF file, 2 standing for any more; smaller copies of a page are none."""
    form = _FORMS[data[:4]]
    seen: set[int] = set()
    pages = 0
    try:
        (at,) = form.offset.unpack_from(data, form.first)
        while at and at not in seen and pages < 2:
            seen.add(at)
            (count,) = form.count.unpack_from(data, at)
            kinds = [entry.payload[:1] for entry in _directory(data, at, form, depth=0) if entry.tag == _SUBFILE_TYPE]
            pages += not any(kind and kind[0] & _IS_REDUCED for kind in kinds)
            (at,) = form.offset.unpack_from(data, at + form.count.size + count * (form.field.size + form.offset.size))
    except _DAMAGE:
        pass
    return max(pages, 1)


def with_directory(data: bytes, fields: dict[int, tuple[int, ...]], *, tables: bytes | None = None) -> bytes:
    """Return a little-endian TIFF with the bytes of ``data`` behind its header, and a new directory.

    Args:
        data: a TIFF file, whose own header and directories count no more.
        fields: whole numbers of the new directory; offsets into ``data`` keep their meaning.
        tables: the tables that strips of JPEG share, or None.
    """
    entries = [_Entry(tag, _LONG, len(v), np.asarray(v, "<u4").tobytes()) for tag, v in fields.items()]
    if tables is not None:
        entries.append(_Entry(_JPEG_TABLES, _UNDEFINED, len(tables), tables))
    at = len(data) + len(data) % 2
    return b"".join(
        (b"II*\0", struct.pack("<I", at), memoryview(data)[8:], b"\0" * (at - len(data)), _serialised(entries, at))
    )


def with_metadata(
    data: bytes,
    *,
    exif: bytes | None,
    icc: bytes | None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    has_alpha: bool = False,
) -> bytes:
    """Return a little-endian classic TIFF of one page with EXIF data and ICC profile, appended with a new directory.

    Args:
        data: the TIFF.
        exif: EXIF data, a TIFF structure, or None.
        icc: ICC profile, or None.
        xmp: XMP packet, or None.
        iptc: records of IPTC-IIM, or None.
        has_alpha: the last sample of each pixel is to be called alpha, by which the colours are not multiplied.

    Raises:
        ValueError: if it is another kind of TIFF.
    """
    if not data.startswith(b"II*\0"):
        raise ValueError("not a little-endian classic TIFF")
    fields = {entry.tag: entry for entry in _entries_of(data)}
    fields |= {entry.tag: entry for entry in _entries_of(exif or b"") if entry.tag in _DESCRIPTIVE}
    if icc is not None:
        fields[_ICC_PROFILE] = _Entry(_ICC_PROFILE, _UNDEFINED, len(icc), icc)
    if xmp is not None:
        fields[_XMP] = _Entry(_XMP, _BYTE, len(xmp), xmp)
    if iptc is not None:
        fields[_IPTC] = _Entry(_IPTC, _UNDEFINED, len(iptc), iptc)
    if has_alpha:
        fields[_EXTRA_SAMPLES] = _Entry(_EXTRA_SAMPLES, _SHORT, 1, struct.pack("<H", _UNASSOCIATED_ALPHA))
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
    form = _FORMS.get(data[:4])
    if form is None:
        return []
    try:
        return _directory(data, form.offset.unpack_from(data, form.first)[0], form, depth=0)
    except _DAMAGE:
        return []


def _directory(data: bytes, at: int, form: _Form, *, depth: int) -> list[_Entry]:
    (count,) = form.count.unpack_from(data, at)
    step = form.field.size + form.offset.size
    entries = []
    start = at + form.count.size
    if start + step * count > len(data):
        raise struct.error("a directory reaches beyond its data")
    for place in range(start, start + step * count, step):
        tag, kind, values = form.field.unpack_from(data, place)
        if kind not in _SIZES:
            continue
        entry = _entry(data, place + form.field.size, form, _Entry(tag, kind, values, b""), depth=depth)
        if entry is not None:
            entries.append(entry)
    return entries


def _entry(data: bytes, place: int, form: _Form, head: _Entry, *, depth: int) -> _Entry | None:
    """The field whose value, or the offset of whose value, lies at ``place``; None if it lies outside the data."""
    (offset,) = form.offset.unpack_from(data, place)
    if head.tag in _POINTERS:
        if depth > 1:  # directories that point to one another in circles
            return None
        try:
            children = tuple(_directory(data, offset, form, depth=depth + 1))
        except _DAMAGE:  # damaged settings of a camera do not cost the picture
            return None
        return _Entry(head.tag, _LONG, 1, b"", children)
    value_size, unit = _SIZES[head.kind]
    size = value_size * head.count
    start = place if size <= form.offset.size else offset
    payload = data[start : start + size]
    if len(payload) < size:
        return None
    if form.order == ">" and unit > 1:
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
