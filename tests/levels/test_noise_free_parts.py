"""Pictures, parts of which hold no noise; and pictures of patterns that are no noise."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PillowImage
from skimage import data

import vheatir
from vheatir.imageio.images import Image
from vheatir.imageio.write import write_image
from vheatir.levels.blocks import unsilenced
from vheatir.levels.grain import estimate_noise

Array = npt.NDArray[Any]

SIGMA: Final = 25
Y, X = np.mgrid[0:256, 0:256]


def as_bytes(image: Array) -> Array:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def noisy(image: Array, sigma: float = SIGMA) -> Array:
    return as_bytes(image + np.random.default_rng(0).normal(0, sigma, image.shape))


def photo(side: int = 256) -> Array:
    return np.asarray(data.astronaut()[:side, 128 : 128 + side])


def gray_photo(side: int = 256) -> Array:
    return np.asarray(data.camera()[100 : 100 + side, 100 : 100 + side])


def page(side: int = 256) -> Array:
    """Lines of letters, antialiased, on a gray page."""
    picture = np.full((side, side), 235, np.uint8)
    for row in range(14, side, 16):
        cv2.putText(picture, "the quick brown fox jumps", (4, row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 20, 1, cv2.LINE_AA)
    return picture


def as_jpeg(image: Array, quality: int) -> Array:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(PillowImage.open(buffer))


def letterbox(image: Array, value: int) -> None:
    image[:40] = image[-40:] = value


def thin_bars(image: Array, value: int) -> None:
    image[:3] = image[-3:] = image[:, :3] = image[:, -3:] = value


def frame(image: Array, value: int) -> None:
    image[:30] = image[-30:] = image[:, :25] = image[:, -25:] = value


def lines(image: Array, value: int) -> None:
    image[::8] = value


def nearly_all(image: Array, value: int) -> None:
    kept = image[80:160, 80:160].copy()
    image[:] = value
    image[80:160, 80:160] = kept


def corners(image: Array, value: int) -> None:
    image[np.hypot(Y - 128, X - 128) > 140] = value


def one_bar_of_color(image: Array, value: int) -> None:
    image[:, :50] = value if image.ndim == 2 else (value, 20, 255 - value)


def dithered_bars(image: Array, value: int) -> None:
    image[:40] = value + np.random.default_rng(1).integers(-1, 2, image[:40].shape)
    image[-40:] = value + np.random.default_rng(2).integers(0, 2, image[-40:].shape)


def faint_noise(image: Array, value: int) -> None:
    image[:128] = as_bytes(value + np.random.default_rng(1).normal(0, 0.7, image[:128].shape))


def dithered_gradient(image: Array, value: int) -> None:
    ramp = (value / 4 + 0.3 * X + 0.2 * Y)[:90]
    ramp = ramp if image.ndim == 2 else ramp[..., None]
    image[:90] = as_bytes(ramp + np.random.default_rng(1).random(image[:90].shape) - 0.5)


def clean_strip(image: Array, value: int) -> None:
    strip = as_bytes(data.coffee()[100:148, 100:356] * (value / 255))
    image[-48:] = strip if image.ndim == 3 else cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)


def drawn_gradient(image: Array, value: int) -> None:
    ramp = as_bytes(value / 4 + 0.3 * X + 0.2 * Y)[:50]
    image[:50] = ramp if image.ndim == 2 else ramp[..., None]


def screenshot(image: Array, value: int) -> None:
    shot = page(150)
    image[50:200, 50:200] = shot if image.ndim == 2 else shot[..., None]
    image[60:90, 60:190] = value


PARTS: Final = (letterbox, thin_bars, frame, lines, nearly_all, corners, drawn_gradient, screenshot)
FAINT_PARTS: Final = (one_bar_of_color, dithered_bars, faint_noise, dithered_gradient, clean_strip)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [16, 128, 250])
@pytest.mark.parametrize("taken", [photo, gray_photo])
def test_noise_is_measured_where_it_is(part: Callable[[Array, int], None], value: int, taken: Any) -> None:
    image = noisy(taken())
    part(image, value)
    found = estimate_noise(image)
    assert not found.is_grain
    assert found.level == pytest.approx(SIGMA, rel=0.12)


@pytest.mark.parametrize("part", FAINT_PARTS)
@pytest.mark.parametrize("sigma", [6, 25])
@pytest.mark.parametrize("taken", [photo, gray_photo])
def test_parts_that_hold_hardly_any_noise_do_not_count(
    part: Callable[[Array, int], None], sigma: float, taken: Any
) -> None:
    image = noisy(taken(), sigma)
    part(image, 120)
    assert estimate_noise(image).level == pytest.approx(sigma, rel=0.12)
    deep = image.astype(np.uint16) * 257
    assert estimate_noise(deep).level == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("place", [np.s_[128:], np.s_[:, :64], np.s_[64:192, 64:192]], ids=["half", "left", "middle"])
def test_noise_of_a_part_is_measured(place: Any) -> None:
    clean = photo()
    image = clean.copy()
    image[place] = noisy(clean)[place]
    assert estimate_noise(image).level == pytest.approx(SIGMA, rel=0.15)
    assert estimate_noise(clean).level < 2


@pytest.mark.parametrize("share", [0.25, 1])
def test_noise_of_light_is_measured_where_there_is_light(share: float) -> None:
    """Shadows have less: the root mean square of the whole is what to expect, roughly."""
    clean = photo()
    image = as_bytes(np.random.default_rng(0).poisson(clean * share) / share)
    assert estimate_noise(image).level == pytest.approx(np.sqrt(clean.mean() / share), rel=0.25)


@pytest.mark.parametrize("sigma", [6, 12, 25, 50])
@pytest.mark.parametrize("paper", [np.full((256, 256), 255, np.uint8), page() + 20, np.zeros((128, 128), np.uint8)])
def test_noise_that_white_and_black_cut_off_is_measured(paper: Array, sigma: float) -> None:
    assert estimate_noise(noisy(paper, sigma)).level == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("sigma", [12, 25])
@pytest.mark.parametrize("value", [0, 255])
def test_noisy_paper_becomes_white_and_ink_black(sigma: float, value: int) -> None:
    restored = vheatir.restore(noisy(np.full((96, 96), value, np.uint8), sigma), task="denoise", sigma="auto")
    assert abs(float(np.mean(restored)) - value) < 1


def test_dots_are_no_noise() -> None:
    """Stars, dust, dead pixels: each spreads evenly over the coefficients of its block."""
    stars = photo()
    stars[np.random.default_rng(0).random(stars.shape[:2]) > 0.997] = 255
    assert estimate_noise(stars).level < 3


def test_flat_bars_that_went_through_jpeg() -> None:
    image = noisy(photo())
    letterbox(image, 90)
    bare = as_jpeg(noisy(photo())[40:-40], 92)
    assert estimate_noise(as_jpeg(image, 92)).level == pytest.approx(estimate_noise(bare).level, rel=0.15)


def test_white_sky_holds_no_noise() -> None:
    clean = photo()
    clean[:100] = 255
    assert estimate_noise(noisy(clean)).level == pytest.approx(SIGMA, rel=0.12)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_what_is_transparent_does_not_count(tmp_path: Path, suffix: str) -> None:
    image, alpha = noisy(photo()), np.full((256, 256), 255, np.uint8)
    alpha[:, :170] = 0
    image[:, :170] = noisy(np.full((256, 170, 3), 120), 3)  # left over under the transparency
    path = tmp_path / f"a{suffix}"
    write_image(path, Image(image, alpha))
    result = vheatir.Restorer("denoise", device="cpu").restore_file(path, tmp_path / f"b{suffix}", sigma="auto")
    assert result.levels.sigma == pytest.approx(SIGMA, rel=0.12)


@pytest.mark.parametrize(
    "clean",
    [
        np.full((256, 256), 90, np.uint8),
        as_bytes(10 + 0.4 * X + 0.3 * Y),
        as_bytes(np.stack([0.8 * X, 0.7 * Y, 255 - 0.5 * X - 0.3 * Y], -1)),
        np.where((X > 60) & (Y > 100) & (X < 200), np.uint8(190), np.uint8(90)),
        page(),
        as_jpeg(page(), 80),
        cv2.resize(page(512), (300, 300), interpolation=cv2.INTER_AREA),
    ],
    ids=["flat", "ramp", "colours", "box", "page", "page jpeg", "page smaller"],
)
def test_drawn_pictures_hold_no_noise(clean: Array) -> None:
    assert estimate_noise(clean).level < 1


# ------------------------------------------------------------------------------------------------------- patterns


def ordered(gray: Array, side: int, levels: int = 2) -> Array:
    thresholds = np.array([[0.0]])
    while len(thresholds) < side:
        thresholds = np.block([[4 * thresholds, 4 * thresholds + 2], [4 * thresholds + 3, 4 * thresholds + 1]])
    tiled = np.tile((thresholds + 0.5) / side**2, (256 // side, 256 // side))
    return as_bytes(np.floor(gray / 255 * (levels - 1) + tiled) * 255 / (levels - 1))


def diffused(gray: Array) -> Array:
    return np.asarray(PillowImage.fromarray(gray).convert("1").convert("L"))


def raster(gray: Array, period: float, angle: float, softness: float = 1.0) -> Array:
    """Dots as print has them."""
    turn = np.deg2rad(angle)
    u, v = X * np.cos(turn) + Y * np.sin(turn), Y * np.cos(turn) - X * np.sin(turn)
    threshold = (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)) / 4 + 0.5
    return as_bytes(255 / (1 + np.exp(-(gray / 255 - threshold) * 12 / softness)))


def modules(side: int) -> Array:
    """Squares of black and white, as in a QR code."""
    return np.kron(np.random.default_rng(0).integers(0, 2, (32, 32)) * 255, np.ones((side, side))).astype(np.uint8)


def of_each_color(make: Callable[..., Array], *arguments: Any) -> Array:
    return np.stack([make(photo()[..., channel], *arguments) for channel in range(3)], axis=-1)


def screens(period: float, angle: float) -> Array:
    """Colours as print has them: each with its own angle."""
    return np.stack([raster(photo()[..., channel], period, angle + 30 * channel) for channel in range(3)], axis=-1)


def in_palette(colors: int) -> Array:
    palette = PillowImage.fromarray(photo()).quantize(colors, method=PillowImage.Quantize.MEDIANCUT)
    dithered = PillowImage.fromarray(photo()).quantize(palette=palette, dither=PillowImage.Dither.FLOYDSTEINBERG)
    return np.asarray(dithered.convert("RGB"))


def diffused_to(levels: int) -> Array:
    step = 255 / (levels - 1)
    fixed = np.repeat(np.rint(np.arange(levels) * step).astype(np.uint8), 3).tolist()
    palette = PillowImage.new("P", (1, 1))
    palette.putpalette(fixed)
    gray = PillowImage.fromarray(GRAY).convert("RGB")
    return np.asarray(gray.quantize(palette=palette, dither=PillowImage.Dither.FLOYDSTEINBERG).convert("L"))


GRAY = gray_photo()
PATTERNS: Final[dict[str, Array]] = {
    **{f"checkerboard {side}": ((X // side + Y // side) % 2 * 255).astype(np.uint8) for side in (1, 2, 3, 5, 8)},
    "gray checkerboard": ((X // 2 + Y // 2) % 2 * 80 + 80).astype(np.uint8),
    "checkerboard jpeg": as_jpeg(((X // 2 + Y // 2) % 2 * 255).astype(np.uint8), 90),
    **{f"ordered {side}": ordered(GRAY, side) for side in (2, 4, 8)},
    "ordered, 4 levels": ordered(GRAY, 4, 4),
    "diffused": diffused(GRAY),
    "diffused, gray border": np.pad(diffused(GRAY), 30, constant_values=128),
    "diffused, smoothed": cv2.GaussianBlur(diffused(GRAY), (0, 0), 0.6),
    "diffused, jpeg": as_jpeg(diffused(GRAY), 85),
    **{f"raster {p}, {a}": raster(GRAY, p, a) for p, a in ((4, 45), (5.3, 15), (6, 0), (7, 75), (9, 30))},
    "raster 8.5, 37": raster(GRAY, 8.5, 37),
    **{f"screens {p}, {a}": screens(p, a) for p, a in ((3.7, 15), (4, 45), (4.6, 22), (5.3, 15), (6, 45))},
    "ordered colours": of_each_color(ordered, 8, 8),
    **{f"diffused to {levels}": diffused_to(levels) for levels in (4, 8, 16)},
    **{f"palette of {colors}": in_palette(colors) for colors in (16, 64, 256)},
    "web colours": np.asarray(PillowImage.fromarray(photo()).convert("P").convert("RGB")),
    "soft raster": raster(GRAY, 5.3, 20, 2.5),
    "raster jpeg": as_jpeg(raster(GRAY, 5.3, 20), 85),
    "raster smaller": cv2.resize(raster(GRAY, 5.3, 20), (205, 205), interpolation=cv2.INTER_AREA),
    **{f"waves {p}": as_bytes(128 + 80 * np.sin(2 * np.pi * X / p)) for p in (2, 3, 4.7, 11)},
    **{f"stripes {p}": as_bytes(255 * (np.sin(2 * np.pi * (X + 0.4 * Y) / p) > 0)) for p in (3, 4.7, 7.3)},
    "code": modules(6),
    "code, smaller": cv2.resize(modules(6), (160, 160), interpolation=cv2.INTER_AREA),
    "code, smoothed": cv2.GaussianBlur(modules(4), (0, 0), 0.7),
    "code, a little smaller": cv2.resize(modules(4), (100, 100), interpolation=cv2.INTER_AREA),
    "code, jpeg": as_jpeg(modules(6), 85),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_no_noise(name: str) -> None:
    assert estimate_noise(PATTERNS[name]).level < 2


@pytest.mark.parametrize(
    "clean",
    [page(), modules(8) * 0.7 + 40, 128 + 60 * np.sin(2 * np.pi * X / 7.3), photo()],
    ids=["page", "code", "waves", "photo"],
)
@pytest.mark.parametrize("sigma", [8, 20])
def test_noise_on_patterns_is_measured(clean: Array, sigma: float) -> None:
    assert estimate_noise(noisy(clean * 0.8 + 20, sigma)).level == pytest.approx(sigma, rel=0.12)


def test_which_blocks_hold_no_noise() -> None:
    random = np.random.default_rng(0).random((6, 8, 8)).astype(np.float32)
    random[1, 2:4] = 0.3  # two rows of one value; they need not be the same
    random[2, :, 5], random[2, :, 7] = 0.1, 0.9
    random[3, 2] = 0.3  # one row
    random[4] = random[4] > 0.5
    random[5] = 0.5 + np.floor(4 * random[5]) / 255  # four values next to each other: weak noise, rounded
    assert len(unsilenced(random, least=1)) == 3
    assert len(unsilenced(random, least=4)) == 0
    assert len(unsilenced(random[:1], least=4)) == 1
