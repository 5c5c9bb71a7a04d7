"""Image files in: RGB arrays, their metadata, and a clear sentence for what cannot be read.

OpenCV's codecs, which keep 16 bits; Pillow's for CMYK; for TIFF, see :mod:`vheatir.imageio.tiff_pixels`.
"""

from __future__ import annotations

import errno
import importlib
import io
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile

from vheatir.errors import is_number
from vheatir.imageio.containers import Metadata, checked, read_metadata
from vheatir.imageio.headers import heif_bits, heif_name, other_name, stored_size
from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.jpeg import frame_header, is_jpeg, jpeg_quality, tidied
from vheatir.imageio.jpeg_damage import jpeg_damage
from vheatir.imageio.png import bare_png, is_gray_png, is_png, png_chunks, png_is_cut
from vheatir.imageio.tiff import is_tiff
from vheatir.imageio.tiff_pixels import TiffError, read_layout, read_pixels
from vheatir.imageio.white_level import white_level

__all__ = ["MAX_MEGAPIXELS", "read_image"]

#: larger images are refused unless asked for: a few kilobytes can unfold to any size
MAX_MEGAPIXELS: Final = 500.0

_DEEPEST: Final = 65535
_BITS_OF_JPEG: Final = 8
_SMALLEST_LIMIT: Final = 1e-6
_UNKNOWN: Final = (
    "cannot be read as an image: it is damaged, or of a format that is not supported; copy it again, or convert it to "
    "PNG first."
)
_CMYK_NOTE: Final = "converted from CMYK to sRGB"


def read_image(path: Path, *, max_megapixels: float | None = None) -> Image:
    """Decode an image file at its own bit depth; the content counts, not the suffix.

    Pixels stay as they are stored: a JPEG keeps its 8-px grid at the upper left corner; see :meth:`Image.upright`.
    (A TIFF, which has no such grid, is turned on reading.) CMYK becomes sRGB, through the file's own profile if it
    has one.

    Args:
        path: the file.
        max_megapixels: refuse larger images before they are decoded; None means 500.

    A JPEG is looked at for damage that decoders pass over, see :mod:`vheatir.imageio.jpeg_damage`; junk before it,
    between its segments or behind it does no harm.

    Raises:
        ValueError: if the limit is no number above 0.
        ImageError: if it cannot be opened, is damaged or animated, has several pages, is too large, or a type of
            pixel that is not supported.
    """
    limit = MAX_MEGAPIXELS if max_megapixels is None else max_megapixels
    if not is_number(limit, _SMALLEST_LIMIT):
        raise ValueError(f"max_megapixels is a number above 0, not {limit!r}.")
    data = _read_bytes(path)
    data = tidied(data) or data
    _refuse_unsupported(path, data)
    _refuse_bomb(path, stored_size(data), limit)
    if is_tiff(data):
        return _with_white(data, _read_tiff(path, data, limit))
    image = _read_other(path, data, limit)
    told = read_metadata(data) if image.metadata == Metadata() else image.metadata
    return _with_white(data, image.telling(replace(told, icc=None) if image.note == _CMYK_NOTE else told))


def _with_white(data: bytes, image: Image) -> Image:
    if image.pixels.dtype != np.uint16:
        return image
    white = white_level(image.pixels, data)
    return image if white == _DEEPEST else replace(image, white=white)


def _read_other(path: Path, data: bytes, max_megapixels: float) -> Image:
    """Anything but a TIFF; without its metadata, unless a plugin of Pillow reads them too."""
    if heif_name(data):
        return _with_plugin(path, data, max_megapixels)
    frame = frame_header(data) if is_jpeg(data) else None
    if frame is not None and frame.precision != _BITS_OF_JPEG:
        raise ImageError(f"{path} is a JPEG of {frame.precision} bits; save it as PNG or TIFF of 16 bits first.")
    _refuse_damaged_jpeg(path, data)
    if frame is not None and len(frame.components) == 4:
        return replace(_cmyk_jpeg(path, data), jpeg_quality=_quality(data))
    image = _bmp(path, data) if data.startswith(b"BM") else _with_opencv(path, data)
    image = _with_transparent_gray(data, image)
    if is_gray_png(data) and image.pixels.ndim == 3:
        image = replace(image, pixels=np.ascontiguousarray(image.pixels[..., 0]))  # expanded because of its alpha
    return replace(image, jpeg_quality=_quality(data))


def _read_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError(f"{path} cannot be read: it is no regular file; leave it out.")
        return path.read_bytes()
    except OSError as error:
        is_lost = path.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP)
        remedy = "it is a link that leads nowhere, remove it" if is_lost else "check that you may read it"
        raise ImageError(f"{path} cannot be opened ({error.strerror}); {remedy}.") from error


def _refuse_unsupported(path: Path, data: bytes) -> None:
    if not data:
        raise ImageError(f"{path} is empty (0 bytes); copy it again from where it came.")
    name = other_name(data)
    if name:
        raise ImageError(f"{path} is of a format that is not supported, {name}; convert it to PNG first.")
    if not (is_png(data) or is_jpeg(data) or is_tiff(data) or heif_name(data) or data.startswith((b"BM", b"RIFF"))):
        raise ImageError(f"{path} {_UNKNOWN}")
    if is_png(data) and png_is_cut(data):
        raise ImageError(f"{path} is cut short or damaged: its PNG data do not reach their end; copy it again.")
    if _is_animated(data):
        raise ImageError(f"{path} is animated; extract its frames as single images first.")


def _refuse_damaged_jpeg(path: Path, data: bytes) -> None:
    damage = jpeg_damage(data) if is_jpeg(data) else None
    if damage is not None:
        raise ImageError(f"{path} {damage}; copy it again, or, if there is no better copy, save it anew as PNG.")


def _refuse_bomb(path: Path, size: tuple[int, int] | None, limit: float) -> None:
    if size is not None and size[0] * size[1] > limit * 1e6:
        raise ImageError(
            f"{path} has {size[0]}x{size[1]} pixels, more than {limit:g} megapixels: "
            "if that is right, raise the limit with --max-megapixels."
        )


def _read_tiff(path: Path, data: bytes, max_megapixels: float) -> Image:
    try:
        layout = read_layout(data)
        _refuse_bomb(path, (layout.width, layout.height), max_megapixels)
        stored = read_pixels(data, layout)
    except TiffError as error:
        raise ImageError(f"{path} {error}") from error
    # the pixels have been turned upright, and so have these
    image = Image(stored.pixels, stored.alpha, note=stored.note).telling(read_metadata(data).upright())
    return _from_cmyk(image) if stored.pixels.ndim == 3 and stored.pixels.shape[2] == 4 else image


def _from_cmyk(image: Image) -> Image:
    inks = PillowImage.fromarray(image.pixels, mode="CMYK")
    if image.icc:
        inks.info["icc_profile"] = image.icc
    notes = [note for note in (image.note, _CMYK_NOTE) if note]
    return replace(image, pixels=np.asarray(_cmyk_to_rgb(inks)), icc=None, note=", ".join(notes))


def _with_opencv(path: Path, data: bytes) -> Image:
    try:
        bare = bare_png(data) if is_png(data) else data
        decoded = cv2.imdecode(np.frombuffer(bare, np.uint8), flags=cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path} cannot be decoded ({error.err}); convert it to PNG first.") from error
    if decoded is None or decoded.size == 0:
        raise ImageError(f"{path} {_UNKNOWN}")
    if decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path} has pixels of type {decoded.dtype}; save it with 8 or 16 bits per channel first.")
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    if channels not in (1, 3, 4):
        raise ImageError(f"{path} has {channels} channels; save it as gray, RGB or RGBA first.")
    return Image(
        pixels=decoded if channels == 1 else np.ascontiguousarray(decoded[..., 2::-1]),  # OpenCV's order is BGR(A)
        alpha=np.ascontiguousarray(decoded[..., 3]) if channels == 4 else None,
    )


def _with_plugin(path: Path, data: bytes, max_megapixels: float) -> Image:
    """Decode AVIF or HEIC with a plugin of Pillow's, if there is one; 8 bits are what they give."""
    name = heif_name(data)
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    try:
        image = PillowImage.open(io.BytesIO(data))
        _refuse_bomb(path, image.size, max_megapixels)
        if getattr(image, "n_frames", 1) > 1:
            raise ImageError(f"{path} has several pictures; extract them as single images first.")
        pixels = np.asarray(image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB"))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is {name}, which this Pillow cannot read; convert it to PNG first.") from error
    except Exception as error:  # whatever the plugin raises on damaged data
        raise ImageError(f"{path} cannot be decoded ({error}); convert it to PNG first.") from error
    planes = pixels if pixels.ndim == 3 else pixels[..., None]
    colors = planes.shape[2] - (planes.shape[2] in (2, 4))
    info = image.info
    return Image(
        np.ascontiguousarray(planes[..., 0] if colors == 1 else planes[..., :3]),
        np.ascontiguousarray(planes[..., -1]) if planes.shape[2] > colors else None,
        note="reduced to 8 bits" if heif_bits(data) > 8 else "",
    ).telling(
        checked(
            Metadata(info.get("exif", b"").removeprefix(b"Exif\0\0") or None, info.get("icc_profile"), info.get("xmp"))
        )
    )


def _cmyk_jpeg(path: Path, data: bytes) -> Image:
    """Decode CMYK or YCCK."""
    try:
        image = JpegImageFile(io.BytesIO(data))
        image.load()
        return Image(np.asarray(_cmyk_to_rgb(image)), note=_CMYK_NOTE)
    except Exception as error:  # whatever Pillow's decoders raise on damaged data
        raise ImageError(f"{path} cannot be decoded ({error}); convert it to PNG first.") from error


def _bmp(path: Path, data: bytes) -> Image:
    """A BMP as Pillow reads it.

    OpenCV reads white of 5 bits as 248, other pixels where the palette and the data overlap, and other colours where
    their bits lie elsewhere than usual.
    """
    try:
        picture = BmpImageFile(io.BytesIO(data))
        if picture.size != stored_size(data):  # which has been found small enough
            raise ValueError("its header tells two sizes")
        codec, _, offset, layout = picture.tile[0]
        assert isinstance(layout, tuple)  # its mode, the bytes of a row, the order of the rows
        if codec == "raw" and offset + int(layout[1]) * picture.height > len(data):  # LOAD_TRUNCATED_IMAGES or not
            raise ValueError("it is cut short")
        picture.load()
        pixels = np.asarray(picture.convert({"1": "L", "P": "RGB"}.get(picture.mode, picture.mode)))
    except Exception as error:  # whatever Pillow raises on damaged data, and on what it does not know
        raise ImageError(f"{path} cannot be read as a BMP ({error}); save it as PNG first.") from error
    if picture.mode == "P" and (pixels == pixels[..., :1]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    if picture.mode == "RGBA":
        return Image(np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3]))
    return Image(pixels)


def _with_transparent_gray(data: bytes, image: Image) -> Image:
    """The alpha that a PNG's tRNS chunk gives a single shade of gray, which OpenCV leaves out."""
    if not is_gray_png(data) or image.pixels.ndim != 2 or image.alpha is not None:
        return image
    shade = next((content for name, content in png_chunks(data) if name == b"tRNS"), b"")
    if len(shade) != 2:
        return image
    bits = data[24]
    peak = np.iinfo(image.pixels.dtype).max
    scale = peak // ((1 << bits) - 1)  # shades of fewer than 8 bits have been widened
    clear = image.pixels == (int.from_bytes(shade, "big") & ((1 << bits) - 1)) * scale
    return replace(image, alpha=np.where(clear, 0, peak).astype(image.pixels.dtype))


def _cmyk_to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    icc = image.info.get("icc_profile")
    if icc:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB")  # a damaged profile is as good as none
        if converted is not None:
            return converted
    return image.convert("RGB")


def _quality(data: bytes) -> int | None:
    if not is_jpeg(data):
        return None
    try:
        return jpeg_quality(data)
    except ValueError:  # decodable without tables of the usual kind: then the caller has to ask for the quality
        return None


def _is_animated(data: bytes) -> bool:
    """Tell whether a PNG has an animation control chunk of several frames, or a WebP its animation flag."""
    if is_png(data):
        return any(name == b"acTL" and int.from_bytes(content[:4], "big") > 1 for name, content in png_chunks(data))
    is_extended_webp = data.startswith(b"RIFF") and data[8:16] == b"WEBPVP8X"
    return is_extended_webp and len(data) > 20 and bool(data[20] & 0x02)
