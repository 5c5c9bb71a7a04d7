"""The camera: hand-computed noise, a way there and back, and noise like that of real pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from vheatir.data.camera import (
    CameraNoise,
    CameraShot,
    Demosaicing,
    Development,
    Lens,
    NoiseReduction,
    add_noise,
    draw_shot,
    noise_deviation,
)

FloatImage = NDArray[np.float32]
PLAIN = Development(matrix=np.eye(3), gains=(1.0, 1.0, 1.0), tone_curve=False, mosaic=False)
SILENT = CameraNoise(0.0, 0.0)


def smooth_photo(side: int = 96) -> FloatImage:
    """Slopes in three directions, nowhere near black or white, in 8-bit units."""
    y, x = np.mgrid[0:side, 0:side] / side
    return np.stack([60 + 100 * x, 70 + 90 * y, 180 - 60 * x - 50 * y], axis=-1).astype(np.float32)


# noise


def test_noise_has_the_variance_of_shot_and_read_noise() -> None:
    """Shot 0.01 and read 0.0001: at a signal of 0.25 a variance of 0.0025 + 0.0001, a deviation of 0.05099."""
    noise = CameraNoise(shot=0.01, read=0.0001)
    assert noise_deviation(0.25, noise) == pytest.approx(math.sqrt(0.0026))
    sensed = np.full((400, 400, 3), 0.25, dtype=np.float32)
    noisy = add_noise(sensed, noise, np.random.default_rng(0))
    error = (noisy - sensed).astype(np.float64)
    assert error.std() == pytest.approx(0.0509902, rel=0.01)  # standard error 0.1 %
    assert abs(error.mean()) < 0.0005


def test_without_light_there_is_read_noise_alone() -> None:
    dark = np.zeros((300, 300, 3), dtype=np.float32)
    noisy = add_noise(dark, CameraNoise(shot=0.01, read=0.0004), np.random.default_rng(0))
    assert noisy.std() == pytest.approx(0.02, rel=0.01)
    assert noisy.min() < -0.05  # below black as well as above


def test_row_noise_is_the_same_along_a_row() -> None:
    dark = np.zeros((500, 40, 3), dtype=np.float32)
    noise = CameraNoise(shot=0.0, read=0.0, row=0.0009)
    noisy = add_noise(dark, noise, np.random.default_rng(0))
    assert (noisy == noisy[:, :1, :1]).all()
    assert noisy[:, 0, 0].std() == pytest.approx(0.03, rel=0.1)
    assert noise_deviation(0.0, noise) == pytest.approx(0.03)


def test_a_full_pixel_holds_no_more() -> None:
    noisy = add_noise(np.ones((50, 50, 3), dtype=np.float32), CameraNoise(0.01, 0.0), np.random.default_rng(0))
    assert noisy.max() == 1
    assert noisy.min() < 0.9


# there and back


@pytest.mark.parametrize("tone_curve", [True, False])
def test_values_of_the_sensor_by_hand(tone_curve: bool) -> None:
    """Half gray by gamma 2.2 alone is 0.5^2.2 = 0.2176; the tone curve leaves a half at a half. Gains divide."""
    development = replace(PLAIN, gains=(2.0, 1.25, 1.6), tone_curve=tone_curve)
    sensed = development.sense(np.full((1, 1, 3), 0.5, dtype=np.float32))
    np.testing.assert_allclose(sensed[0, 0], 0.5**2.2 / np.array([2.0, 1.25, 1.6]), rtol=1e-4)


def test_the_matrix_mixes_colours_and_keeps_gray() -> None:
    matrix = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    development = replace(PLAIN, matrix=matrix)
    red = development.sense(np.array([[[1.0, 0.0, 0.0]]], dtype=np.float32))
    np.testing.assert_allclose(red[0, 0], [0.8, 0.2, 0.0], atol=1e-5)
    gray = development.sense(np.full((1, 1, 3), 0.5, dtype=np.float32))
    np.testing.assert_allclose(gray[0, 0], 0.5**2.2, rtol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_any_camera_returns_a_photograph_without_noise(seed: int) -> None:
    """Smooth, so that demosaicing has nothing to lose; to 1/255."""
    development = draw_shot(np.random.default_rng(seed)).development
    photo = smooth_photo() / np.float32(255)
    again = development.develop(development.sense(photo))
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(again[inner], photo[inner], atol=1 / 255)


def test_a_camera_without_a_mosaic_returns_any_photograph() -> None:
    development = replace(draw_shot(np.random.default_rng(3)).development, mosaic=False)
    photo = data.astronaut().astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(development.develop(development.sense(photo)), photo, atol=1 / 255)


@pytest.mark.parametrize("demosaicing", ["bilinear", "edge-aware"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_mosaic_keeps_colours_in_their_places(demosaicing: Demosaicing, channel: int) -> None:
    development = replace(PLAIN, mosaic=True, demosaicing=demosaicing)
    photo = np.zeros((16, 16, 3), dtype=np.float32)
    photo[..., channel] = 1
    np.testing.assert_allclose(development.develop(photo)[4:-4, 4:-4], photo[4:-4, 4:-4], atol=2e-3)


# the lens


def test_the_lens_enlarges_and_blurs() -> None:
    photo = np.zeros((20, 20, 3), dtype=np.float32)
    photo[:, 10:] = 1
    enlarged = Lens(magnification=2.0).project(photo, 40)
    np.testing.assert_allclose(enlarged[:, [4, 17, 22, 35]], photo[[0, 0]].repeat(20, 0)[:, [2, 8, 11, 17]], atol=0.08)
    blurred = Lens(blur=2.0).project(photo, 20)
    # a step becomes the normal distribution's: 0.5 px beside it, Phi(0.25), 2.5 px beside it, Phi(1.25)
    np.testing.assert_allclose(blurred[5, [7, 9, 10, 12], 0], [0.1056, 0.4013, 0.5987, 0.8944], atol=0.01)


def test_a_photograph_through_a_lens_is_what_it_should_be() -> None:
    """The blur is in photograph and target: a network that learnt otherwise would sharpen."""
    shot = CameraShot(SILENT, PLAIN, lens=Lens(magnification=2.0, blur=1.0))
    side = shot.source_size(64)
    assert side == 40  # (64 + 2 * 8) / 2
    photo, target, _ = shot.take(data.astronaut()[:side, :side], 64, np.random.default_rng(0))
    np.testing.assert_allclose(photo, target, atol=0.51 / 255)


def fine_detail(photo: NDArray[np.float64]) -> float:
    """Power of what is finer than 4 px over that of what is coarser, in decibels."""
    gray = photo.mean(axis=2)
    fine = gray - cv2.GaussianBlur(gray, (0, 0), 1.0)
    coarse = cv2.GaussianBlur(gray, (0, 0), 1.0) - cv2.GaussianBlur(gray, (0, 0), 8.0)
    return float(10 * np.log10(np.square(fine).mean() / np.square(coarse).mean()))


def test_photographs_have_as_little_fine_detail_as_real_ones(data_root: Path) -> None:
    files = sorted((data_root / "real" / "PolyU").glob("*_mean.JPG"))
    assert len(files) >= 50
    real = np.quantile([fine_detail(read(file)) for file in files], [0.1, 0.5, 0.9])
    photos = sorted((data_root / "train" / "CID22").iterdir())[:80]
    made = []
    for seed, path in enumerate(photos):
        rng = np.random.default_rng(seed)
        shot = draw_shot(rng)
        side = shot.source_size(160)
        photo = read(path).astype(np.uint8)
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        _, target, _ = shot.take(photo[top : top + side, left : left + side], 160, rng)
        made.append(fine_detail((255 * target).round().astype(np.float64)))
    low, middle, high = np.quantile(made, [0.1, 0.5, 0.9])
    assert abs(middle - real[1]) < 4
    assert low < real[0] + 1  # and it knows softer and sharper ones than these
    assert high > real[2] - 1


# the whole


@pytest.mark.parametrize("seed", range(12))
def test_photographs_and_targets_have_the_size_asked_for(seed: int) -> None:
    shot = draw_shot(np.random.default_rng(seed))
    side = shot.source_size(40)
    photo, target, uncompressed = shot.take(data.astronaut()[:side, :side], 40, np.random.default_rng(0))
    for image in (photo, target, uncompressed):
        assert image.shape == (40, 40, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
    for image in (photo, uncompressed):
        np.testing.assert_allclose(image * 255, (image * 255).round(), atol=1e-4)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_target_goes_the_same_way_without_noise_and_compression(scale: float) -> None:
    shot = CameraShot(SILENT, PLAIN, sharpening=0.5, scale=scale)
    side = shot.source_size(32)
    photo, target, _ = shot.take(smooth_photo()[:side, :side].astype(np.uint8), 32, np.random.default_rng(0))
    np.testing.assert_allclose(photo, target, atol=0.51 / 255)


def test_compression_hurts_the_photograph_alone() -> None:
    shot = CameraShot(SILENT, PLAIN, quality=20)
    side = shot.source_size(48)
    photo, target, uncompressed = shot.take(data.astronaut()[:side, :side], 48, np.random.default_rng(0))
    assert np.abs(photo - target).mean() > 0.01
    np.testing.assert_allclose(uncompressed, target, atol=0.51 / 255)


def test_the_camera_smooths_the_noise_of_the_colours_and_no_detail() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 200, 3)).astype(np.float32)
    left = NoiseReduction(luma_radius=0.0, chroma_radius=3.0, remainder=0.0).apply(noise)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(left @ luma, noise @ luma, atol=1e-5)
    difference, before = left[..., 0] - left[..., 1], noise[..., 0] - noise[..., 1]
    assert difference.std() < 0.15 * before.std()  # white noise smoothed by radius 3 keeps 1 / (2 sqrt(pi) 3) = 0.094
    everything = NoiseReduction(luma_radius=0.0, chroma_radius=3.0, remainder=1.0).apply(noise)
    np.testing.assert_allclose(everything, noise, atol=1e-5)


def test_draws_are_of_the_seed_alone() -> None:
    one, same, other = (draw_shot(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one.noise, one.quality, one.scale) == (same.noise, same.quality, same.scale)
    assert one.noise != other.noise


def statistics(error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of the green noise with its neighbour, of red with green; that of red - green with its neighbour."""
    error = error - cv2.GaussianBlur(error, (0, 0), 8)
    red, green = error[..., 0], error[..., 1]
    chroma = red - green

    def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    return np.array(
        [
            correlation(green[:, 1:], green[:, :-1]),
            correlation(red, green),
            correlation(chroma[:, 1:], chroma[:, :-1]),
        ]
    )


def read(path: Path) -> NDArray[np.float64]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1].astype(np.float64)


def synthetic_statistics(photo: NDArray[np.uint8], count: int = 60) -> NDArray[np.float64]:
    rows = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        shot = draw_shot(rng)
        side = shot.source_size(128)
        _, target, uncompressed = shot.take(photo[:side, :side], 128, rng)
        rows.append(statistics((uncompressed - target).astype(np.float64)))
    return np.median(rows, axis=0)


def test_noise_is_correlated_as_that_of_real_cameras(data_root: Path) -> None:
    real = []
    for path in sorted((data_root / "real" / "PolyU").glob("*_real.JPG")):
        noisy, mean = (read(file) for file in (path, path.with_name(path.name.replace("_real", "_mean"))))
        real.append(statistics(noisy - mean))
    assert len(real) >= 50
    synthetic = synthetic_statistics(data.astronaut())
    np.testing.assert_allclose(synthetic, np.median(real, axis=0), atol=0.2)
