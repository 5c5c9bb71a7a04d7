"""What is wrong, or worth knowing, about each image of a training folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vheatir.data.prepare.overlap import BenchmarkIndex
from vheatir.data.prepare.phash import hamming_distance, hash_orientations, perceptual_hash
from vheatir.data.prepare.pixels import is_gray, to_luma
from vheatir.imageio.images import ImageError
from vheatir.imageio.read import read_image
from vheatir.levels.jpeg_trace import estimate_jpeg_quality

__all__ = ["MAX_DUPLICATE_DISTANCE", "Finding", "Problem", "check_images"]

Problem = Literal["unreadable", "too small", "duplicate", "overlap"]

#: Stricter than for benchmarks: n images make n²/2 pairs, and a duplicate that is kept does little harm.
MAX_DUPLICATE_DISTANCE: Final = 4


@dataclass(frozen=True)
class Finding:
    """What is known about one image.

    Attributes:
        path: the file.
        name: what lists call it, ``folder/file``.
        problem: why it is left out, or None.
        detail: the problem in a few words, or "".
        shape: (height, width, channels) with 1 channel for gray content; zeros if unreadable.
        jpeg_quality: quality of the JPEG compression that its pixels show, or None.
    """

    path: Path
    name: str
    problem: Problem | None = None
    detail: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    jpeg_quality: int | None = None


def check_images(named: Iterable[tuple[str, Path]], *, min_size: int, benchmarks: BenchmarkIndex) -> list[Finding]:
    """Look at each image once, in order; of duplicates the first is kept.

    Args:
        named: (name, file) of each image; any iterable, so that a progress bar can watch.
        min_size: smallest height and width in pixels.
        benchmarks: images that must not be trained on.
    """
    seen = _SeenHashes()
    return [_check(name, path, min_size, benchmarks, seen) for name, path in named]


class _SeenHashes:
    """Hashes of the images kept so far."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._hashes = np.zeros((0, 8), np.uint8)

    def find_or_add(self, name: str, gray: NDArray[np.uint8]) -> tuple[str, int] | None:
        """Return an earlier image that looks the same and the distance of the hashes, else remember this one."""
        distances = hamming_distance(self._hashes[:, None], hash_orientations(gray)[None]).min(axis=1, initial=64)
        if len(distances) and distances.min() <= MAX_DUPLICATE_DISTANCE:
            return self._names[int(distances.argmin())], int(distances.min())
        self._names.append(name)
        self._hashes = np.concatenate([self._hashes, perceptual_hash(gray)[None]])
        return None


def _check(name: str, path: Path, min_size: int, benchmarks: BenchmarkIndex, seen: _SeenHashes) -> Finding:
    try:
        pixels = read_image(path).pixels
    except ImageError as error:
        return Finding(path, name, "unreadable", str(error))
    shape = (pixels.shape[0], pixels.shape[1], 1 if is_gray(pixels) else 3)
    if min(shape[:2]) < min_size:
        return Finding(path, name, "too small", f"{shape[1]}x{shape[0]} px, less than {min_size}", shape)
    gray = to_luma(pixels)
    overlap = benchmarks.find(gray)
    if overlap is not None:
        where = f"{overlap.benchmark.parent.name}/{overlap.benchmark.name}"
        return Finding(path, name, "overlap", f"shows benchmark {where} ({overlap.evidence})", shape)
    earlier = seen.find_or_add(name, gray)
    if earlier is not None:
        detail = f"looks like {earlier[0]} (perceptual hash, distance {earlier[1]})"
        return Finding(path, name, "duplicate", detail, shape)
    return Finding(path, name, shape=shape, jpeg_quality=estimate_jpeg_quality(gray))
