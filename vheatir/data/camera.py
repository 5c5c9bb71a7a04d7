"""A camera: from a clean photograph back to what its sensor saw, noise, and forward again to a file.

Sources: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019 (the way back to linear sensor
values, colour matrices, gains, the prior of shot and read noise); Guo et al., "Toward Convolutional Blind Denoising of
Real Photographs" (CBDNet), CVPR 2019 (noise before demosaicing, JPEG of quality 60 and more after it); Wei et al.,
"Physics-based Noise Modeling for Extreme Low-light Photography", TPAMI 2021 (row noise). Chances without a source are
this project's own, set so that the noise is like that of real pairs: docs/camera.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vheatir.data.degradations import Subsampling, encode_jpeg, to_unit

__all__ = [
    "CameraNoise",
    "CameraShot",
    "Development",
    "Lens",
    "NoiseReduction",
    "add_noise",
    "draw_shot",
    "noise_deviation",
]

FloatImage = NDArray[np.float32]
Demosaicing = Literal["bilinear", "edge-aware"]

#: XYZ to camera RGB of four cameras, by which Brooks et al. span their random colour matrices (section 3.1)
_XYZ_TO_CAMERAS: Final = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)
#: linear sRGB to XYZ, IEC 61966-2-1
_RGB_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_GAMMA: Final = 2.2
#: luma of ITU-R BT.601, which JPEG takes too
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)
#: a Gaussian narrower than this is none
_LEAST_RADIUS: Final = 0.2

# Brooks et al., section 3.2: shot noise evenly in its logarithm; read noise near a line in the logarithms
# (large sensors, which theirs do not cover, have less: the lower end is half of theirs)
_SHOT: Final = (5e-5, 0.012)
_READ_SLOPE, _READ_OFFSET, _READ_SPREAD = 2.18, 1.20, 0.26

#: what 16-bit demosaicing gets: room below zero and above one, which noise reaches
_BLACK, _WHITE = 8192.0, 40960.0
_DEMOSAICINGS: Final = {"bilinear": cv2.COLOR_BayerRGGB2RGB, "edge-aware": cv2.COLOR_BayerRGGB2RGB_EA}
#: border around a crop that demosaicing, sharpening and smoothing may spoil, in pixels; even, for the mosaic
BORDER: Final = 8


@dataclass(frozen=True)
class CameraNoise:
    """Noise of a sensor, in squared units of its full scale.

    Attributes:
        shot: variance at a signal of 1; proportional to the signal.
        read: variance without light.
        row: variance of what all pixels of a row have in common.
    """

    shot: float
    read: float
    row: float = 0.0


@dataclass(frozen=True)
class Development:
    """How sensor values become a photograph; see :class:`CameraShot`.

    Attributes:
        matrix: linear sRGB to camera RGB, (3, 3), rows that add up to 1.
        gains: white balance and exposure of R, G and B, by which sensor values are multiplied.
        tone_curve: the curve ``3 x^2 - 2 x^3`` after the gamma.
        mosaic: the sensor has a Bayer mosaic; without, it sees all colours at each pixel.
        demosaicing: ``"bilinear"`` or ``"edge-aware"``, both OpenCV's.
    """

    matrix: NDArray[np.float64]
    gains: tuple[float, float, float]
    tone_curve: bool = True
    mosaic: bool = True
    demosaicing: Demosaicing = "bilinear"

    def sense(self, photo: FloatImage) -> FloatImage:
        """The sensor's values behind a photograph: (H, W, 3), RGB in [0, 1] -> (H, W, 3), in [0, 1]."""
        x = photo.clip(0, 1)
        if self.tone_curve:
            x = 0.5 - np.sin(np.arcsin(1 - 2 * x) / 3)
        linear = np.maximum(x, 1e-8) ** _GAMMA
        camera = linear @ self.matrix.T.astype(np.float32)
        return np.asarray(camera / np.array(self.gains, dtype=np.float32), dtype=np.float32).clip(0, 1)

    def develop(self, sensed: FloatImage) -> FloatImage:
        """The photograph of the sensor's values: the other way round, (H, W, 3) -> (H, W, 3), in [0, 1]."""
        seen = self._demosaic(sensed) if self.mosaic else sensed
        balanced = (seen * np.array(self.gains, dtype=np.float32)).clip(0, 1)
        linear = balanced @ np.linalg.inv(self.matrix).T.astype(np.float32)
        x = linear.clip(1e-8, 1) ** np.float32(1 / _GAMMA)
        return np.asarray(3 * x**2 - 2 * x**3 if self.tone_curve else x, dtype=np.float32)

    def _demosaic(self, sensed: FloatImage) -> FloatImage:
        """See one colour a pixel, red at (0, 0), and fill in the others."""
        mosaic = np.empty(sensed.shape[:2], dtype=np.float32)
        for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
            mosaic[row::2, column::2] = sensed[row::2, column::2, channel]
        stored = (mosaic * _WHITE + _BLACK).round().clip(0, 65535).astype(np.uint16)
        colors = cv2.cvtColor(stored, _DEMOSAICINGS[self.demosaicing])
        return np.asarray((colors.astype(np.float32) - _BLACK) / _WHITE, dtype=np.float32)


@dataclass(frozen=True)
class NoiseReduction:
    """What a camera's own noise reduction leaves of the noise: less, and smoother, in the colours above all.

    Only the noise is smoothed, as by a perfect reduction, which tells it from detail: a network that learnt from
    smoothed photographs would learn to sharpen.

    Attributes:
        luma_radius: standard deviation in pixels of the Gaussian by which the noise of the luma is smoothed.
        chroma_radius: the same for the colours.
        remainder: share of the colours' noise that is left as it is.
    """

    luma_radius: float
    chroma_radius: float
    remainder: float

    def apply(self, noise: FloatImage) -> FloatImage:
        """Smooth noise: (H, W, 3), RGB -> (H, W, 3)."""
        luma = noise @ _LUMA
        colors = noise - luma[..., None]
        smooth_luma = _blurred(luma, self.luma_radius)
        smooth_colors = _blurred(colors, self.chroma_radius)
        left = smooth_colors + np.float32(self.remainder) * (colors - smooth_colors)
        return np.asarray(smooth_luma[..., None] + left, dtype=np.float32)


@dataclass(frozen=True)
class Lens:
    """How a clean photograph, sharp since it was reduced, falls on a sensor that has more pixels than there is detail.

    Attributes:
        magnification: pixels of the sensor for each of the photograph, 1 or more.
        blur: standard deviation in pixels of the Gaussian that optics, their filter and demosaicing amount to.
    """

    magnification: float = 1.0
    blur: float = 0.0

    def project(self, photo: FloatImage, size: int) -> FloatImage:
        """Project a square photograph (h, h, 3) on (size, size, 3), in [0, 1]."""
        if len(photo) != size:
            photo = np.asarray(cv2.resize(photo, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
        return _blurred(photo, self.blur).clip(0, 1)


@dataclass(frozen=True)
class CameraShot:
    """One way of taking a photograph, from the lens to the file.

    Attributes:
        noise: of the sensor.
        development: sensor to photograph.
        lens: what the sensor sees of the clean photograph.
        reduction: the camera's own noise reduction, or None.
        sharpening: share of the unsharp mask that is added, 0 for none.
        sharpening_radius: its radius in pixels.
        scale: factor of the size afterwards, 0.5 to 2.
        quality: JPEG quality of the file, or None.
        subsampling: of the file's chroma.
    """

    noise: CameraNoise
    development: Development
    lens: Lens = Lens()
    reduction: NoiseReduction | None = None
    sharpening: float = 0.0
    sharpening_radius: float = 1.0
    scale: float = 1.0
    quality: int | None = None
    subsampling: Subsampling = "420"

    def source_size(self, size: int) -> int:
        """Side of the clean crop, in pixels, that a result of ``size`` pixels needs."""
        return math.ceil(self._sensor_size(size) / self.lens.magnification)

    def _sensor_size(self, size: int) -> int:
        return 2 * math.ceil((size / self.scale + 2 * BORDER) / 2)  # even, for the mosaic

    def take(
        self, clean: NDArray[np.uint8], size: int, rng: np.random.Generator
    ) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Take the photograph twice: with noise, its reduction and compression, and without.

        The mosaic shapes the noise alone: the zippers that these two ways of demosaicing leave along edges, and better
        cameras do not, would be in the target too.

        Args:
            clean: RGB, square, a side of ``source_size(size)``.
            size: side of the result.
            rng: of the noise.

        Returns:
            The photograph, what it should be, and the photograph before its compression: float32 (size, size, 3), in
            [0, 1], in steps of 1/255 but for the second.
        """
        sensed = self.development.sense(self.lens.project(to_unit(clean), self._sensor_size(size)))
        noise = self.development.develop(add_noise(sensed, self.noise, rng)) - self.development.develop(sensed)
        if self.reduction is not None:
            noise = self.reduction.apply(noise)
        photo = replace(self.development, mosaic=False).develop(sensed)
        target, noisy = (self.finish(x, size) for x in (photo, photo + noise))
        stored = (noisy * 255).round().astype(np.uint8)
        file = stored if self.quality is None else encode_jpeg(stored, self.quality, self.subsampling)
        return to_unit(file), target, to_unit(stored)

    def finish(self, photo: FloatImage, size: int) -> FloatImage:
        """Sharpen, resize and cut the middle out: (H, W, 3) -> (size, size, 3), in [0, 1]."""
        if self.sharpening > 0:
            photo = photo + self.sharpening * (photo - _blurred(photo, self.sharpening_radius))
        if self.scale != 1:
            method = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
            photo = np.asarray(cv2.resize(photo, None, fx=self.scale, fy=self.scale, interpolation=method))
        top, left = ((side - size) // 2 for side in photo.shape[:2])
        return np.asarray(photo[top : top + size, left : left + size].clip(0, 1), dtype=np.float32)


def add_noise(sensed: FloatImage, noise: CameraNoise, rng: np.random.Generator) -> FloatImage:
    """Add shot, read and row noise to sensor values (H, W, 3); the result may leave [0, 1] below, not above.

    Shot and read noise are normal with the variance ``shot x + read`` at the signal x; what a sensor sees beyond its
    full scale is cut off.
    """
    deviation = np.sqrt(noise.shot * sensed + noise.read)
    noisy = sensed + deviation * rng.standard_normal(sensed.shape, dtype=np.float32)
    if noise.row > 0:
        rows = rng.standard_normal((sensed.shape[0], 1, 1), dtype=np.float32)
        noisy = noisy + np.float32(math.sqrt(noise.row)) * rows
    return np.asarray(np.minimum(noisy, 1), dtype=np.float32)


def noise_deviation(signal: float, noise: CameraNoise) -> float:
    """Standard deviation of a pixel's noise at a signal of 0 to 1: ``sqrt(shot x + read + row)``."""
    return math.sqrt(noise.shot * signal + noise.read + noise.row)


def draw_shot(rng: np.random.Generator) -> CameraShot:
    """Draw a camera, its noise and what it does to its photographs."""
    quality, subsampling = _draw_file(rng)
    return CameraShot(
        noise=_draw_noise(rng),
        development=_draw_development(rng),
        reduction=_draw_reduction(rng),
        sharpening=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.35 else 0.0,
        sharpening_radius=float(rng.uniform(0.7, 1.5)),
        scale=float(np.exp2(rng.uniform(-1, 1))) if rng.random() < 0.35 else 1.0,
        quality=quality,
        subsampling=subsampling,
        lens=_draw_lens(rng),
    )


def _draw_lens(rng: np.random.Generator) -> Lens:
    if rng.random() < 0.15:
        return Lens()
    return Lens(magnification=float(np.exp2(rng.uniform(0.5, 2.4))), blur=float(rng.uniform(0, 0.8)))


def _draw_noise(rng: np.random.Generator) -> CameraNoise:
    log_shot = rng.uniform(*np.log(_SHOT))
    shot = math.exp(log_shot)
    read = math.exp(_READ_SLOPE * log_shot + _READ_OFFSET + rng.normal(0, _READ_SPREAD))
    row = read * float(rng.uniform(0.02, 0.2)) if rng.random() < 0.1 else 0.0
    return CameraNoise(shot, read, row)


def _draw_development(rng: np.random.Generator) -> Development:
    weights = rng.uniform(1e-8, 1, len(_XYZ_TO_CAMERAS))
    matrix = np.tensordot(weights / weights.sum(), _XYZ_TO_CAMERAS, axes=1) @ _RGB_TO_XYZ
    exposure = 1 / float(rng.normal(0.8, 0.1))  # Brooks et al.: gains invert a brightness of 0.8 +- 0.1
    red, blue = float(rng.uniform(1.9, 2.4)), float(rng.uniform(1.5, 1.9))
    return Development(
        matrix=matrix / matrix.sum(axis=1, keepdims=True),
        gains=(exposure * red, exposure, exposure * blue),
        tone_curve=bool(rng.random() < 0.7),
        demosaicing="edge-aware" if rng.random() < 0.6 else "bilinear",
    )


def _draw_file(rng: np.random.Generator) -> tuple[int | None, Subsampling]:
    """A camera's own JPEG mostly; of lower quality where it was sent on; or none."""
    subsampling: Subsampling = "444" if rng.random() < 0.35 else "420"
    kind = rng.random()
    if kind < 0.7:
        return int(rng.integers(60, 99)), subsampling
    if kind < 0.8:
        return int(rng.integers(20, 60)), subsampling
    return None, subsampling


def _draw_reduction(rng: np.random.Generator) -> NoiseReduction | None:
    if rng.random() < 0.12:
        return None
    return NoiseReduction(
        luma_radius=float(rng.uniform(0.2, 1.0)),
        chroma_radius=float(np.exp(rng.uniform(np.log(2), np.log(9)))),
        remainder=float(rng.uniform(0.0, 0.04)),
    )


def _blurred(image: FloatImage, radius: float) -> FloatImage:
    if radius < _LEAST_RADIUS:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), radius), dtype=np.float32)
