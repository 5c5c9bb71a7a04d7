"""``DegradationMixture``: every degradation that one network is to remove, and what it is told of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.camera import CameraShot, draw_shot
from vheatir.data.degradations import FloatImage, GaussianNoise, JpegCompression, to_unit
from vheatir.nn.condition import UNKNOWN, jpeg_condition

__all__ = [
    "DegradationMixture",
    "DrawnDegradation",
    "MixedCrop",
    "Part",
    "as_color",
    "make_jpeg",
    "make_mixture",
    "make_noise",
]

Image = NDArray[np.uint8]
Value = TypeVar("Value", np.uint8, np.float32)

#: side of the squares for which the true noise level is known
LEVEL_GRID: Final = 8


@dataclass(frozen=True)
class MixedCrop:
    """A degraded crop.

    Attributes:
        degraded: (h, w) or (h, w, 3), in [0, 1]; noise may leave that range.
        clean: what it should be, same shape, in [0, 1].
        noise: the noise level σ/255 for each 8 x 8 square, (h/8, w/8).
        jpeg: the JPEG level, (100 - quality)/100.
        noise_is_known: whether the noise has one level that somebody could tell.
    """

    degraded: FloatImage
    clean: FloatImage
    noise: FloatImage
    jpeg: float
    noise_is_known: bool = True


class Part(Protocol):
    """One kind of degradation in a mixture."""

    def source_size(self, size: int) -> int:
        """Side of the clean crop that a result of ``size`` pixels needs."""
        ...

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        """Degrade a square RGB or gray crop of that side."""
        ...


@dataclass(frozen=True)
class _Noise:
    """Gaussian noise, in the colours independent."""

    noise: GaussianNoise

    def source_size(self, size: int) -> int:
        return size

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        degraded, _, level = self.noise(clean, rng)
        return MixedCrop(degraded, to_unit(clean), _even(level, size), 0.0)


@dataclass(frozen=True)
class _Jpeg:
    """JPEG compression."""

    jpeg: JpegCompression

    def source_size(self, size: int) -> int:
        return size + self.jpeg.margin

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        degraded, target, level = self.jpeg(clean, rng)
        return MixedCrop(degraded, to_unit(target), _even(0.0, size), level)


@dataclass(frozen=True)
class _NoiseThenJpeg:
    """A noisy photograph, rounded and compressed: what a messenger makes of it."""

    noise: GaussianNoise
    jpeg: JpegCompression

    def source_size(self, size: int) -> int:
        return size + self.jpeg.margin

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        noisy, _, sigma = self.noise(clean, rng)
        stored = (noisy.clip(0, 1) * 255).round().astype(np.uint8)
        degraded, target, level = self.jpeg.compress(stored, clean, rng)
        return MixedCrop(degraded, to_unit(target), _even(sigma, size), level)


@dataclass(frozen=True)
class _Camera:
    """A photograph by one camera; see :mod:`vheatir.data.camera`."""

    shot: CameraShot

    def source_size(self, size: int) -> int:
        return self.shot.source_size(size)

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        color = clean if clean.ndim == 3 else np.repeat(clean[..., None], 3, axis=2)
        images = self.shot.take(color, size, rng)
        if clean.ndim == 2:  # a gray photograph by a colour camera
            images = _gray(images[0]), _gray(images[1]), _gray(images[2])
        photo, target, uncompressed = images
        quality = 100 if self.shot.quality is None else self.shot.quality
        noise = _local_deviation(uncompressed - target)
        return MixedCrop(photo, target, noise, jpeg_condition(quality), noise_is_known=False)


@dataclass(frozen=True)
class _Grain:
    """Film grain: correlated over a pixel or two, strongest in the middle tones, the same in all colours or nearly.

    This project's own, after the way in which film grain synthesis of AV1 scales a noise pattern by the luminance
    (Norkin and Birkbeck, "Film Grain Synthesis for AV1 Video Codec", DCC 2018).
    """

    sigma: float
    radius: float
    color: float

    def source_size(self, size: int) -> int:
        return size

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        target = to_unit(clean)
        grain = self._pattern(size, rng)[..., None]
        if clean.ndim == 3:
            own = np.stack([self._pattern(size, rng) for _ in range(3)], axis=-1)
            grain = np.sqrt(1 - self.color) * grain + np.sqrt(self.color) * own
        luma = target if clean.ndim == 2 else target.mean(axis=2)
        strength = (self.sigma / 255 * (0.3 + 2.8 * luma * (1 - luma)))[..., None]
        added = np.asarray(strength * grain, dtype=np.float32)
        added = added[..., 0] if clean.ndim == 2 else added
        degraded = ((target + added).clip(0, 1) * 255).round().astype(np.float32) / np.float32(255)
        return MixedCrop(degraded, target, _local_deviation(degraded - target), 0.0, noise_is_known=False)

    def _pattern(self, size: int, rng: np.random.Generator) -> FloatImage:
        pattern = cv2.GaussianBlur(rng.standard_normal((size, size), dtype=np.float32), (0, 0), self.radius)
        return np.asarray(pattern / pattern.std(), dtype=np.float32)


class _Clean:
    """A clean photograph, where it has the finest detail: gravel, leaves and hair are what is taken for noise.

    Nobody tells that there is no noise: of a network that is told so, nothing is left to learn.
    """

    def source_size(self, size: int) -> int:
        return 2 * size

    def degrade(self, clean: Image, size: int, rng: np.random.Generator) -> MixedCrop:
        quarters = [clean[y : y + size, x : x + size] for y in (0, size) for x in (0, size)]
        unit = to_unit(max(quarters, key=_fine_detail))
        return MixedCrop(unit, unit, _even(0.0, size), 0.0, noise_is_known=False)


class PartKind(Protocol):
    """Draws one :class:`Part` of a kind, with the parameters that hold for a whole crop."""

    def __call__(self, rng: np.random.Generator, /) -> Part: ...


def _draw_camera(rng: np.random.Generator) -> Part:
    return _Camera(draw_shot(rng))


def _draw_grain(rng: np.random.Generator) -> Part:
    return _Grain(sigma=rng.uniform(3, 30), radius=rng.uniform(0.5, 1.4), color=rng.uniform(0, 0.5))


@dataclass(frozen=True)
class DrawnDegradation:
    """What is done to one crop.

    Attributes:
        part: the degradation.
        gray: the crop is turned gray first, and has three equal channels afterwards.
        withheld: which levels the network is not told, noise and JPEG, of those that could be told.
    """

    part: Part
    gray: bool
    withheld: tuple[bool, bool]

    def source_size(self, size: int) -> int:
        """Side of the clean crop that a result of ``size`` pixels needs."""
        return self.part.source_size(size)

    def __call__(
        self, clean: Image, size: int, rng: np.random.Generator
    ) -> tuple[FloatImage, FloatImage, FloatImage, FloatImage]:
        """Degrade.

        Args:
            clean: RGB, square, a side of ``source_size(size)``.
            size: side of the result, a multiple of 8.
            rng: the generator to draw from.

        Returns:
            The degraded and the clean crop, (size, size, 3), the levels that the network is told, (2,), and the true
            ones, (2, size/8, size/8), as :class:`vheatir.nn.VHeatPyramid` takes and estimates them.
        """
        source: Image = _gray(clean) if self.gray else clean
        crop = self.part.degrade(source, size, rng)
        degraded, target = (as_color(image) for image in (crop.degraded, crop.clean))
        told = [float(crop.noise.mean()) if crop.noise_is_known else UNKNOWN, crop.jpeg]
        told = [UNKNOWN if hidden else level for level, hidden in zip(told, self.withheld, strict=True)]
        truth = np.stack([crop.noise, np.full_like(crop.noise, crop.jpeg)])
        return degraded, target, np.array(told, dtype=np.float32), truth


class DegradationMixture:
    """Draws one of several degradations for each crop.

    Args:
        parts: kinds of degradations.
        shares: how often each is drawn, relative to one another.
        gray: share of the crops that are gray.
        withheld: share of the crops of which the network is not told all that is known: neither level for half of
            these, only one of the two for a quarter each.

    Raises:
        ValueError: if a share is negative, all are 0, or ``gray`` or ``withheld`` is no probability.
    """

    def __init__(self, parts: Sequence[PartKind], shares: Sequence[float], *, gray: float, withheld: float) -> None:
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(f"The shares of a mixture are 0 or more, and not all 0: {list(shares)}.")
        if not (0 <= gray <= 1 and 0 <= withheld <= 1):
            raise ValueError(f"gray and withheld are probabilities, 0 to 1, not {gray} and {withheld}.")
        self._parts = list(parts)
        self._bounds = np.cumsum(shares) / np.sum(shares)
        self._gray = gray
        self._withheld = withheld

    def draw(self, rng: np.random.Generator) -> DrawnDegradation:
        """Draw what is done to one crop."""
        kind = self._parts[int(np.searchsorted(self._bounds, rng.random(), side="right"))]
        gray = bool(rng.random() < self._gray)
        withheld = (False, False)
        if rng.random() < self._withheld:
            withheld = ((True, True), (True, True), (True, False), (False, True))[int(rng.integers(4))]
        return DrawnDegradation(kind(rng), gray, withheld)


def make_mixture(options: Mapping[str, Any]) -> DegradationMixture:
    """Make the mixture that a ``degradation`` section of ``type: mixture`` describes.

    Raises:
        ValueError: as the degradations themselves.
    """
    return DegradationMixture(
        [_make_part(part) for part in options["parts"]],
        [float(part["share"]) for part in options["parts"]],
        gray=float(options["gray"]),
        withheld=float(options["withheld"]),
    )


def _make_part(options: Mapping[str, Any]) -> PartKind:
    part: Part
    match options["type"]:
        case "camera":
            return _draw_camera
        case "grain":
            return _draw_grain
        case "noise":
            part = _Noise(make_noise(options))
        case "jpeg":
            part = _Jpeg(make_jpeg(options))
        case "noise_jpeg":
            part = _NoiseThenJpeg(make_noise(options), make_jpeg(options))
        case "clean":
            part = _Clean()
        case kind:
            raise ValueError(f"No part of a mixture is of the type {kind}.")
    return lambda _: part


def make_noise(options: Mapping[str, Any]) -> GaussianNoise:
    """The noise that an option section describes by ``sigma`` or ``sigmas``."""
    if "sigmas" in options:
        return GaussianNoise(choices=tuple(map(float, options["sigmas"])))
    low, high = options["sigma"]
    return GaussianNoise(float(low), float(high))


def make_jpeg(options: Mapping[str, Any]) -> JpegCompression:
    """The compression that an option section describes by ``quality`` and the like."""
    low, high = options["quality"]
    return JpegCompression(
        int(low),
        int(high),
        double=float(options.get("double", 0.0)),
        subsampling=tuple(map(str, options.get("subsampling", ("420",)))),  # type: ignore[arg-type]  # checked there
        grid_phase=bool(options.get("grid_phase", False)),
        log_quality=bool(options.get("log_quality", False)),
        studio_swing=float(options.get("studio_swing", 0.0)),
    )


def as_color(image: FloatImage) -> FloatImage:
    """Three equal channels of a gray image (H, W); a colour image as it is."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _gray(image: NDArray[Value]) -> NDArray[Value]:
    gray: NDArray[Value] = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=image.dtype)
    return gray


def _even(level: float, size: int) -> FloatImage:
    return np.full((size // LEVEL_GRID, size // LEVEL_GRID), level, dtype=np.float32)


def _fine_detail(image: Image) -> float:
    """Mean square of what differs from pixel to pixel as noise does: one number for images (h, w) or (h, w, 3)."""
    return float(np.square(cv2.Laplacian(image, cv2.CV_32F)).mean())


def _local_deviation(error: FloatImage) -> FloatImage:
    """Root mean square of each 8 x 8 square: (h, w) or (h, w, 3) -> (h/8, w/8)."""
    squared = np.square(error) if error.ndim == 2 else np.square(error).mean(axis=2)
    rows, columns = (side // LEVEL_GRID for side in squared.shape)
    squares = squared.reshape(rows, LEVEL_GRID, columns, LEVEL_GRID)
    return np.asarray(np.sqrt(squares.mean(axis=(1, 3))), dtype=np.float32)
