"""A decoded image file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vheatir.imageio.containers import (
    Metadata,
)
from vheatir.imageio.metadata import (
    orientation,
    turned_upright,
    with_upright_tag,
)

__all__ = ["Array", "Image", "ImageError"]

Array = npt.NDArray[Any]


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Image:
    """A decoded image file.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) RGB, uint8 or uint16 as stored in the file.
        alpha: (H, W) of the same type, or None.
        jpeg_quality: libjpeg quality nearest to the file's own tables, 1 to 100, if it is a JPEG file.
        exif: EXIF data, a TIFF structure, or None.
        icc: ICC profile, or None.
        xmp: XMP packet, or None.
        density: pixels of an inch in x and y, or None.
        colors: PNG's chunks that say what its numbers mean as colours, as pairs of name and content.
        iptc: title, caption, author and the like as records of IPTC-IIM, or None.
        texts: PNG's text chunks, as pairs of name and content; comments of JPEG too.
        white: the value of white in files of 16 bits, if it is less than 65535.
        note: what was converted on reading or is left out on writing, in words.
    """

    pixels: Array
    alpha: Array | None = None
    jpeg_quality: int | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    density: tuple[float, float] | None = None
    colors: tuple[tuple[bytes, bytes], ...] = ()
    iptc: bytes | None = None
    texts: tuple[tuple[bytes, bytes], ...] = ()
    white: int | None = None
    note: str = ""

    @property
    def shown_pixels(self) -> Array:
        """The pixels, black where the alpha channel hides them: whatever lies there is not part of the picture."""
        if self.alpha is None or self.alpha.all():
            return self.pixels
        hidden = self.alpha == 0
        return np.where(hidden if self.pixels.ndim == 2 else hidden[..., None], 0, self.pixels).astype(
            self.pixels.dtype
        )

    @property
    def metadata(self) -> Metadata:
        """What the file tells about its picture."""
        return Metadata(self.exif, self.icc, self.xmp, self.density, self.colors, self.iptc, self.texts)

    def telling(self, metadata: Metadata) -> Image:
        """The same picture with other metadata; their notes are added to its own."""
        note = ", ".join(dict.fromkeys(note for note in (self.note, *metadata.notes) if note))
        told = {name: getattr(metadata, name) for name in ("exif", "icc", "xmp", "density", "colors", "iptc", "texts")}
        return replace(self, note=note, **told)

    def upright(self) -> Image:
        """Turn pixels and alpha as the EXIF orientation asks, and set it to 1."""
        how = orientation(self.exif)
        if self.exif is None or how == 1:
            return self
        alpha = None if self.alpha is None else turned_upright(self.alpha, how)
        density = self.density[::-1] if self.density is not None and how >= 5 else self.density
        told = replace(self.metadata.upright(), exif=with_upright_tag(self.exif), density=density)
        return replace(self, pixels=turned_upright(self.pixels, how), alpha=alpha).telling(told)
