"""PNG files: their chunks, and gray with alpha, which OpenCV does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "SIGNATURE",
    "bare_png",
    "encode_gray_alpha_png",
    "is_gray_png",
    "is_png",
    "png_chunk",
    "png_chunks",
    "png_is_cut",
]

Array = npt.NDArray[Any]

#: the first bytes of a PNG file
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: the bit of a chunk's first letter that is set where decoders may pass it over
_ANCILLARY: Final = 0x20


def is_png(data: bytes) -> bool:
    """Tell whether the bytes start like a PNG file."""
    return data.startswith(SIGNATURE)


def png_is_cut(data: bytes) -> bool:
    """Tell whether a chunk of a PNG file reaches beyond its end; decoders make room for all that it claims."""
    offset = len(SIGNATURE)
    while offset + 8 <= len(data):
        if data[offset + 4 : offset + 8] == b"IEND":
            return False
        offset += 12 + int.from_bytes(data[offset : offset + 4], "big")
    return offset > len(data)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, content) of a PNG file's chunks that are whole, pixels left out."""
    for name, start, end in _placed_chunks(data):
        if name not in (b"IDAT", b"fdAT"):
            yield name, data[start + 8 : end - 4]


def bare_png(data: bytes) -> bytes:
    """Return a PNG file with an end, without the chunks that decoding needs not: they cannot cost the picture then."""
    places = _placed_chunks(data)
    kept = [data[start:end] for name, start, end in places if name == b"tRNS" or not name[0] & _ANCILLARY]
    return b"".join((SIGNATURE, *kept, png_chunk(b"IEND", b"")))


def _placed_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of the chunks that are whole, up to IEND."""
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        name, end = data[start + 4 : start + 8], start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data) or name == b"IEND":
            return
        yield name, start, end
        start = end


def is_gray_png(data: bytes) -> bool:
    """Tell whether a PNG holds gray values, with or without alpha (colour types 0 and 4)."""
    return data.startswith(SIGNATURE) and len(data) > 25 and data[25] in (0, 4)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and check sum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def encode_gray_alpha_png(gray: Array, alpha: Array) -> bytes:
    """Encode gray (H, W) with alpha (H, W), uint8 or uint16, as a PNG of colour type 4, which OpenCV does not write."""
    height, width = gray.shape
    big_endian = np.stack((gray, alpha), axis=-1).astype(gray.dtype.newbyteorder(">"))
    rows = big_endian.view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, dtype=np.uint8)  # filter 2: difference to the row above
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, gray.dtype.itemsize * 8, 4, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b"")]
    return SIGNATURE + b"".join(png_chunk(kind, payload) for kind, payload in chunks)
