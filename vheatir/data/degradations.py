"""Degradations: Gaussian noise and JPEG compression, drawn at random for training, fixed for evaluation.

Every function takes the generator that it draws from; there is no global random state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.color import full_to_studio_swing
from vheatir.nn.condition import jpeg_condition, noise_condition

__all__ = [
    "Degradation",
    "GaussianNoise",
    "JpegCompression",
    "benchmark_noise",
    "encode_jpeg",
    "to_unit",
]

Image = NDArray[np.uint8]
FloatImage = NDArray[np.float32]
Subsampling = Literal["420", "444"]

_SAMPLING_FACTORS = {"420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}
_GRID = 8  # side of a JPEG block


def to_unit(image: Image) -> FloatImage:
    """8-bit values in [0, 1]: any shape, float32."""
    return image.astype(np.float32) / np.float32(255)


class Degradation(Protocol):
    """Draws one degradation of one clean crop."""

    @property
    def margin(self) -> int:
        """Pixels that the clean crop must be larger than the result, in height and in width."""
        ...

    def __call__(self, clean: Image, rng: np.random.Generator) -> tuple[FloatImage, Image, float]:
        """Degrade.

        Args:
            clean: shape (h + margin, w + margin) or (h + margin, w + margin, 3).
            rng: the generator to draw from.

        Returns:
            The degraded crop in [0, 1] (noise may leave that range), the clean crop it belongs to, both of h x w
            pixels, and the network's condition.
        """
        ...


@dataclass(frozen=True)
class GaussianNoise:
    """White Gaussian noise, added in float, neither clipped nor rounded.

    Args:
        low: smallest standard deviation, in 8-bit units.
        high: largest; σ is uniform between the two.
        choices: standard deviations to choose from instead, all equally likely.
    """

    low: float = 0.0
    high: float = 0.0
    choices: tuple[float, ...] = ()
    margin: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 255:
            raise ValueError(f"sigma must satisfy 0 <= low <= high <= 255, not [{self.low}, {self.high}].")
        if any(not 0 <= sigma <= 255 for sigma in self.choices):
            raise ValueError(f"Every one of sigmas must lie within 0 to 255: {list(self.choices)}.")

    def __call__(self, clean: Image, rng: np.random.Generator) -> tuple[FloatImage, Image, float]:
        sigma = rng.choice(self.choices) if self.choices else rng.uniform(self.low, self.high)
        level = noise_condition(float(sigma))
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        return to_unit(clean) + np.float32(level) * noise, clean, level


@dataclass(frozen=True)
class JpegCompression:
    """JPEG compression by libjpeg (OpenCV), once or twice.

    Args:
        low: smallest quality.
        high: largest quality; drawn between the two, whole numbers.
        log_quality: draw evenly in the logarithm of the quality: below 50 libjpeg's quantisation steps grow as
            1/quality, so this gives strong and weak compression their fair shares. Evenly in the quality otherwise.
        double: probability that the crop was compressed before, at an independent quality and grid position.
        subsampling: chroma subsamplings to draw from, for colour.
        grid_phase: let the crop begin anywhere in the 8-pixel grid, as in a photo that was cropped afterwards.
        studio_swing: probability that a gray crop is mapped to 16..235 first, as MATLAB's Y is.
    """

    low: int
    high: int
    log_quality: bool = False
    double: float = 0.0
    subsampling: tuple[Subsampling, ...] = ("420",)
    grid_phase: bool = False
    studio_swing: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high <= 100:
            raise ValueError(f"quality must satisfy 1 <= low <= high <= 100, not [{self.low}, {self.high}].")
        for name in ("double", "studio_swing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 to 1, not {getattr(self, name)}.")
        if not self.subsampling or any(kind not in _SAMPLING_FACTORS for kind in self.subsampling):
            raise ValueError(f'subsampling is a list of "420" and "444", not {list(self.subsampling)}.')

    @property
    def margin(self) -> int:
        return (_GRID - 1) * (int(self.grid_phase) + int(self.double > 0))

    def __call__(self, clean: Image, rng: np.random.Generator) -> tuple[FloatImage, Image, float]:
        if clean.ndim == 2 and rng.random() < self.studio_swing:
            clean = full_to_studio_swing(clean)
        return self.compress(clean, clean, rng)

    def compress(self, degraded: Image, clean: Image, rng: np.random.Generator) -> tuple[FloatImage, Image, float]:
        """Compress an image that was degraded before; ``clean``, of its shape, is only cut to the same place."""
        if self.double > 0:
            if rng.random() < self.double:
                degraded = self._compress(degraded, rng)[0]
            degraded, clean = _shift_grid(degraded, clean, rng)
        degraded, quality = self._compress(degraded, rng)
        if self.grid_phase:
            degraded, clean = _shift_grid(degraded, clean, rng)
        return to_unit(degraded), clean, jpeg_condition(quality)

    def _compress(self, image: Image, rng: np.random.Generator) -> tuple[Image, int]:
        quality = self._draw_quality(rng)
        subsampling = self.subsampling[int(rng.integers(len(self.subsampling)))]
        return encode_jpeg(image, quality, subsampling), quality

    def _draw_quality(self, rng: np.random.Generator) -> int:
        if self.log_quality:
            drawn = int(np.exp(rng.uniform(np.log(self.low), np.log(self.high + 1))))
            return min(max(drawn, self.low), self.high)  # the ends, against rounding
        return int(rng.integers(self.low, self.high, endpoint=True))


def encode_jpeg(image: Image, quality: int, subsampling: Subsampling = "420") -> Image:
    """Compress and decompress with OpenCV's libjpeg.

    Args:
        image: gray (H, W) or RGB (H, W, 3).
        quality: 1 to 100.
        subsampling: of the chroma, "420" (OpenCV's default) or "444"; without effect on gray.

    Returns:
        The decompressed image, shape of ``image``.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.ndim == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING_FACTORS[subsampling]]
        image = image[..., ::-1]
    _, encoded = cv2.imencode(".jpg", image, options)
    flag = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR
    decoded = np.asarray(cv2.imdecode(encoded, flag), dtype=np.uint8)
    return decoded if image.ndim == 2 else decoded[..., ::-1]


def benchmark_noise(clean: Image, sigma: float, *, seed: int = 0) -> FloatImage:
    """The noisy image of SwinIR's test script: seed 0 before every image, drawn in OpenCV's channel order.

    Args:
        clean: gray (H, W) or RGB (H, W, 3).
        sigma: standard deviation in 8-bit units.
        seed: another draw than the script's.

    Returns:
        Shape of ``clean``, in [0, 1] plus noise, neither clipped nor rounded.
    """
    noise = np.random.RandomState(seed).normal(0, sigma / 255, clean.shape)
    if clean.ndim == 3:
        noise = noise[..., ::-1]
    return np.asarray(clean.astype(np.float32) / 255 + noise, dtype=np.float32)


def _shift_grid(degraded: Image, clean: Image, rng: np.random.Generator) -> tuple[Image, Image]:
    """Cut both images at the same random place of the grid, leaving 7 pixels less in height and in width."""
    top, left = rng.integers(_GRID, size=2)
    height, width = clean.shape[0] - _GRID + 1, clean.shape[1] - _GRID + 1
    place = np.s_[top : top + height, left : left + width]
    return degraded[place], clean[place]
