"""Whole images against tiles: ``python docs/scripts/tile_evidence.py --model denoise-gray IMAGE...`` prints the table.

Gaussian noise is added in float, as in the scores of the benchmarks; times are of this machine, seconds a megapixel.
The last column is the largest difference to the whole image's result, in steps of 1/255: over all pixels, and within
16 pixels of the centres of the joints.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from vheatir import Restorer
from vheatir.inference.runner import tile_overlap
from vheatir.inference.tiling import axis_tiles
from vheatir.levels.levels import Levels

Array = npt.NDArray[Any]

_WHOLE: Final = 10**6


def main() -> None:
    """Print one row for each size of tile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--model", default="denoise-gray")
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--tiles", type=int, nargs="+", default=[64, 128, 256, 512])
    arguments = parser.parse_args()
    images = [_read(path) for path in arguments.images]
    noisy = [_noisy(image, arguments.sigma) for image in images]
    whole, seconds = _restore(arguments.model, noisy, arguments.sigma, _WHOLE)
    print("| tile | PSNR, dB | seconds a megapixel | largest difference to whole: anywhere, at the joints |")
    print("|---|---|---|---|")
    print(f"| whole | {_psnr(whole, images):.3f} | {seconds:.1f} | |", flush=True)
    for tile in arguments.tiles:
        tiled, seconds = _restore(arguments.model, noisy, arguments.sigma, tile)
        changes = [np.abs(one - other) * 255 for one, other in zip(tiled, whole, strict=True)]
        joints = max(float(change[_joints(change.shape, tile, arguments.sigma)].max(initial=0.0)) for change in changes)
        anywhere = max(float(change.max()) for change in changes)
        print(f"| {tile} | {_psnr(tiled, images):.3f} | {seconds:.1f} | {anywhere:.2f}, {joints:.2f} |", flush=True)


def _read(path: Path) -> Array:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SystemExit(f"{path} cannot be read as an image.")
    return image.astype(np.float32) / 255


def _noisy(image: Array, sigma: float) -> Array:
    np.random.seed(0)  # the benchmarks' protocol
    return (image + np.random.normal(0, sigma / 255, image.shape)).astype(np.float32)


def _restore(model: str, noisy: Sequence[Array], sigma: float, tile: int) -> tuple[list[Array], float]:
    restorer = Restorer("denoise", model=model, device="cpu", tile=tile)
    restorer.restore(noisy[0][:64, :64], sigma=sigma)  # loads the model
    start = time.perf_counter()
    restored = [restorer.restore(image, sigma=sigma) for image in noisy]
    return restored, (time.perf_counter() - start) * 1e6 / sum(image.size for image in noisy)


def _psnr(restored: Sequence[Array], clean: Sequence[Array]) -> float:
    errors = [np.mean(np.square(one - other)) for one, other in zip(restored, clean, strict=True)]
    return float(np.mean([-10 * np.log10(error) for error in errors]))


def _joints(shape: tuple[int, ...], tile: int, sigma: float) -> npt.NDArray[np.bool_]:
    """Pixels within 16 of the centre of an overlap."""
    near = np.zeros(shape, dtype=bool)
    for axis, length in enumerate(shape):
        pieces = axis_tiles(length, tile, min(tile_overlap("denoise", Levels(sigma=sigma)), tile // 2))
        for one, other in pairwise(pieces):
            centre = (one.stop + other.start) // 2
            near[(slice(None),) * axis + (slice(max(0, centre - 16), centre + 16),)] = True
    return near


if __name__ == "__main__":
    main()
