"""Make the example images again: ``python examples/make_examples.py`` (needs scikit-image for the originals).

Noise is Gaussian, σ 25 in 8-bit units, rounded and limited to 8 bits, from a fixed seed; JPEG files are written
by OpenCV at the quality in their name. The photos of ``photo/`` are as their cameras and editors left them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

Pixels = npt.NDArray[np.uint8]

SIGMA: Final = 25
SEED: Final = 0
FOLDER: Final = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Crop:
    """Part of an image that ships inside scikit-image: rows top to bottom, columns left to right."""

    image: str
    top: int
    bottom: int
    left: int
    right: int

    def pixels(self) -> Pixels:
        """The clean part, (H, W) or (H, W, 3) RGB."""
        image: npt.NDArray[Any] = getattr(skimage.data, self.image)()
        return np.ascontiguousarray(image[self.top : self.bottom, self.left : self.right], dtype=np.uint8)


NOISY: Final = {
    "denoise/astronaut_sigma25.png": Crop("astronaut", 0, 256, 100, 356),
    "denoise/camera_sigma25.png": Crop("camera", 60, 316, 130, 386),
    "denoise/chelsea_sigma25.png": Crop("chelsea", 20, 276, 100, 356),
}
COMPRESSED: Final = {
    "jpeg/astronaut_q20.jpg": (Crop("astronaut", 0, 360, 40, 424), 20),
    "jpeg/camera_q15.jpg": (Crop("camera", 40, 424, 64, 448), 15),
    "jpeg/coffee_q10.jpg": (Crop("coffee", 20, 380, 60, 540), 10),
}
PHOTOS: Final = {
    "photo/chelsea.png": Crop("chelsea", 20, 276, 100, 356),
    "photo/coffee.png": Crop("coffee", 20, 340, 240, 560),
}
#: a JPEG, which is taken as it is
JPEG_PHOTO: Final = "photo/rocket.jpg"


def add_noise(clean: Pixels, sigma: float, generator: np.random.Generator) -> Pixels:
    """Add Gaussian noise of standard deviation ``sigma`` (8-bit units), then round and limit to 0..255."""
    noisy = clean + generator.normal(0.0, sigma, clean.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def main() -> None:
    """Write every example under its name."""
    for name, crop in NOISY.items():
        _write(
            name,
            add_noise(crop.pixels(), SIGMA, np.random.default_rng(SEED)),
            [cv2.IMWRITE_PNG_COMPRESSION, 9],
        )
    for name, (crop, quality) in COMPRESSED.items():
        _write(name, crop.pixels(), [cv2.IMWRITE_JPEG_QUALITY, quality])
    for name, crop in PHOTOS.items():
        _write(name, crop.pixels(), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    shutil.copy(Path(skimage.data.data_dir) / Path(JPEG_PHOTO).name, FOLDER / JPEG_PHOTO)


def _write(name: str, pixels: Pixels, options: list[int]) -> None:
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    if not cv2.imwrite(str(path), pixels if pixels.ndim == 2 else pixels[..., ::-1], options):
        raise OSError(f"{path} cannot be written.")


if __name__ == "__main__":
    main()
