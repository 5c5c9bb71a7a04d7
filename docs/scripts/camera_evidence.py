"""A sheet of photographs by the camera of the training beside real ones, and what their noise is like.

    python docs/scripts/camera_evidence.py --photos datasets/train/CID22 --pairs PolyU --out docs

``--pairs`` is a folder of real pairs, ``*_real.JPG`` (one shot) and ``*_mean.JPG`` (the mean of many). Writes
``camera.jpg`` and prints the table of docs/camera.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.camera import CameraShot, Lens, draw_shot

_SIDE = 160
_GAIN = 6.0
#: which draws, and which pairs, the sheet shows
_SHOWN = (0, 1, 2, 3, 5)
_SHOWN_PAIRS = (13, 26, 39, 50)
_STATISTICS = (
    "fine detail of the clean picture, dB",
    "standard deviation, of 255",
    "green, one pixel apart",
    "green, two pixels apart",
    "red and green",
    "blue and green",
    "red - green, one pixel apart",
    "red - green, four pixels apart",
    "red - green, coarse",
    "green, coarse",
)

Image = NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of real pairs")
    parser.add_argument("--out", type=Path, required=True, help="folder for camera.jpg")
    parser.add_argument("--count", type=int, default=150, help="photographs to measure")
    parsed = parser.parse_args(arguments)
    photos = sorted(path for path in parsed.photos.iterdir() if path.is_file())
    pairs = sorted(parsed.pairs.glob("*_real.JPG"))
    real = [_statistics(mean, noisy) for noisy, mean in map(_read_pair, pairs)]
    made = [_statistics(*_made_pair(photos, seed)) for seed in range(parsed.count)]
    sharp = [_fine_detail(_take(photos, seed, Lens())[2]) for seed in range(parsed.count)]
    sys.stdout.write(_table(np.array(real), np.array(made)))
    sys.stdout.write(f"\n{_STATISTICS[0]}, of draws without the lens: {_quantiles(np.array(sharp))}\n")
    rows = [_made_row(photos, seed) for seed in _SHOWN] + [_real_row(pairs[index]) for index in _SHOWN_PAIRS]
    sheet = (np.vstack(rows)[..., ::-1] * 255).round().astype(np.uint8)
    full_color = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    cv2.imwrite(str(parsed.out / "camera.jpg"), sheet, full_color)
    return 0


def _read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _read_pair(path: Path) -> tuple[Image, Image]:
    noisy, mean = (_read(file) for file in (path, path.with_name(path.name.replace("_real", "_mean"))))
    return noisy.astype(np.float32) / np.float32(255), mean.astype(np.float32) / np.float32(255)


def _take(photos: Sequence[Path], seed: int, lens: Lens | None = None) -> tuple[CameraShot, Image, Image, Image]:
    """A draw, with its own lens or another."""
    rng = np.random.default_rng(seed)
    shot = draw_shot(rng)
    shot = shot if lens is None else replace(shot, lens=lens)
    photo = _read(photos[seed % len(photos)])
    side = shot.source_size(_SIDE)
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    if min(top, left) < 0:  # a small photograph, and a camera that halves it
        return _take(photos, seed + 100_003, lens)
    return shot, *shot.take(photo[top : top + side, left : left + side], _SIDE, rng)


def _made_pair(photos: Sequence[Path], seed: int) -> tuple[Image, Image]:
    """Clean, and noisy before compression, since the compression of a real pair is in both of its pictures."""
    _, _, target, uncompressed = _take(photos, seed)
    return target, uncompressed


def _statistics(clean: Image, noisy: Image) -> list[float]:
    """As _STATISTICS names them; coarse is what lies between Gaussians of 3 and 12 px, over all noise."""
    noise = noisy - clean
    coarse = cv2.GaussianBlur(noise, (0, 0), 3) - cv2.GaussianBlur(noise, (0, 0), 12)
    noise = noise - cv2.GaussianBlur(noise, (0, 0), 8)
    red, green, blue = (noise[..., channel] for channel in range(3))
    difference = red - green
    return [
        _fine_detail(clean),
        255 * float(noise.std()),
        _correlation(green[:, 1:], green[:, :-1]),
        _correlation(green[:, 2:], green[:, :-2]),
        _correlation(red, green),
        _correlation(blue, green),
        _correlation(difference[:, 1:], difference[:, :-1]),
        _correlation(difference[:, 4:], difference[:, :-4]),
        float((coarse[..., 0] - coarse[..., 1]).std() / noise.std()),
        float(coarse[..., 1].std() / noise.std()),
    ]


def _fine_detail(clean: Image) -> float:
    """Power of what is finer than about 4 px over that of what is coarser, in decibels, as an 8-bit file has it."""
    gray = (clean * 255).round().mean(axis=2)
    smooth = cv2.GaussianBlur(gray, (0, 0), 1)
    return float(
        10 * np.log10(np.square(gray - smooth).mean() / np.square(smooth - cv2.GaussianBlur(gray, (0, 0), 8)).mean())
    )


def _correlation(one: Image, other: Image) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _table(real: NDArray[np.float64], made: NDArray[np.float64]) -> str:
    lines = [f"| | {len(real)} real pairs | {len(made)} draws of the camera |", "|---|---|---|"]
    lines += [f"| {name} | {_quantiles(real[:, i])} | {_quantiles(made[:, i])} |" for i, name in enumerate(_STATISTICS)]
    return "\n".join(lines) + "\n"


def _quantiles(values: NDArray[np.float64]) -> str:
    return " / ".join(f"{value:.2f}" for value in np.quantile(values, (0.1, 0.5, 0.9)))


def _row(clean: Image, degraded: Image) -> Image:
    difference = (0.5 + _GAIN * (degraded - clean)).clip(0, 1)
    return np.hstack([clean, degraded, difference])


def _made_row(photos: Sequence[Path], seed: int) -> Image:
    _, photo, target, _ = _take(photos, seed)
    return _row(target, photo)


def _real_row(path: Path) -> Image:
    noisy, mean = _read_pair(path)
    middle = np.s_[176 : 176 + _SIDE, 176 : 176 + _SIDE]
    return _row(mean[middle], noisy[middle])


if __name__ == "__main__":
    sys.exit(main())
