"""Training images that show a benchmark image, or a part of it: training on them would make every score a lie.

Two looks at each image. The perceptual hash under the 8 flips and rotations finds whole images however they were
resized, compressed or mirrored; matched features find crops, which no hash of the whole image can.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vheatir.data.prepare.features import FeatureIndex
from vheatir.data.prepare.phash import hamming_distance, hash_orientations, perceptual_hash
from vheatir.data.prepare.pixels import to_luma
from vheatir.imageio.read import read_image

__all__ = ["MAX_DISTANCE", "BenchmarkIndex", "Overlap"]

#: Bits of 64 in which the hashes of two pictures of the same thing may differ. Measured: copies differ by 8 at most
#: (JPEG quality 10, resizing by 0.25 to 1.7, flips, noise of sigma 25, a trimmed border), and the nearest of 110,000
#: pairs of different pictures by 12. datasets/README.md has the table.
MAX_DISTANCE: Final = 8


@dataclass(frozen=True)
class Overlap:
    """A benchmark image found in a training image.

    Attributes:
        benchmark: the benchmark's file.
        evidence: what the two have in common, for the report.
    """

    benchmark: Path
    evidence: str


class BenchmarkIndex:
    """Benchmark images, indexed to be found in others.

    Args:
        paths: their files; any iterable, so that a progress bar can watch.

    Raises:
        ImageError: if one cannot be read, since an overlap with it would go unseen.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths: list[Path] = []
        images = []
        for path in paths:
            images.append(to_luma(read_image(path).pixels))
            self._paths.append(path)
        hashes = [hash_orientations(image) for image in images]
        self._hashes = np.stack(hashes) if hashes else np.zeros((0, 8, 8), np.uint8)
        self._features = FeatureIndex(images)

    def find(self, gray: NDArray[np.uint8]) -> Overlap | None:
        """Return the benchmark image that a gray image (H, W) shows, whole or in part, or None."""
        if not self._paths:
            return None
        distances = hamming_distance(self._hashes, perceptual_hash(gray)).min(axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] <= MAX_DISTANCE:
            return Overlap(self._paths[nearest], f"perceptual hash, distance {distances[nearest]}")
        match = self._features.find(gray)
        if match is None:
            return None
        evidence = f"{match.inliers} matched features, correlation {match.correlation:.2f}"
        return Overlap(self._paths[match.index], evidence)
