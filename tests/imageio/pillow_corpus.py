"""All images of a folder through ``read_image``, against Pillow's own pixels; not a test, pytest leaves it alone.

    pip download pillow --no-binary :all: --no-deps     # the source distribution holds Tests/images
    tar xzf pillow-*.tar.gz
    PYTHONPATH=. python tests/imageio/pillow_corpus.py pillow-*/Tests/images

Prints every file that the two do not agree on, and how many they do agree on. Of the images of Pillow 13.0.0 seven
have other pixels:

* xmp_tags_orientation.png and .avif, xmp_tags_orientation_exiftool.png: Pillow also turns by the orientation that XMP
  tells, which a picture's own format knows nothing of;
* i_trns.png: of 16-bit gray this script takes Pillow's shades, without the one that a tRNS chunk makes transparent;
* three *_16bit_RGBa.tiff: Pillow divides the colours by their alpha in 8 bits, and this package in 16.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageOps

from vheatir.imageio.formats import IMAGE_SUFFIXES
from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.read import read_image

Array = npt.NDArray[Any]

#: decoders may round colours of JPEG and lossy WebP in their own ways
TOLERANCE = 2
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")


def as_pillow_has_it(path: Path) -> Array | str:
    """Pixels (H, W, 4) of 8 bits, alpha among them; or why there are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PillowImage.open(path) as opened:
                image = ImageOps.exif_transpose(opened)
                if image.mode in _DEEP_MODES:
                    deep = np.asarray(image)
                    return planes_of(
                        (deep >> 8 if image.mode != "I" or deep.max(initial=0) > 255 else deep).astype(np.uint8), None
                    )
                return np.asarray(image.convert("RGBA"))
    except Exception as error:  # noqa: BLE001  # whatever its plugins raise on damaged files
        return f"{type(error).__name__}: {error}"


def planes_of(pixels: Array, alpha: Array | None) -> Array:
    """Gray or RGB pixels with alpha, uint8 or uint16, as (H, W, 4) of 8 bits."""
    color = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    clear = np.full(color.shape[:2], np.iinfo(color.dtype).max, color.dtype) if alpha is None else alpha
    planes = np.dstack((color, clear))
    return (planes >> 8).astype(np.uint8) if planes.dtype == np.uint16 else planes


def as_read(path: Path) -> Image | str:
    try:
        return read_image(path).upright()
    except ImageError as error:
        return str(error).replace(str(path), "").strip()


def difference(image: Image, theirs: Array) -> str:
    """In words; "" where the two agree. Pixels that are fully transparent may have any colour."""
    ours = planes_of(image.pixels, image.alpha)
    if ours.shape != theirs.shape:
        return f"{ours.shape[1]}x{ours.shape[0]} instead of {theirs.shape[1]}x{theirs.shape[0]}"
    apart = np.abs(ours.astype(int) - theirs)
    apart[..., :3][(ours[..., 3] == 0) & (theirs[..., 3] == 0)] = 0
    if apart.max(initial=0) <= TOLERANCE:
        return ""
    return f"up to {apart.max()} apart, {apart.mean():.3f} in the mean, {apart[..., 3].max()} in alpha; {image.note}"


def compared(path: Path) -> tuple[str, str]:
    """What is to be said about a file: a heading, and the details."""
    ours, theirs = as_read(path), as_pillow_has_it(path)
    if isinstance(ours, str) and isinstance(theirs, str):
        return "both refuse", ""
    if isinstance(ours, str) and path.suffix.lower() not in IMAGE_SUFFIXES:
        return "of a format that is not read", ""
    if isinstance(ours, str):
        return "refused, Pillow reads it", ours
    if isinstance(theirs, str):
        return "read, Pillow refuses it", theirs
    apart = difference(ours, theirs)
    return ("other pixels", apart) if apart else ("agree", "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare read_image with Pillow on all images of a folder.")
    parser.add_argument("folder", type=Path)
    counts: Counter[str] = Counter()
    folder = parser.parse_args().folder
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        heading, details = compared(path)
        counts[heading] += 1
        if details:
            print(f"{heading}: {path.relative_to(folder)}: {details}", flush=True)
    print(", ".join(f"{count} {heading}" for heading, count in counts.most_common()))


if __name__ == "__main__":
    main()
