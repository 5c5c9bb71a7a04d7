"""What PNG, JPEG, WebP and BMP files tell about their picture, taken out of a file and put into another.

Encoders write the pixels alone; what they would refuse of damaged metadata can then not cost the picture.

Sources: PNG specification, third edition (chunks); ITU-T T.81, B.1; JFIF 1.02; ICC.1:2022, annex B.4 (profiles in
JPEG); XMP specification, part 3; WebP container specification.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from PIL import ImageCms

from vheatir.imageio.jpeg import header_segments, is_jpeg
from vheatir.imageio.png import SIGNATURE, is_png, png_chunk, png_chunks
from vheatir.imageio.texts import (
    LONGEST_TEXT,
    international_text,
    iptc_of,
    is_whole_text,
    raw_profile,
    resources_of,
    unfolded,
)
from vheatir.imageio.tiff import is_resolution_whole, is_tiff, resolution_exif, resolution_of, tags_of_tiff

__all__ = ["Metadata", "checked", "fitted", "read_metadata", "with_metadata_in"]

#: pixels of an inch, in x and y
Density = tuple[float, float]

_EXIF_HEAD, _XMP_HEAD, _ICC_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_MPF_HEAD, _MORE_XMP_HEAD = b"MPF\0", b"http://ns.adobe.com/xmp/extension/\0"
_APP0, _APP1, _APP2, _APP13, _COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xFE
#: as which a comment of JPEG stands among the texts of PNG
_COMMENT_HEAD: Final = b"Comment\0"
_XMP_KEYWORD: Final = b"XML:com.adobe.xmp"
_RAW_EXIF: Final = b"Raw profile type exif"
#: texts in which programs keep IPTC data
_RAW_IPTC: Final = (b"Raw profile type iptc", b"Raw profile type 8bim")
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")
_RESOURCES_HEAD: Final = b"Photoshop 3.0\0"
_BAD_PROFILE: Final = "damaged ICC profile left out"
#: PNG's chunks that say what the numbers mean as colours -> bytes of each
_COLOR_CHUNKS: Final = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"mDCV": 24, b"cLLI": 8}
#: the one that says how many bits of a sample mean something; as many as there are samples, by colour type
_SIGNIFICANT: Final = b"sBIT"
_SAMPLES: Final = {0: 1, 2: 3, 4: 2, 6: 4}
_INCH: Final = 0.0254
_MOST_SEGMENT: Final = 65533
#: unfolded metadata of a PNG end here: a few kilobytes can unfold to any size
_MOST_UNFOLDED: Final = 64 * 2**20
_CHUNK_ICC: Final = _MOST_SEGMENT - len(_ICC_HEAD) - 2
_ORIENTATION: Final = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8](?=[\"'<])")
#: words in an XMP packet about what stands behind the picture in its file, and is lost
_BEHIND: Final = dict.fromkeys((b"hdrgm:", b"HDRGainMap", b"apdi:"), "gain map") | dict.fromkeys(
    (b"GCamera:MotionPhoto", b"GCamera:MicroVideo"), "video of the motion photo"
)


@dataclass(frozen=True)
class Metadata:
    """What a file tells about its picture.

    Attributes:
        exif: EXIF data, a TIFF structure, or None.
        icc: ICC profile, or None.
        xmp: XMP packet, or None.
        density: pixels of an inch in x and y, or None.
        colors: PNG's chunks gAMA, cHRM, sRGB, cICP, mDCV, cLLI and sBIT, as pairs of name and content.
        iptc: title, caption, author and the like as records of IPTC-IIM, or None.
        texts: PNG's chunks tEXt, zTXt and iTXt, as pairs of name and content, but for XMP; comments of JPEG.
        notes: what was left out, in words.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    density: Density | None = None
    colors: tuple[tuple[bytes, bytes], ...] = ()
    iptc: bytes | None = None
    texts: tuple[tuple[bytes, bytes], ...] = ()
    notes: tuple[str, ...] = field(default=())

    def upright(self) -> Metadata:
        """The same for a picture that has been turned; EXIF data are turned elsewhere."""
        return self if self.xmp is None else replace(self, xmp=_ORIENTATION.sub(rb"\g<1>1", self.xmp))

    def without(self, name: str, note: str) -> Metadata:
        """Leave out the attribute of this name, and say so."""
        nothing: Any = () if name in ("colors", "texts") else None
        return replace(self, **{name: nothing, "notes": (*self.notes, note)})


def read_metadata(data: bytes) -> Metadata:
    """Read the metadata of an image file; what is damaged is left out, with a note."""
    if is_jpeg(data):
        found = _of_jpeg(data)
    elif is_png(data):
        found = _of_png(data)
    elif is_tiff(data):
        exif, icc, xmp = tags_of_tiff(data)
        found = Metadata(exif, icc, xmp, density=resolution_of(exif))
    elif data[8:12] == b"WEBP":
        chunks = dict(_riff_chunks(data))
        exif = chunks.get(b"EXIF", b"").removeprefix(_EXIF_HEAD) or None
        found = Metadata(exif, chunks.get(b"ICCP") or None, chunks.get(b"XMP ") or None)
    elif data.startswith(b"BM") and len(data) >= 46 and int.from_bytes(data[14:18], "little") >= 40:
        found = Metadata(density=_from_metres(*struct.unpack_from("<ii", data, 38)))
    else:
        found = Metadata()
    return checked(found)


def checked(metadata: Metadata) -> Metadata:
    """Leave out what is damaged."""
    if metadata.exif is not None and not (is_tiff(metadata.exif) and is_resolution_whole(metadata.exif)):
        metadata = metadata.without("exif", "damaged EXIF data left out")
    lost = next((what for mark, what in _BEHIND.items() if mark in (metadata.xmp or b"")), None)
    if lost is not None:
        metadata = metadata.without("xmp", f"{lost} left out")
    if metadata.icc is not None:
        # some programs fill up their profiles
        metadata = replace(metadata, icc=metadata.icc[: max(128, int.from_bytes(metadata.icc[:4], "big"))])
        if profile_colors(metadata.icc or b"") is None:
            metadata = metadata.without("icc", _BAD_PROFILE)
    return metadata


def profile_colors(icc: bytes) -> str | None:
    """Return the colours that an ICC profile is for, as "RGB" or "GRAY"; None if it is damaged."""
    if len(icc) < 132 or icc[36:40] != b"acsp" or int.from_bytes(icc[:4], "big") != len(icc):
        return None
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError, UnicodeDecodeError):  # the last for colours whose name is none
        return None


def fitted(metadata: Metadata, suffix: str, *, is_gray: bool) -> Metadata:
    """Leave out, with a note, what a file of this suffix cannot hold; or move it to where it can."""
    kind = _kind(suffix)
    if metadata.icc is not None:
        colors = profile_colors(metadata.icc)
        if colors not in (("GRAY", "RGB") if is_gray and kind != "png" else ("GRAY",) if is_gray else ("RGB",)):
            metadata = metadata.without("icc", f"ICC profile for {colors or 'nothing'} left out")
    if kind == "webp" and metadata.density is not None and metadata.exif is None:
        metadata = replace(metadata, exif=resolution_exif(None, metadata.density))
    if kind == "tiff" and metadata.density is not None:
        metadata = replace(metadata, exif=resolution_exif(metadata.exif, metadata.density))
    if kind == "bmp":
        for name, words in (("exif", "EXIF data"), ("icc", "ICC profile"), ("xmp", "XMP")):
            if getattr(metadata, name) is not None:
                metadata = metadata.without(name, f"{words} left out, BMP holds none")
    if kind != "png":
        metadata = replace(metadata, colors=tuple(pair for pair in metadata.colors if pair[0] != _SIGNIFICANT))
    if kind != "png" and metadata.colors:
        is_plain = any(name == b"sRGB" for name, _ in metadata.colors) or metadata.icc is not None
        metadata = replace(metadata, colors=()) if is_plain else metadata.without("colors", _lost(metadata, kind))
    if kind != "png" and metadata.texts:
        comments = tuple(pair for pair in metadata.texts if kind == "jpeg" and _comment_of(*pair) is not None)
        if comments != metadata.texts:
            holds = "comments alone" if kind == "jpeg" else "none"
            metadata = metadata.without("texts", f"texts of PNG left out, {kind.upper()} holds {holds}")
        metadata = replace(metadata, texts=comments)
    if kind in ("bmp", "webp") and metadata.iptc is not None:
        metadata = metadata.without("iptc", f"IPTC data left out, {kind.upper()} holds none")
    if kind == "jpeg":
        for name, head, words in (
            ("exif", _EXIF_HEAD, "EXIF data"),
            ("xmp", _XMP_HEAD, "XMP"),
            ("iptc", _RESOURCES_HEAD + bytes(13), "IPTC data"),
        ):
            if len(getattr(metadata, name) or b"") + len(head) > _MOST_SEGMENT:
                metadata = metadata.without(name, f"{words} left out, JPEG holds 64 KiB")
        if len(metadata.icc or b"") > 255 * _CHUNK_ICC:
            metadata = metadata.without("icc", "ICC profile left out, JPEG holds 16 MiB")
    return metadata


def with_metadata_in(suffix: str, data: bytes, metadata: Metadata) -> bytes:
    """Return a file of the suffix's format, PNG, JPEG, WebP or BMP without metadata, with what it can hold of them."""
    writers = {"png": _into_png, "jpeg": _into_jpeg, "webp": _into_webp, "bmp": _into_bmp}
    return writers[_kind(suffix)](data, metadata)


def _kind(suffix: str) -> str:
    return {".png": "png", ".webp": "webp", ".bmp": "bmp", ".tif": "tiff", ".tiff": "tiff"}.get(suffix, "jpeg")


def _lost(metadata: Metadata, kind: str) -> str:
    names = ", ".join(name.decode() for name, _ in metadata.colors)
    return f"colour chunks of PNG ({names}) left out, {kind.upper()} holds none"


def _from_metres(x: int, y: int) -> Density | None:
    return (x * _INCH, y * _INCH) if x > 0 and y > 0 else None


def _to_metres(density: Density) -> tuple[int, int]:
    x, y = (min(max(1, round(value / _INCH)), 2**31 - 1) for value in density)
    return x, y


def _of_jpeg(data: bytes) -> Metadata:
    segments = list(header_segments(data))
    exifs = [payload[len(_EXIF_HEAD) :] for marker, payload in segments if marker == _APP1 and _is(payload, _EXIF_HEAD)]
    whole = [exif for exif in exifs if is_tiff(exif)] + exifs
    xmps = [payload[len(_XMP_HEAD) :] for marker, payload in segments if marker == _APP1 and _is(payload, _XMP_HEAD)]
    jfif = next((payload for marker, payload in segments if marker == _APP0 and _is(payload, b"JFIF\0")), b"")
    exif = whole[0] if whole else None
    resources = b"".join(
        payload[len(_RESOURCES_HEAD) :]
        for marker, payload in segments
        if marker == _APP13 and _is(payload, _RESOURCES_HEAD)
    )
    icc, notes = _icc_of_jpeg([payload[len(_ICC_HEAD) :] for marker, payload in segments if _is_icc(marker, payload)])
    if any(marker == _APP2 and _is(payload, _MPF_HEAD) for marker, payload in segments):
        notes = (*notes, "further pictures of the file left out")
    if any(marker == _APP1 and _is(payload, _MORE_XMP_HEAD) for marker, payload in segments):
        notes = (*notes, "extended XMP left out")
    xmp = next(iter(xmps), None) or None
    comments = [payload.replace(b"\0", b"") for marker, payload in segments if marker == _COMMENT]
    texts = tuple((b"tEXt", _COMMENT_HEAD + comment) for comment in comments if comment)
    return Metadata(exif, icc, xmp, _jfif_density(jfif), iptc=iptc_of(resources), texts=texts, notes=notes)


def _is(payload: bytes, head: bytes) -> bool:
    return payload.startswith(head)


def _is_icc(marker: int, payload: bytes) -> bool:
    return marker == _APP2 and _is(payload, _ICC_HEAD)


def _icc_of_jpeg(chunks: list[bytes]) -> tuple[bytes | None, tuple[str, ...]]:
    """Put a profile together in the order of its chunks' numbers, 1 to the count that each names."""
    if not chunks:
        return None, ()
    numbered = {chunk[0]: chunk[2:] for chunk in chunks if len(chunk) > 2}
    counts = {chunk[1] for chunk in chunks if len(chunk) > 2}
    if len(counts) != 1 or sorted(numbered) != list(range(1, counts.pop() + 1)):
        return None, (_BAD_PROFILE,)
    return b"".join(numbered[number] for number in sorted(numbered)), ()


def _jfif_density(jfif: bytes) -> Density | None:
    if len(jfif) < 12 or jfif[7] not in (1, 2):
        return None
    x, y = struct.unpack_from(">HH", jfif, 8)
    scale = 1.0 if jfif[7] == 1 else 2.54
    return (x * scale, y * scale) if x and y else None


def _of_png(data: bytes) -> Metadata:
    found = Metadata()
    colors: dict[bytes, bytes] = {}
    texts: list[tuple[bytes, bytes]] = []
    for name, content in png_chunks(data):
        if name == b"eXIf":
            found = replace(found, exif=content.removeprefix(_EXIF_HEAD) or None)
        elif name == b"iCCP":
            icc = unfolded(content[content.find(b"\0") + 2 :], _MOST_UNFOLDED)
            found = replace(found, icc=icc) if icc else replace(found, notes=(*found.notes, _BAD_PROFILE))
        elif name == b"iTXt" and content.startswith(_XMP_KEYWORD + b"\0"):
            found = replace(found, xmp=international_text(content[len(_XMP_KEYWORD) + 1 :], _MOST_UNFOLDED) or None)
        elif name == b"zTXt" and content.startswith(_RAW_EXIF) and found.exif is None:
            found = replace(found, exif=_raw_exif(unfolded(content[content.find(b"\0") + 2 :], _MOST_UNFOLDED)))
        elif name == b"tEXt" and content.startswith(_RAW_EXIF) and found.exif is None:
            found = replace(found, exif=_raw_exif(content[len(_RAW_EXIF) + 1 :]))
        elif name == b"pHYs" and len(content) == 9 and content[8] == 1:
            found = replace(found, density=_from_metres(*struct.unpack(">II", content[:8])))
        elif name in (b"zTXt", b"tEXt") and content.startswith(_RAW_IPTC) and found.iptc is None:
            folded = content[content.find(b"\0") + 1 :]
            profile = raw_profile(unfolded(folded[1:], _MOST_UNFOLDED) if name == b"zTXt" else folded)
            found = replace(found, iptc=iptc_of(profile or b""))
        elif name in _TEXTS and len(content) > LONGEST_TEXT:
            found = replace(found, notes=(*found.notes, "text of more than 1 MiB left out"))
        elif name in _TEXTS and not content.startswith((_RAW_EXIF, *_RAW_IPTC, _XMP_KEYWORD)):
            if is_whole_text(name, content):
                texts.append((name, content))
            else:
                found = replace(found, notes=(*found.notes, "damaged text left out"))
        elif len(content) == _COLOR_CHUNKS.get(name) or (name == _SIGNIFICANT and 1 <= max(content, default=0) <= 16):
            colors[name] = content
        elif name in _COLOR_CHUNKS:
            found = replace(found, notes=(*found.notes, f"damaged colour chunk {name.decode()} left out"))
    return replace(found, colors=tuple(colors.items()), texts=tuple(texts))


def _raw_exif(text: bytes | None) -> bytes | None:
    return (raw_profile(text) or b"").removeprefix(_EXIF_HEAD) or None


def _comment_of(name: bytes, content: bytes) -> bytes | None:
    """What a text of PNG is as a comment of JPEG, if it is one."""
    is_one = name == b"tEXt" and content.startswith(_COMMENT_HEAD) and len(content) <= _MOST_SEGMENT
    return content.removeprefix(_COMMENT_HEAD) if is_one else None


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 12
    while offset + 8 <= len(data):
        name, length = data[offset : offset + 4], int.from_bytes(data[offset + 4 : offset + 8], "little")
        content = data[offset + 8 : offset + 8 + length]
        if len(content) < length:
            return
        yield name, content
        offset += 8 + length + length % 2


# -------------------------------------------------------------------------------------------------------- writing


def _into_png(data: bytes, metadata: Metadata) -> bytes:
    samples = _SAMPLES[data[25]]
    chunks = [
        (name, bytes([min(max(content), data[24])]) * samples if name == _SIGNIFICANT else content)
        for name, content in metadata.colors
    ]
    if metadata.icc is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.density is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *_to_metres(metadata.density), 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        chunks.append((b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    if metadata.iptc is not None:
        resources = resources_of(metadata.iptc)
        profile = f"\niptc\n{len(resources):8d}\n{resources.hex()}\n".encode("ascii")
        chunks.append((b"zTXt", _RAW_IPTC[0] + b"\0\0" + zlib.compress(profile)))
    chunks += metadata.texts
    head = len(SIGNATURE) + 25  # behind IHDR
    return data[:head] + b"".join(png_chunk(name, content) for name, content in chunks) + data[head:]


def _into_jpeg(data: bytes, metadata: Metadata) -> bytes:
    head = 2
    if data[2:4] == b"\xff\xe0":
        head += 2 + int.from_bytes(data[4:6], "big")
    if metadata.density is not None:
        x, y = (min(max(1, round(value)), 65535) for value in metadata.density)
        jfif = _segment(_APP0, b"JFIF\0\1\1" + struct.pack(">BHHBB", 1, x, y, 0, 0))
    else:
        jfif = data[2:head]
    added = [jfif]
    if metadata.exif is not None:
        added.append(_segment(_APP1, _EXIF_HEAD + metadata.exif))
    if metadata.xmp is not None:
        added.append(_segment(_APP1, _XMP_HEAD + metadata.xmp))
    if metadata.iptc is not None:
        added.append(_segment(_APP13, _RESOURCES_HEAD + resources_of(metadata.iptc)))
    added += [_segment(_COMMENT, comment) for pair in metadata.texts if (comment := _comment_of(*pair)) is not None]
    icc = metadata.icc or b""
    pieces = [icc[at : at + _CHUNK_ICC] for at in range(0, len(icc), _CHUNK_ICC)]
    added += [
        _segment(_APP2, _ICC_HEAD + bytes((number, len(pieces))) + piece)
        for number, piece in enumerate(pieces, start=1)
    ]
    return data[:2] + b"".join(added) + data[head:]


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def _into_webp(data: bytes, metadata: Metadata) -> bytes:
    """A lossless file of one chunk, VP8L, in an extended container."""
    stored = dict(_riff_chunks(data))
    picture = stored.get(b"VP8L")
    if picture is None or not (metadata.exif or metadata.icc or metadata.xmp):
        return data
    bits = int.from_bytes(picture[1:5], "little")
    width, height, has_alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    flags = (
        (0x20 if metadata.icc else 0) | has_alpha << 4 | (0x08 if metadata.exif else 0) | (0x04 if metadata.xmp else 0)
    )
    chunks = [(b"VP8X", struct.pack("<I", flags) + width.to_bytes(3, "little") + height.to_bytes(3, "little"))]
    chunks += [(b"ICCP", metadata.icc)] if metadata.icc else []
    chunks.append((b"VP8L", picture))
    chunks += [(b"EXIF", metadata.exif)] if metadata.exif else []
    chunks += [(b"XMP ", metadata.xmp)] if metadata.xmp else []
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _into_bmp(data: bytes, metadata: Metadata) -> bytes:
    if metadata.density is None:
        return data
    return data[:38] + struct.pack("<ii", *_to_metres(metadata.density)) + data[46:]
