"""How well noise levels are estimated: ``python docs/scripts/level_evidence.py FOLDER...`` prints the table.

Noise is added to every image of a folder, the sum clipped and rounded to 8 bits as files hold it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from skimage.restoration import estimate_sigma as wavelet_sigma

from vheatir.levels.grain import estimate_noise
from vheatir.levels.noise import estimate_sigma

Array = npt.NDArray[Any]

SIGMAS: Final = (5, 15, 25, 50)


def block_dct(image: Array) -> float:
    """What ``--sigma auto`` uses where it finds no grain."""
    return float(np.sqrt(np.mean(np.square(estimate_sigma(image)))))


def wavelet(image: Array) -> float:
    """scikit-image's: median absolute deviation of the finest diagonal wavelet subband (Donoho and Johnstone 1994)."""
    axis = None if image.ndim == 2 else -1
    return float(wavelet_sigma(image.astype(float), channel_axis=axis, average_sigmas=True))


def immerkaer(image: Array) -> float:
    """Immerkaer 1996: mean absolute response to the difference of two Laplacians."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=float)
    response = cv2.filter2D(image.astype(float), -1, mask)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(response).mean())


METHODS: Final[dict[str, Callable[[Array], float]]] = {
    "block DCT (ours)": block_dct,
    "wavelet (scikit-image)": wavelet,
    "Immerkaer": immerkaer,
}


def main() -> None:
    """Print a table: bias ± spread over the images of each folder, and how many ``--sigma auto`` takes for grainy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    warnings.filterwarnings("ignore")
    print("| images | method | " + " | ".join(f"σ {sigma}" for sigma in SIGMAS) + " |")
    print("|---|---|" + "---|" * len(SIGMAS))
    for folder in parser.parse_args().folders:
        images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]
        clean = [image for image in images if image is not None]
        for name, method in METHODS.items():
            errors = [[method(noisy(image, sigma)) - sigma for image in clean] for sigma in SIGMAS]
            cells = " | ".join(f"{np.mean(error):+.2f} ± {np.std(error):.2f}" for error in errors)
            print(f"| {folder.name} ({len(clean)}) | {name} | {cells} |", flush=True)
        grainy = [sum(estimate_noise(noisy(image, sigma)).is_grain for image in clean) for sigma in SIGMAS]
        print(
            f"| {folder.name} ({len(clean)}) | taken for grain, images | {' | '.join(map(str, grainy))} |", flush=True
        )


def noisy(image: Array, sigma: float) -> Array:
    """The image with noise, in 8 bits."""
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
