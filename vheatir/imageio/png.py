"""PNG files: their chunks, and gray with alpha, which OpenCV does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["SIGNATURE", "encode_gray_alpha_png", "is_gray_png", "is_png", "png_chunk", "png_chunks", "png_is_cut"]

Array = npt.NDArray[Any]

#: the first bytes of a PNG file
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


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
    offset = len(SIGNATURE)
    while offset + 12 <= len(data):
        length, name = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
        end = offset + 12 + length
        if end > len(data) or name == b"IEND":
            return
        if name not in (b"IDAT", b"fdAT"):
            yield name, data[offset + 8 : end - 4]
        offset = end


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
