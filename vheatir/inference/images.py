"""Image files in and out: OpenCV's codecs behind RGB arrays, and a clear sentence for what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from vheatir.atomic import atomic_path
from vheatir.inference.jpeg import is_complete, is_jpeg, jpeg_quality
from vheatir.inference.paths import LOSSLESS_SUFFIXES

__all__ = ["Image", "ImageError", "read_image", "write_image"]

Array = npt.NDArray[Any]

_SIXTEEN_BIT_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff"})


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Image:
    """A decoded image file.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8 or uint16 as stored in the file.
        alpha: (H, W) of the same type, or None.
        jpeg_quality: libjpeg quality nearest to the file's own tables, 1 to 100, if it is a JPEG file.
    """

    pixels: Array
    alpha: Array | None = None
    jpeg_quality: int | None = None


def read_image(path: Path) -> Image:
    """Decode an image file at its own bit depth; the content counts, not the suffix.

    Pixels stay as they are stored: a JPEG keeps its 8-px grid at the upper left corner.

    Raises:
        ImageError: if it cannot be opened, is damaged or animated, has several pages, or a type of pixel that
            is not supported.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror}); check that you may read it.") from error
    _refuse_unsupported(path, data)
    decoded = _decode(path, data)
    if decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path} has pixels of type {decoded.dtype}; save it with 8 or 16 bits per channel first.")
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    if channels not in (1, 3, 4):
        raise ImageError(f"{path} has {channels} channels; save it as gray, RGB or RGBA first.")
    return Image(
        pixels=decoded if channels == 1 else np.ascontiguousarray(decoded[..., 2::-1]),  # OpenCV's order is BGR(A)
        alpha=np.ascontiguousarray(decoded[..., 3]) if channels == 4 else None,
        jpeg_quality=_quality(data),
    )


def write_image(path: Path, image: Image) -> None:
    """Encode an image without loss, in the format of the suffix, atomically.

    Raises:
        ImageError: if the format is not a lossless one of ours, or cannot hold the image.
        OSError: if it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in LOSSLESS_SUFFIXES:
        raise ImageError(f"{path} cannot be written without loss; use one of {', '.join(sorted(LOSSLESS_SUFFIXES))}.")
    if image.pixels.dtype == np.uint16 and suffix not in _SIXTEEN_BIT_SUFFIXES:
        raise ImageError(f"{path} cannot hold 16 bits per channel; name the input .png or .tif, as its content is.")
    try:
        encoded_well, encoded = cv2.imencode(suffix, _to_bgr(image), _encoder_options(suffix))
    except cv2.error as error:
        raise ImageError(f"{path} cannot be encoded ({error.err}); convert the input to PNG first.") from error
    if not encoded_well:
        raise ImageError(f"{path} cannot be encoded as {suffix}; convert the input to PNG first.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _refuse_unsupported(path: Path, data: bytes) -> None:
    if not data:
        raise ImageError(f"{path} is empty (0 bytes); copy it again from where it came.")
    if _is_animated(data):
        raise ImageError(f"{path} is animated; extract its frames as single images first.")
    if _is_tiff(data) and cv2.imcount(str(path)) > 1:
        raise ImageError(f"{path} has several pages; split it into single images first.")
    if is_jpeg(data) and not is_complete(data):
        raise ImageError(f"{path} is cut short: its JPEG data do not reach their end; copy it again.")


def _decode(path: Path, data: bytes) -> Array:
    try:
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path} cannot be decoded ({error.err}); convert it to PNG first.") from error
    if decoded is None:
        raise ImageError(f"{path} cannot be read as an image: it is damaged, or of a format that is not supported.")
    return decoded


def _quality(data: bytes) -> int | None:
    if not is_jpeg(data):
        return None
    try:
        return jpeg_quality(data)
    except ValueError:  # decodable without tables of the usual kind: then the caller has to ask for the quality
        return None


def _is_tiff(data: bytes) -> bool:
    return data.startswith((b"II*\0", b"MM\0*"))


def _is_animated(data: bytes) -> bool:
    """Tell whether a PNG has an animation control chunk before its pixels, or a WebP its animation flag."""
    if data.startswith(b"\x89PNG"):
        return b"acTL" in data[: data.find(b"IDAT")]
    is_extended_webp = data.startswith(b"RIFF") and data[8:16] == b"WEBPVP8X"
    return is_extended_webp and len(data) > 20 and bool(data[20] & 0x02)


def _to_bgr(image: Image) -> Array:
    if image.pixels.ndim == 2 and image.alpha is None:
        return image.pixels
    color = image.pixels if image.pixels.ndim == 3 else np.repeat(image.pixels[..., None], 3, axis=2)
    planes = [color[..., ::-1]] if image.alpha is None else [color[..., ::-1], image.alpha[..., None]]
    return np.ascontiguousarray(np.concatenate(planes, axis=2))


def _encoder_options(suffix: str) -> list[int]:
    if suffix != ".webp":
        return []
    options = [cv2.IMWRITE_WEBP_QUALITY, 101]  # above 100: lossless
    # the colour of fully transparent pixels would go otherwise, and does before OpenCV 5
    if hasattr(cv2, "IMWRITE_WEBP_LOSSLESS_MODE"):
        options += [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR]
    return options
