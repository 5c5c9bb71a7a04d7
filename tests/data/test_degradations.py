from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from vheatir.data import degradations
from vheatir.data.color import full_to_studio_swing, rgb_to_studio_luma
from vheatir.data.degradations import (
    GaussianNoise,
    JpegCompression,
    benchmark_noise,
    encode_jpeg,
)
from vheatir.nn.condition import jpeg_condition, noise_condition

GRAY: NDArray[np.uint8] = data.camera()
COLOR: NDArray[np.uint8] = data.astronaut()


@pytest.mark.parametrize(
    ("rgb", "luma"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81),  # 16 + 65.481
        ((0, 255, 0), 145),  # 16 + 128.553
        ((0, 0, 255), 41),  # 16 + 24.966
        ((100, 150, 200), 137),  # 16 + 25.679 + 75.619 + 19.581 = 136.879
    ],
)
def test_matlab_luma_by_hand(rgb: tuple[int, int, int], luma: int) -> None:
    result = rgb_to_studio_luma(np.array([[rgb]], dtype=np.uint8))
    assert result.dtype == np.uint8
    assert result.tolist() == [[luma]]


def test_studio_swing_of_gray() -> None:
    gray = np.arange(256, dtype=np.uint8)
    studio = full_to_studio_swing(gray)
    assert studio[[0, 128, 255]].tolist() == [16, 126, 235]  # 16 + 128 * 219/255 = 125.93
    np.testing.assert_array_equal(studio, rgb_to_studio_luma(np.repeat(gray[None, :, None], 3, axis=2))[0])


def test_levels() -> None:
    assert noise_condition(51) == pytest.approx(0.2)
    assert jpeg_condition(10) == pytest.approx(0.9)
    assert jpeg_condition(100) == 0


# Noise


@pytest.mark.parametrize("shape", [(256, 256), (160, 160, 3)])
def test_noise_is_white_and_has_the_standard_deviation(shape: tuple[int, ...]) -> None:
    clean = np.full(shape, 250, dtype=np.uint8)
    noisy, same, level = GaussianNoise(25, 25)(clean, np.random.default_rng(0))
    assert same is clean
    assert noisy.dtype == np.float32
    assert level == pytest.approx(25 / 255)
    noise = noisy.astype(np.float64) * 255 - 250
    assert noise.std() == pytest.approx(25, rel=0.01)  # standard error 0.3 %
    assert abs(noise.mean()) < 0.5  # standard error 0.1
    for axis in range(noise.ndim):
        neighbours = np.moveaxis(noise, axis, 0)
        correlation = np.corrcoef(neighbours[1:].ravel(), neighbours[:-1].ravel())[0, 1]
        assert abs(correlation) < 0.02
    assert noisy.max() > 1.1  # neither clipped
    assert len(np.unique(noisy)) > 50_000  # nor rounded


def test_noise_levels_fill_the_range() -> None:
    noise, clean, rng = GaussianNoise(5, 40), np.zeros((2, 2), dtype=np.uint8), np.random.default_rng(0)
    sigmas = np.array([255 * noise(clean, rng)[2] for _ in range(2000)])
    counts, _ = np.histogram(sigmas, bins=5, range=(5, 40))
    assert counts.sum() == 2000
    assert counts.min() > 320  # 400 each, standard deviation 18
    assert counts.max() < 480


def test_listed_noise_levels_are_equally_likely() -> None:
    noise, clean, rng = GaussianNoise(choices=(15, 25, 50)), np.zeros((2, 2), dtype=np.uint8), np.random.default_rng(0)
    sigmas, counts = np.unique([round(255 * noise(clean, rng)[2], 6) for _ in range(900)], return_counts=True)
    assert sigmas.tolist() == [15, 25, 50]
    assert counts.min() > 240  # 300 each, standard deviation 14


def test_noise_follows_its_generator_alone() -> None:
    noise = GaussianNoise(0, 55)
    first, _, _ = noise(GRAY, np.random.default_rng(7))
    np.random.seed(1)
    again, _, _ = noise(GRAY, np.random.default_rng(7))
    other, _, _ = noise(GRAY, np.random.default_rng(8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01


@pytest.mark.parametrize(("low", "high"), [(-1, 5), (30, 20), (0, 256)])
def test_impossible_noise(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="sigma must satisfy 0 <= low <= high <= 255"):
        GaussianNoise(low, high)
    with pytest.raises(ValueError, match="sigmas must lie within 0 to 255"):
        GaussianNoise(choices=(15, 300))


@pytest.mark.parametrize("sigma", [15, 50])
def test_benchmark_noise_is_that_of_swinirs_script(sigma: int) -> None:
    """Written out: cv2 reads BGR, float32 / 255, seed 0, normal, channels to RGB, torch's float()."""
    bgr = COLOR[:200, :150, [2, 1, 0]].astype(np.float32) / 255.0
    np.random.seed(seed=0)
    bgr = bgr + np.random.normal(0, sigma / 255.0, bgr.shape)
    expected = np.transpose(bgr[:, :, [2, 1, 0]], (2, 0, 1)).astype(np.float32)
    np.testing.assert_array_equal(benchmark_noise(COLOR[:200, :150], sigma).transpose(2, 0, 1), expected)

    gray = GRAY[:200, :150].astype(np.float32) / 255.0
    np.random.seed(seed=0)
    expected = (gray + np.random.normal(0, sigma / 255.0, (200, 150, 1))[..., 0]).astype(np.float32)
    np.testing.assert_array_equal(benchmark_noise(GRAY[:200, :150], sigma), expected)


def test_benchmark_noise_leaves_the_global_generator_alone() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    benchmark_noise(GRAY, 25)
    assert np.random.random() == expected


# JPEG


@pytest.mark.parametrize("quality", [10, 40])
def test_encoding_is_opencvs(quality: int) -> None:
    _, encoded = cv2.imencode(".jpg", GRAY, [cv2.IMWRITE_JPEG_QUALITY, quality])
    np.testing.assert_array_equal(encode_jpeg(GRAY, quality), np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)))
    _, encoded = cv2.imencode(".jpg", COLOR[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])  # 4:2:0 by default
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]
    np.testing.assert_array_equal(encode_jpeg(COLOR, quality), decoded)
    np.testing.assert_array_equal(encode_jpeg(COLOR, quality, "420"), decoded)


def test_chroma_subsampling() -> None:
    """Columns of red and blue by turns: 4:2:0 averages them to purple, 4:4:4 keeps them."""
    stripes = np.zeros((32, 32, 3), dtype=np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255

    def contrast(image: NDArray[np.uint8]) -> float:
        return float(image[:, ::2, 0].mean() - image[:, 1::2, 0].mean())

    assert contrast(encode_jpeg(stripes, 95, "444")) > 200
    assert contrast(encode_jpeg(stripes, 95, "420")) < 100


def test_level_and_quality_of_a_compressed_crop() -> None:
    crop = GRAY[:64, :64]
    degraded, clean, level = JpegCompression(30, 30)(crop, np.random.default_rng(0))
    assert level == pytest.approx(0.7)
    assert degraded.dtype == np.float32
    np.testing.assert_array_equal(clean, crop)
    np.testing.assert_array_equal(degraded, encode_jpeg(crop, 30).astype(np.float32) / 255)


def test_qualities_fill_the_range() -> None:
    compression, rng = JpegCompression(10, 14), np.random.default_rng(0)
    qualities = [round(100 - 100 * compression(GRAY[:8, :8], rng)[2]) for _ in range(500)]
    values, counts = np.unique(qualities, return_counts=True)
    assert values.tolist() == [10, 11, 12, 13, 14]
    assert counts.min() > 60  # 100 each, standard deviation 9


def test_both_subsamplings_occur() -> None:
    crop, rng = COLOR[100:132, 200:232], np.random.default_rng(0)
    compression = JpegCompression(50, 50, subsampling=("420", "444"))
    kinds = {kind: encode_jpeg(crop, 50, kind).astype(np.float32) / 255 for kind in ("420", "444")}
    counts = dict.fromkeys(kinds, 0)
    for _ in range(100):
        degraded, _, _ = compression(crop, rng)
        counts[next(kind for kind, image in kinds.items() if np.array_equal(image, degraded))] += 1
    assert min(counts.values()) > 30


class Recorder:
    """Stands in for ``encode_jpeg`` and remembers the qualities."""

    def __init__(self) -> None:
        self.qualities: list[int] = []

    def __call__(self, image: NDArray[np.uint8], quality: int, subsampling: Any) -> NDArray[np.uint8]:
        self.qualities.append(quality)
        return image


def test_double_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as asked for, at independent qualities; the level is that of the last one."""
    compression, rng = JpegCompression(10, 95, double=0.25), np.random.default_rng(0)
    crop = GRAY[: 16 + compression.margin, : 16 + compression.margin]
    pairs = []
    for _ in range(800):
        recorder = Recorder()
        monkeypatch.setattr(degradations, "encode_jpeg", recorder)
        _, _, level = compression(crop, rng)
        assert round(100 - 100 * level) == recorder.qualities[-1]
        pairs.append(recorder.qualities)
    twice = np.array([qualities for qualities in pairs if len(qualities) == 2])
    assert {len(qualities) for qualities in pairs} == {1, 2}
    assert 150 < len(twice) < 250  # 200, standard deviation 12
    assert abs(np.corrcoef(twice[:, 0], twice[:, 1])[0, 1]) < 0.25


def test_double_compression_degrades_further() -> None:
    compression, rng = JpegCompression(20, 20, double=1.0), np.random.default_rng(0)
    twice, once = 0.0, 0.0
    for _ in range(10):
        degraded, clean, _ = compression(COLOR[100:199, 180:279, 1], rng)
        twice += np.square(degraded * 255 - clean).mean()
        once += np.square(encode_jpeg(clean, 20).astype(float) - clean).mean()
    assert twice > 1.2 * once


def block_phase(image: NDArray[np.float32], axis: int) -> int:
    """Position of the block edges modulo 8: where steps stand out from their neighbours."""
    steps = np.abs(np.diff(image.astype(np.float64), axis=axis)).mean(axis=1 - axis)
    excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
    edges = np.arange(2, len(steps))  # a step between i - 1 and i is an edge before i
    return int(np.argmax([excess[edges % 8 == phase].mean() for phase in range(8)]))


def phases(compression: JpegCompression, count: int) -> NDArray[np.int64]:
    rng, side = np.random.default_rng(0), 128 + compression.margin
    crop = GRAY[90 : 90 + side, 190 : 190 + side]
    found = [compression(crop, rng)[0] for _ in range(count)]
    return np.array([[block_phase(image, 0), block_phase(image, 1)] for image in found])


def test_the_grid_begins_at_the_corner_without_a_phase() -> None:
    assert (phases(JpegCompression(10, 10), 3) == 0).all()


@pytest.mark.parametrize("double", [0.0, 0.5])
def test_the_grid_phase_moves_the_grid(double: float) -> None:
    """All 8 positions occur, in height and width independently, also of the last of two compressions."""
    found = phases(JpegCompression(10, 10, grid_phase=True, double=double), 120)
    for axis in (0, 1):
        counts = np.bincount(found[:, axis], minlength=8)
        assert counts.min() >= 5  # 15 each, standard deviation 3.6
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.3


@pytest.mark.parametrize(
    "compression",
    [
        JpegCompression(70, 90),
        JpegCompression(70, 90, grid_phase=True),
        JpegCompression(70, 90, double=1.0),
        JpegCompression(70, 90, double=0.5, grid_phase=True, subsampling=("420", "444"), studio_swing=0.5),
    ],
)
@pytest.mark.parametrize("image", [GRAY, COLOR], ids=["gray", "color"])
def test_both_crops_are_aligned(compression: JpegCompression, image: NDArray[np.uint8]) -> None:
    """The clean crop fits the degraded one better than the same crop moved by a pixel."""
    rng, side = np.random.default_rng(0), 48 + compression.margin
    for _ in range(10):
        degraded, clean, _ = compression(image[60 : 60 + side, 200 : 200 + side], rng)
        assert degraded.shape == clean.shape == (48, 48, *image.shape[2:])
        errors = {
            (top, left): np.abs(degraded[1:-1, 1:-1] - np.roll(clean, (top, left), (0, 1))[1:-1, 1:-1] / 255).mean()
            for top in (-1, 0, 1)
            for left in (-1, 0, 1)
        }
        assert min(errors, key=lambda shift: errors[shift]) == (0, 0)


def test_the_clean_crop_is_cut_not_changed() -> None:
    crop = np.random.default_rng(0).integers(256, size=(62, 62), dtype=np.uint8)
    places = set()
    for seed in range(40):
        compression = JpegCompression(50, 50, grid_phase=True, double=1.0)
        _, clean, _ = compression(crop, np.random.default_rng(seed))
        matches = [
            (top, left)
            for top in range(15)
            for left in range(15)
            if np.array_equal(crop[top : top + 48, left : left + 48], clean)
        ]
        assert len(matches) == 1
        places.add(matches[0])
    assert len(places) > 25


def test_studio_swing_of_training_crops() -> None:
    crop, rng = GRAY[:64, :64], np.random.default_rng(0)
    _, clean, _ = JpegCompression(50, 50, studio_swing=1.0)(crop, rng)
    np.testing.assert_array_equal(clean, full_to_studio_swing(crop))
    _, clean, _ = JpegCompression(50, 50, studio_swing=1.0)(COLOR[:64, :64], rng)
    np.testing.assert_array_equal(clean, COLOR[:64, :64])
    half = JpegCompression(50, 50, studio_swing=0.5)
    changed = [not np.array_equal(half(crop, rng)[1], crop) for _ in range(100)]
    assert 30 < sum(changed) < 70


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0, "high": 50}, "quality must satisfy 1 <= low <= high <= 100"),
        ({"low": 50, "high": 40}, "quality must satisfy"),
        ({"low": 10, "high": 101}, "quality must satisfy"),
        ({"low": 10, "high": 50, "double": 1.5}, "double is a probability"),
        ({"low": 10, "high": 50, "studio_swing": -0.1}, "studio_swing is a probability"),
        ({"low": 10, "high": 50, "subsampling": ("422",)}, 'subsampling is a list of "420" and "444"'),
        ({"low": 10, "high": 50, "subsampling": ()}, 'subsampling is a list of "420" and "444"'),
    ],
)
def test_impossible_compression(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JpegCompression(**options)


def test_qualities_drawn_evenly_in_the_logarithm() -> None:
    rng, crop = np.random.default_rng(0), np.zeros((8, 8), np.uint8)
    even, logarithmic = JpegCompression(10, 80), JpegCompression(10, 80, log_quality=True)
    drawn = {
        name: np.array([100 - 100 * draw(crop, rng)[2] for _ in range(3000)])
        for name, draw in (("even", even), ("log", logarithmic))
    }
    assert [(round(q.min()), round(q.max())) for q in drawn.values()] == [(10, 80)] * 2
    # as many in 10 to 19, 20 to 39 and 40 to 80: each doubles the quality
    shares = np.histogram(drawn["log"], bins=(9.5, 19.5, 39.5, 80.5))[0] / 3000
    np.testing.assert_allclose(shares, np.log([2, 2, 81 / 40]) / np.log(8.1), atol=0.03)
    assert np.mean(drawn["even"] < 39.5) == pytest.approx(30 / 71, abs=0.03)
