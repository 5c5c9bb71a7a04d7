"""How JPEG qualities are found, and what they are worth: ``python docs/scripts/quality_evidence.py IMAGE...``.

Prints three tables: how often the quality of a compressed image is read from its pixels; PSNR of gray images compressed
twice, restored at the quality of their file and at the lower one; PSNR of noise that differs between the channels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from vheatir import Restorer
from vheatir.data.degradations import encode_jpeg
from vheatir.levels.jpeg_trace import lowest_jpeg_quality

Array = npt.NDArray[Any]

QUALITIES: Final = (10, 20, 30, 50, 70, 80, 90, 95)
TWICE: Final = ((20, 90, 0), (20, 75, 0), (30, 90, 4), (20, 90, 4), (40, 60, 4))
SIGMAS: Final = ((20, 20, 30), (15, 10, 25), (10, 25, 40), (5, 5, 30))
_SIDE: Final = 256


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+")
    images = [_read(path) for path in parser.parse_args().images]
    print_found(images)
    print_twice([np.asarray(cv2.cvtColor(image[:_SIDE, :_SIDE], cv2.COLOR_RGB2GRAY)) for image in images])
    print_channels([image[:_SIDE, :_SIDE] for image in images])


def print_found(images: Sequence[Array]) -> None:
    """How many qualities are found exactly, in whole images and in ones cropped off the grid."""
    print(f"| of {len(images)} images | clean | " + " | ".join(map(str, QUALITIES)) + " |")
    print("|---|---|" + "---|" * len(QUALITIES))
    for name, corner in (("whole", (0, 0)), ("cropped by 3 and 5", (3, 5))):
        found = [
            sum(
                lowest_jpeg_quality(encode_jpeg(image, quality)[corner[0] :, corner[1] :]) == quality
                for image in images
            )
            for quality in QUALITIES
        ]
        clean = sum(lowest_jpeg_quality(image) is not None for image in images)
        print(f"| {name} | {clean} | " + " | ".join(map(str, found)) + " |", flush=True)


def print_twice(images: Sequence[Array]) -> None:
    """PSNR of gray images compressed twice."""
    restorer = Restorer("jpeg", device="cpu")
    print("| first, then quality (grid shifted by) | degraded | at the file's quality | at the lower one |")
    print("|---|---|---|---|")
    for first, second, shift in TWICE:
        rows = []
        for image in images:
            clean = image[shift:, shift:]
            twice = encode_jpeg(encode_jpeg(image, first)[shift:, shift:], second)
            results = (twice, restorer.restore(twice, quality=second), restorer.restore(twice, quality=first))
            rows.append([_psnr(result, clean) for result in results])
        cells = " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0))
        print(f"| {first}, then {second} ({shift}) | {cells} |", flush=True)


def print_channels(images: Sequence[Array]) -> None:
    """PSNR for noise that differs between the channels, by three ways to use a network with one level."""
    restorer = Restorer("denoise", device="cpu", model="denoise-color")
    print("| σ of R, G, B | root mean square | each channel at its own | scaled to equal noise |")
    print("|---|---|---|---|")
    for sigmas in SIGMAS:
        rows = []
        for image in images:
            clean = image.astype(np.float32) / 255
            noise = np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
            noisy = clean + np.array(sigmas, np.float32) / 255 * noise
            own = [restorer.restore(noisy, sigma=sigma)[..., channel] for channel, sigma in enumerate(sigmas)]
            factor = np.float32(min(sigmas)) / np.array(sigmas, np.float32)
            scaled = restorer.restore(noisy * factor, sigma=min(sigmas)) / factor
            results = (restorer.restore(noisy, sigma=sigmas), np.stack(own, axis=-1), scaled)
            rows.append([_psnr(result * 255, image) for result in results])
        cells = " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0))
        print(f"| {', '.join(map(str, sigmas))} | {cells} |", flush=True)


def _read(path: Path) -> Array:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{path} cannot be read as an image.")
    return np.ascontiguousarray(image[..., ::-1])


def _psnr(restored: Array, clean: Array) -> float:
    return float(10 * np.log10(255**2 / np.mean(np.square(restored.astype(float) - clean))))


if __name__ == "__main__":
    main()
