"""Texts in PNG files, and what programs keep in them; image resources of Photoshop, which hold IPTC data.

Sources: PNG specification, third edition, 11.3.3; Adobe Photoshop file formats specification (image resources).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

__all__ = ["LONGEST_TEXT", "international_text", "iptc_of", "is_whole_text", "raw_profile", "resources_of", "unfolded"]

_RESOURCE, _IPTC_RESOURCE = b"8BIM", 0x0404
#: bytes of a text, unfolded, beyond which readers refuse the whole file
LONGEST_TEXT: Final = 2**20
_LONGEST_KEYWORD: Final = 79


def is_whole_text(name: bytes, content: bytes) -> bool:
    """Tell whether the content of a chunk tEXt, zTXt or iTXt is one: others cost the picture in some readers."""
    keyword, end, rest = content.partition(b"\0")
    if not end or not 0 < len(keyword) <= _LONGEST_KEYWORD:
        return False
    if name == b"zTXt":
        return rest[:1] == b"\0" and unfolded(rest[1:], LONGEST_TEXT) is not None
    if name == b"iTXt":
        text = international_text(rest, LONGEST_TEXT)
        return text is not None and rest[1:2] == b"\0" and _is_utf8(text)
    return True


def international_text(content: bytes, limit: int) -> bytes | None:
    """The text of a chunk iTXt, behind flag and method of compression, language and translated keyword."""
    parts = content[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    return unfolded(parts[2], limit) if content[0] else parts[2]


def unfolded(data: bytes, limit: int) -> bytes | None:
    """Decompress a zlib stream; None if it is damaged, or longer than the limit."""
    unfolder = zlib.decompressobj()
    try:
        content = unfolder.decompress(data, limit)
    except zlib.error:
        return None
    return content if unfolder.eof else None


def raw_profile(text: bytes | None) -> bytes | None:
    """A profile as ImageMagick and others write it into a text: name and length, then digits of base 16."""
    parts = (text or b"").split(None, 2)
    try:
        return bytes.fromhex(parts[2].decode("ascii")) if len(parts) == 3 else None
    except ValueError:
        return None


def iptc_of(resources: bytes) -> bytes | None:
    """The IPTC data among Photoshop's image resources: each has a mark, number, name, length and content."""
    at = 0
    while resources[at : at + 4] == _RESOURCE and at + 7 <= len(resources):
        number, name = int.from_bytes(resources[at + 4 : at + 6], "big"), resources[at + 6]
        start = at + 6 + (name + 2) // 2 * 2 + 4
        length = int.from_bytes(resources[start - 4 : start], "big")
        content = resources[start : start + length]
        if number == _IPTC_RESOURCE:
            return content if content and len(content) == length else None
        at = start + length + length % 2
    return None


def resources_of(iptc: bytes) -> bytes:
    """Image resources that hold IPTC data alone."""
    head = _RESOURCE + struct.pack(">HH", _IPTC_RESOURCE, 0) + struct.pack(">I", len(iptc))
    return head + iptc + b"\0" * (len(iptc) % 2)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
