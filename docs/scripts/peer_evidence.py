"""How the classical peers' constants were chosen: ``python docs/scripts/peer_evidence.py`` prints PSNR by constant.

Noise is added to the middle of every Nth validation image as the benchmark adds it (``--every 1 --side 512`` takes
all there is); a constant's score is the mean over images and σ 15, 25 and 50. No benchmark image is looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.degradations import benchmark_noise
from vheatir.evaluation.methods import Method
from vheatir.evaluation.peers.nlm import NonLocalMeans
from vheatir.evaluation.peers.tv import TotalVariation
from vheatir.evaluation.peers.wavelet import Wavelet

Image = NDArray[np.uint8]

SIGMAS: Final = (15, 25, 50)
STRENGTHS: Final = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
WEIGHTS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
COLOR_STRENGTHS: Final = tuple(product((0.5, 0.6, 0.7), (0.4, 0.5, 0.6, 0.7)))
WAVELETS: Final = ("db1", "db2", "db4", "sym4", "sym8", "coif2")

GRAY: Final[Mapping[str, Mapping[str, Method]]] = {
    "nlm, h / σ": {f"{value:g}": NonLocalMeans(gray=value) for value in STRENGTHS},
    "tv, weight / (σ/255)": {f"{value:g}": TotalVariation(gray=value) for value in WEIGHTS},
    "wavelet": {value: Wavelet(wavelet=value) for value in WAVELETS},
}
COLOR: Final[Mapping[str, Mapping[str, Method]]] = {
    "nlm, h / σ of lightness and colours": {f"{a:g} {b:g}": NonLocalMeans(color=(a, b)) for a, b in COLOR_STRENGTHS},
    "tv, weight / (σ/255)": {f"{value:g}": TotalVariation(color=value) for value in WEIGHTS},
    "wavelet": {value: Wavelet(wavelet=value) for value in WAVELETS},
}


def main() -> None:
    """Print a table of constants for gray and one for colour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", type=Path, default=Path("datasets/splits/validation.txt"), help="names of images")
    parser.add_argument("--root", type=Path, default=Path("datasets/train"), help="folder that the names start from")
    parser.add_argument("--every", type=int, default=5, help="take every Nth image (default: 5)")
    parser.add_argument("--side", type=int, default=192, help="side of the crop from its middle (default: 192)")
    arguments = parser.parse_args()
    names = arguments.list.read_text("utf-8").split()[:: arguments.every]
    images = [middle(read(arguments.root / name), arguments.side) for name in names]
    print(f"{len(images)} images, {arguments.side} x {arguments.side}, σ {', '.join(map(str, SIGMAS))}\n")
    print("| images | peer | constant | mean PSNR, dB |\n|---|---|---|---|")
    for heading, peers, clean in (("gray", GRAY, [gray(image) for image in images]), ("colour", COLOR, images)):
        for peer, candidates in peers.items():
            scores = {constant: score(method, clean) for constant, method in candidates.items()}
            best = max(scores, key=lambda constant: scores[constant])
            for constant, value in scores.items():
                mark = "**" if constant == best else ""
                print(f"| {heading} | {peer} | {mark}{constant}{mark} | {mark}{value:.2f}{mark} |", flush=True)


def read(path: Path) -> Image:
    """An RGB image."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"{path} cannot be read; give the training images with --root.")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


def gray(image: Image) -> Image:
    """Luma of an RGB image."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def middle(image: Image, side: int) -> Image:
    """The square in the middle, smaller where the image is."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def score(method: Method, images: Sequence[Image]) -> float:
    """Mean PSNR over images and σ, of results clamped and rounded to 8 bits."""
    return float(np.mean([psnr(method(benchmark_noise(image, s), s), image) for image in images for s in SIGMAS]))


def psnr(restored: NDArray[np.float32], clean: Image) -> float:
    """PSNR in dB."""
    error = np.clip(np.rint(restored.astype(np.float64) * 255), 0, 255) - clean
    return float(10 * np.log10(255**2 / np.mean(np.square(error))))


if __name__ == "__main__":
    main()
