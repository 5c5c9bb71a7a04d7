"""What ``--sigma auto`` makes of noise that is not white: ``python docs/scripts/grain_evidence.py IMAGE...``.

Clean images are degraded as cameras, scalers and JPEG files do, and restored at the strength of the white noise
that their high frequencies show, at the one that is chosen now, and at the best of eleven. Prints mean PSNR in dB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from vheatir import Restorer
from vheatir.data.degradations import encode_jpeg
from vheatir.levels.grain import estimate_noise
from vheatir.levels.levels import mean_sigma

Array = npt.NDArray[Any]
Degrade = Callable[[Array, np.random.Generator], tuple[Array, Array]]

LEVELS: Final = (0, 3, 5, 8, 11, 15, 20, 25, 30, 40, 50)
#: levels are estimated on the whole image; PSNR is of its middle
_SIDE: Final = 256
_GAMMA: Final = 2.2
_LARGEST_PSNR: Final = 45.0  # clean images that are left alone would score without bound


def as_bytes(image: Array) -> Array:
    """Clip and round to 8 bits."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def white(sigma: float, quality: int | None = None) -> Degrade:
    """White noise, and then JPEG with halved colours."""

    def degrade(image: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        noisy = as_bytes(image + rng.normal(0, sigma, image.shape))
        return image, noisy if quality is None else encode_jpeg(noisy, quality)

    return degrade


def blurred(sigma: float, radius: float) -> Degrade:
    """Noise smoothed by a Gaussian, scaled to a standard deviation."""

    def degrade(image: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        noise = cv2.GaussianBlur(rng.normal(size=image.shape), (0, 0), radius)
        return image, as_bytes(image + noise * (sigma / noise.std()))

    return degrade


def enlarged(sigma: float, factor: float) -> Degrade:
    """A small noisy image, enlarged; what it should have been is the small one, enlarged."""

    def degrade(image: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        size = image.shape[1], image.shape[0]
        small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        noisy = as_bytes(small + rng.normal(0, sigma, small.shape))
        clean, large = (cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) for each in (small, noisy))
        return clean, large

    return degrade


def camera(gain: float, quality: int | None = None) -> Degrade:
    """Shot and read noise of one colour a pixel, interpolated (Bayer), with gamma; then JPEG."""

    def develop(linear: Array) -> Array:
        mosaic = np.zeros(linear.shape[:2], np.uint16)
        for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
            mosaic[row::2, column::2] = (np.clip(linear, 0, 1) * 65535)[row::2, column::2, channel]
        full = cv2.cvtColor(mosaic, cv2.COLOR_BayerRG2RGB) / 65535
        return as_bytes(255 * full ** (1 / _GAMMA))

    def degrade(image: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        linear = (image / 255.0) ** _GAMMA
        deviation = np.sqrt(gain * linear + gain**2)
        noisy = develop(linear + deviation * rng.normal(size=image.shape))
        return develop(linear), noisy if quality is None else encode_jpeg(noisy, quality)

    return degrade


DEGRADATIONS: Final[dict[str, Degrade]] = {
    "clean": white(0),
    "white, σ 5": white(5),
    "white, σ 15": white(15),
    "white, σ 30": white(30),
    "white, σ 15, then JPEG 90": white(15, 90),
    "white, σ 15, then JPEG 70": white(15, 70),
    "white, σ 30, then JPEG 60": white(30, 60),
    "smoothed by a Gaussian of 0.7 pixels, σ 10": blurred(10, 0.7),
    "smoothed by a Gaussian of 1.2 pixels, σ 10": blurred(10, 1.2),
    "white, σ 15, enlarged twice": enlarged(15, 2),
    "camera with Bayer filter, gain 0.02": camera(0.02),
    "camera with Bayer filter, gain 0.06": camera(0.06),
    "camera, gain 0.06, then JPEG 85": camera(0.06, 85),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+")
    images = [np.asarray(cv2.imread(str(path)))[..., ::-1] for path in parser.parse_args().images]
    restorer = Restorer("denoise", model="denoise-color", device="cpu")
    print("| noise | taken for grain | degraded | as white noise (σ) | `auto` (σ) | best of eleven |")
    print("|---|---|---|---|---|---|")
    for name, degrade in DEGRADATIONS.items():
        rows = [scores(restorer, *degrade(image, np.random.default_rng(0))) for image in images]
        grainy, degraded, old, old_level, new, new_level, best = np.mean(rows, axis=0)
        print(
            f"| {name} | {grainy * len(rows):.0f} | {degraded:.2f} | {old:.2f} ({old_level:.1f}) "
            f"| {new:.2f} ({new_level:.1f}) | {best:.2f} |",
            flush=True,
        )


def scores(restorer: Restorer, clean: Array, degraded: Array) -> tuple[float, ...]:
    """Whether it is taken for grain; PSNR degraded, at the white level, that, at the chosen, that, and at the best."""
    found = estimate_noise(degraded)
    high, chosen = mean_sigma(found.channels), found.level
    top, left = ((side - _SIDE) // 2 for side in clean.shape[:2])
    middle = slice(top, top + _SIDE), slice(left, left + _SIDE)
    piece = np.ascontiguousarray(degraded[middle])

    def score(level: float) -> float:
        return psnr(restorer.restore(piece, sigma=min(level, 55.0)), clean[middle])

    white_score = score(high)
    chosen_score = score(chosen) if chosen != high else white_score
    return found.is_grain, psnr(piece, clean[middle]), white_score, high, chosen_score, chosen, max(map(score, LEVELS))


def psnr(image: Array, clean: Array) -> float:
    """In dB, 45 at most."""
    error = np.mean(np.square(image.astype(float) - clean))
    return float(10 * np.log10(255**2 / max(error, 255**2 / 10 ** (_LARGEST_PSNR / 10))))


if __name__ == "__main__":
    main()
