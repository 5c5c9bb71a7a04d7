"""Image files out: encoded without loss unless they are JPEG, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from vheatir.errors import is_number
from vheatir.imageio.containers import fitted, with_metadata_in
from vheatir.imageio.formats import JPEG_SUFFIXES, LOSSLESS_SUFFIXES
from vheatir.imageio.images import Array, Image, ImageError
from vheatir.imageio.png import encode_gray_alpha_png
from vheatir.imageio.tiff import encode_gray_alpha_tiff, with_metadata
from vheatir.system.atomic import atomic_path

__all__ = ["prepared", "write_image"]

_SIXTEEN_BIT_SUFFIXES: Final = frozenset({".png", ".tif", ".tiff"})
#: pixels of a side that a format, or its encoder, ends at; bytes of a TIFF
_LARGEST_SIDES: Final = {".webp": 16383}
_LARGEST_JPEG, _LARGEST_TIFF = 65500, 2**32 - 2**27


def write_image(path: Path, image: Image, *, quality: int | None = None) -> None:
    """Encode an image in the format of the suffix, atomically, without loss unless it is a JPEG.

    Args:
        path: the file.
        image: what to write; EXIF data and ICC profile are embedded (a BMP holds neither).
        quality: of a JPEG, 1 to 100; needed for one.

    Raises:
        ImageError: if the format is not one of ours, or cannot hold the image.
        OSError: if it cannot be written.
    """
    image = prepared(path, image, quality=quality)
    suffix = path.suffix.lower()
    try:
        encoded = _encode(suffix, image, quality)
    except cv2.error as error:
        raise ImageError(f"{path} cannot be encoded ({error.err}); use another format: --format.") from error
    if encoded is None:
        raise ImageError(f"{path} cannot be encoded as {suffix}; use another format: --format.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def prepared(path: Path, image: Image, *, quality: int | None = None) -> Image:
    """Return an image as :func:`write_image` would write it: without the metadata that the format cannot hold.

    Called before an image is restored, it says in time what would fail.

    Args:
        path: the file to write.
        image: what is to be written; its note tells, in the result, what is left out.
        quality: of a JPEG, 1 to 100; needed for one.

    Raises:
        ImageError: if the format is not one of ours, or cannot hold the pixels.
    """
    suffix = path.suffix.lower()
    _refuse_unfit(path, suffix, image, quality)
    return image.telling(fitted(image.metadata, suffix, is_gray=image.pixels.ndim == 2))


def _refuse_unfit(path: Path, suffix: str, image: Image, quality: int | None) -> None:
    if suffix in JPEG_SUFFIXES and quality is not None and not is_number(quality, 1, 100, is_whole=True):
        raise ImageError(f"{path} cannot be written: the quality of a JPEG is 1 to 100, not {quality!r}.")
    if suffix not in LOSSLESS_SUFFIXES and (suffix not in JPEG_SUFFIXES or quality is None):
        raise ImageError(f"{path} cannot be written without loss; use one of {', '.join(sorted(LOSSLESS_SUFFIXES))}.")
    if image.pixels.dtype == np.uint16 and suffix not in _SIXTEEN_BIT_SUFFIXES:
        raise ImageError(f"{path} cannot hold 16 bits per channel; use --format png or tiff.")
    height, width = image.pixels.shape[:2]
    largest = _LARGEST_SIDES.get(suffix, _LARGEST_JPEG if suffix in JPEG_SUFFIXES else max(height, width))
    if max(height, width) > largest:
        raise ImageError(f"{path} cannot hold {width}x{height} pixels, its sides end at {largest}; use --format png.")
    if suffix in (".tif", ".tiff") and image.pixels.nbytes > _LARGEST_TIFF:
        raise ImageError(f"{path} cannot hold {width}x{height} pixels, a TIFF ends at 4 GiB; use --format png.")
    if image.alpha is not None and suffix in JPEG_SUFFIXES:
        raise ImageError(f"{path} cannot hold the image's alpha channel; use --format png or webp.")


def _encode(suffix: str, image: Image, quality: int | None) -> Any:
    """The encoded file as something of bytes; None if OpenCV cannot."""
    if suffix in (".tif", ".tiff"):
        return _encode_tiff(image)
    if suffix == ".png" and image.pixels.ndim == 2 and image.alpha is not None:
        return with_metadata_in(suffix, encode_gray_alpha_png(image.pixels, image.alpha), image.metadata)
    kind = ".jpg" if suffix in JPEG_SUFFIXES else suffix
    well, encoded = cv2.imencode(kind, _to_bgr(image), _encoder_options(suffix, quality))
    return with_metadata_in(suffix, encoded.tobytes(), image.metadata) if well else None


def _encode_tiff(image: Image) -> bytes | None:
    if image.pixels.ndim == 2 and image.alpha is not None:
        plain = encode_gray_alpha_tiff(image.pixels, image.alpha)
    else:
        well, encoded = cv2.imencode(".tif", _to_bgr(image))
        if not well:
            return None
        plain = encoded.tobytes()
    if image.alpha is None and not (image.exif or image.icc or image.xmp or image.iptc):
        return plain
    told = {"exif": image.exif, "icc": image.icc, "xmp": image.xmp, "iptc": image.iptc}
    return with_metadata(plain, **told, has_alpha=image.alpha is not None)


def _to_bgr(image: Image) -> Array:
    if image.pixels.ndim == 2 and image.alpha is None:
        return image.pixels
    color = image.pixels if image.pixels.ndim == 3 else np.repeat(image.pixels[..., None], 3, axis=2)
    planes = [color[..., ::-1]] if image.alpha is None else [color[..., ::-1], image.alpha[..., None]]
    return np.ascontiguousarray(np.concatenate(planes, axis=2))


def _encoder_options(suffix: str, quality: int | None) -> list[int]:
    if suffix in JPEG_SUFFIXES and quality is not None:
        # what was restored is not thrown away again: colour at full resolution
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        return [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
    if suffix != ".webp":
        return []
    options = [cv2.IMWRITE_WEBP_QUALITY, 101]  # above 100: lossless
    # the colour of fully transparent pixels would go otherwise, and does before OpenCV 5
    if hasattr(cv2, "IMWRITE_WEBP_LOSSLESS_MODE"):
        options += [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR]
    return options
