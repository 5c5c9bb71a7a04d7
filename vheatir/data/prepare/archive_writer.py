"""One small file of training images, to take to another machine: a tar archive of encoded images under their names."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.sources import FolderSource
from vheatir.imageio.formats import JPEG_SUFFIXES
from vheatir.system.atomic import atomic_path

__all__ = ["LOSSLESS", "Packed", "pack_images"]

#: stands for lossless WebP among the JPEG qualities
LOSSLESS: Final = 101

#: from the best down; below 90 the target images would teach the network artifacts
_QUALITIES: Final = (LOSSLESS, 98, 97, 96, 95, 94, 93, 92, 91, 90)

_TAR_BLOCK: Final = 512

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Packed:
    """What an archive came out as.

    Args:
        bytes: its size.
        quality: of the images that were encoded anew: JPEG 90 to 98, or LOSSLESS.
        verbatim: number of files that were copied as they are.
        encoded: number of images that were encoded anew, the halved ones included.
        halved: number of images at half their height and width.
    """

    bytes: int
    quality: int
    verbatim: int
    encoded: int
    halved: int


def pack_images(
    named: Sequence[tuple[str, Path]],
    archive: Path,
    *,
    validation: Collection[str],
    max_bytes: int,
    halve_above: float,
    watch: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Packed:
    """Write an archive, at the best quality that fits.

    Validation images are copied as they are, so that scores can be compared with those of any other training, and so
    are JPEG files that are not halved, which a second encoding would harm. All others become lossless WebP or, where
    that is too much, JPEG without chroma subsampling. The archive appears under its name only when it is whole.

    Args:
        named: (name, file) of each image.
        archive: the file to write, ending in ``.tar``.
        validation: names of the validation images; the archive lists them in ``validation.txt``.
        max_bytes: size of the archive at most.
        halve_above: training images of more megapixels than this are reduced to half their height and width, each
            pixel the mean of four, which also takes away most of the traces of an earlier compression.
        watch: wraps each pass over the images, for a progress bar.

    Raises:
        ValueError: if even the lowest quality does not fit.
        OSError: if an image cannot be decoded.
    """
    files = [_File(name, path, name in validation, halve_above) for name, path in named]
    listing = "".join(f"{file.name}\n" for file in files if file.is_validation).encode()
    fixed = {file.name: file.path.read_bytes() for file in files if file.is_verbatim}
    room = max_bytes - tarfile.RECORDSIZE - _size([listing, *fixed.values()])
    changing = [file for file in files if not file.is_verbatim]
    quality, encoded = _best_fit(changing, room, watch)
    members = fixed | encoded
    with atomic_path(archive) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "validation.txt", listing)
            for file in files:
                _add(tar, file.name, members[file.name])
        size = temporary.stat().st_size
    return Packed(size, quality, len(fixed), len(encoded), sum(file.is_halved for file in files))


class _File:
    """One image, and what will be done to it."""

    def __init__(self, name: str, path: Path, is_validation: bool, halve_above: float) -> None:
        self.name = name
        self.path = path
        self.is_validation = is_validation
        self.is_halved = not is_validation and self._megapixels() > halve_above
        self.is_verbatim = is_validation or (not self.is_halved and path.suffix.lower() in JPEG_SUFFIXES)

    def encode(self, quality: int) -> bytes:
        pixels = self._pixels()
        if self.is_halved:
            height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
            even = pixels[: 2 * height, : 2 * width]
            pixels = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return _encode(pixels, quality)

    def _pixels(self) -> Image:
        """(H, W, 3) RGB, or (H, W) where there is no colour."""
        pixels = FolderSource([self.path]).read(0, 3)
        return pixels[..., 0] if bool((pixels == pixels[..., :1]).all()) else pixels

    def _megapixels(self) -> float:
        from PIL import Image as Pillow  # reads no more than the header

        try:
            with Pillow.open(self.path) as header:
                return header.width * header.height / 1e6
        except OSError as error:
            raise OSError(f"{self.path} cannot be read as an image: replace or remove it.") from error


def _best_fit(
    files: Sequence[_File], room: int, watch: Callable[[Sequence[int]], Iterable[int]]
) -> tuple[int, dict[str, bytes]]:
    """The best quality at which the files take no more than ``room`` bytes, by bisection, and their encodings."""
    best: tuple[int, dict[str, bytes]] | None = None
    smallest = 0
    low, high = 0, len(_QUALITIES)
    while low < high:
        middle = (low + high) // 2
        quality = _QUALITIES[middle]
        encoded = {files[index].name: files[index].encode(quality) for index in watch(range(len(files)))}
        smallest = _size(encoded.values())
        if smallest <= room:
            best, high = (quality, encoded), middle
        else:
            low = middle + 1
    if best is None:
        raise ValueError(
            f"The images take {smallest / 1e6:.1f} MB at JPEG quality {_QUALITIES[-1]}, and there is room for "
            f"{max(room, 0) / 1e6:.1f} MB beside the files that are copied as they are: allow more bytes, halve more "
            "images, or give fewer."
        )
    return best


def _encode(pixels: Image, quality: int) -> bytes:
    stored = np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[..., ::-1])
    if quality == LOSSLESS:
        return cv2.imencode(".webp", stored, [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS])[1].tobytes()
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    if pixels.ndim == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", stored, options)[1].tobytes()


def _size(members: Iterable[bytes]) -> int:
    """Bytes of members of a tar archive at most: headers (three blocks for a long name) and whole blocks."""
    return sum((3 + -(-len(member) // _TAR_BLOCK)) * _TAR_BLOCK for member in members)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # neither times nor owners: equal images make equal archives
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
