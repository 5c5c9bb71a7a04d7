"""The formats of image files and their suffixes."""

from __future__ import annotations

from typing import Final

__all__ = ["FORMATS", "IMAGE_SUFFIXES", "JPEG_SUFFIXES", "LOSSLESS_SUFFIXES"]

#: formats that can be asked for; the first suffix is the one that results get, the others are left as they are
FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "webp": (".webp",),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp",),
}
#: file names taken as images, lower case, here and in training data
JPEG_SUFFIXES: Final = frozenset(FORMATS["jpeg"])
IMAGE_SUFFIXES: Final = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
LOSSLESS_SUFFIXES: Final = IMAGE_SUFFIXES - JPEG_SUFFIXES
