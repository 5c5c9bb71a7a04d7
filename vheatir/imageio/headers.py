"""Facts from the first bytes of an image file, before anything is decoded."""

from __future__ import annotations

from vheatir.imageio.jpeg import frame_header, is_jpeg
from vheatir.imageio.png import SIGNATURE

__all__ = ["heif_bits", "heif_name", "other_name", "stored_size"]

# brands of ISO/IEC 23008-12 and AVIF files -> how people call them
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"mif1": "HEIF", b"msf1": "HEIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC"
)

# how files of formats that are not read begin -> what they are
_OTHERS = {
    b"GIF8": "GIF", b"8BPS": "Photoshop", b"%PDF": "PDF", b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR",
    b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL", b"\xff\xd8\xff\xf7": "JPEG-LS", b"II\xbc": "JPEG XR", b"\0\0\1\0": "ICO",
    b"DDS ": "DDS", b"qoif": "QOI", b"gimp xcf": "GIMP", b"SIMPLE  =": "FITS", b"FUJIFILM": "a camera's raw data",
    b"PK\3\4": "ZIP", b"\x1f\x8b": "gzip", b"<svg": "SVG", b"<?xml": "XML", b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page", b"<html": "a web page", b"version https://git-lfs": "a pointer of Git LFS",
} | {b"P%d%c" % (kind, blank): "PNM" for kind in range(1, 8) for blank in b" \n\r\t"}  # fmt: skip

# bytes of the header of the first BMP files, which has shorter fields
_OS2_HEADER = 12


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) as a PNG, JPEG, BMP or WebP header tells them; None if none of these does."""
    if data.startswith(SIGNATURE) and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if is_jpeg(data):
        frame = frame_header(data)
        return None if frame is None else (frame.width, frame.height)
    if data.startswith(b"BM") and len(data) >= 26:
        if int.from_bytes(data[14:18], "little") == _OS2_HEADER:
            return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
        width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
        return abs(width), abs(height)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    return None


def heif_name(data: bytes) -> str:
    """Return "AVIF", "HEIC" or "HEIF" for a file of that kind, "" for any other."""
    return _BRANDS.get(data[8:12], "") if data[4:8] == b"ftyp" else ""


def other_name(data: bytes) -> str:
    """Return the name of a format that is not read, if a file of it begins so; "" for any other."""
    if data[4:8] == b"ftyp":
        return "a camera's raw data" if data[8:11] == b"crx" else "" if heif_name(data) else "a video"
    return next((name for start, name in _OTHERS.items() if data.startswith(start)), "")


def heif_bits(data: bytes) -> int:
    """Return the bits of a sample of an AVIF file, as the settings of its decoder tell them; 8 if they do not."""
    at = data.find(b"av1C")
    if at == -1 or at + 7 > len(data):
        return 8
    is_high, is_twelve = data[at + 6] & 0x40, data[at + 6] & 0x20
    return 8 if not is_high else 12 if is_twelve else 10


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """The three layouts of the WebP container: extended, lossless, lossy."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None
