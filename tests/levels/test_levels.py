"""Levels that nobody knows: noise estimated, JPEG quality read from tables and from traces in the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from report_lines import read_report

import vheatir
import vheatir.weights.file
from vheatir.cli.main import main
from vheatir.data.degradations import encode_jpeg
from vheatir.data.prepare.pixels import to_luma
from vheatir.imageio.read import read_image
from vheatir.levels.jpeg_trace import estimate_jpeg_quality, grid_origin, lowest_jpeg_quality
from vheatir.levels.noise import estimate_sigma

Array = npt.NDArray[Any]
Captured = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("bundled")


def run(source: Path, output: Path, *options: str) -> int:
    return main(["restore", *options, "--device", "cpu", str(source), str(output)])


def save(path: Path, pixels: Array, *options: int) -> None:
    assert cv2.imwrite(str(path), pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1]), options)


# ------------------------------------------------------------------------------------------------ traces of JPEG


@pytest.mark.parametrize("quality", [20, 50, 75, 90])
@pytest.mark.parametrize("photo", [skimage.data.astronaut, skimage.data.coffee], ids=["astronaut", "coffee"])
def test_the_quality_of_a_compressed_image_is_read_from_its_pixels(photo: Callable[[], Array], quality: int) -> None:
    assert estimate_jpeg_quality(to_luma(encode_jpeg(photo(), quality))) == quality


def test_compression_shows_after_saving_at_high_quality() -> None:
    assert estimate_jpeg_quality(to_luma(encode_jpeg(encode_jpeg(skimage.data.astronaut(), 70), 96))) == 70


def test_clean_images_show_no_compression() -> None:
    noise = np.random.default_rng(0).normal(0, 25, skimage.data.chelsea().shape)
    noisy = np.clip(skimage.data.chelsea() + noise, 0, 255).astype(np.uint8)
    images = [skimage.data.astronaut(), skimage.data.camera(), skimage.data.coffee(), noisy]
    assert [lowest_jpeg_quality(image) for image in images] == [None] * 4


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (64, 64)])
def test_images_without_content_show_no_compression(shape: tuple[int, int]) -> None:
    assert estimate_jpeg_quality(np.full(shape, 77, np.uint8)) is None


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 0), (0, 7), (5, 2)])
@pytest.mark.parametrize("quality", [15, 60])
def test_an_image_cropped_after_compression_keeps_its_trace(top: int, left: int, quality: int) -> None:
    cropped = encode_jpeg(skimage.data.astronaut(), quality)[top:, left:]
    assert grid_origin(to_luma(cropped)) == (-top % 8, -left % 8)
    assert lowest_jpeg_quality(cropped) == quality


@pytest.mark.parametrize("shift", [0, 4])
def test_the_lower_of_two_compressions_counts(shift: int) -> None:
    once = encode_jpeg(skimage.data.camera(), 25)[shift:, shift:]
    twice = encode_jpeg(once, 90)
    assert estimate_jpeg_quality(twice) == (25 if shift == 0 else 90)
    assert lowest_jpeg_quality(twice) == 25


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_traces_are_found_in_any_type_and_in_the_middle_of_large_images(dtype: Any) -> None:
    large = np.tile(encode_jpeg(skimage.data.camera(), 40), (5, 5))[:, 2:]
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    assert lowest_jpeg_quality((large * np.float32(scale)).astype(dtype)) == 40


def test_files_that_were_jpegs_once_are_restored_at_their_quality(
    source: Path, output: Path, tmp_path: Path, capsys: Captured
) -> None:
    photo = skimage.data.astronaut()
    save(source / "once.png", encode_jpeg(photo, 30))
    save(source / "twice.jpg", encode_jpeg(photo, 30)[4:, 4:], cv2.IMWRITE_JPEG_QUALITY, 90)
    save(source / "own.jpg", photo, cv2.IMWRITE_JPEG_QUALITY, 70)
    save(source / "never.png", photo)
    report = tmp_path / "out.json"
    assert run(source, output, "--task", "jpeg", "--report", str(report)) == 1
    levels = {Path(record["file"]).name: record["level"] for record in read_report(report)}
    assert levels == {"once.png": 30, "twice.jpg": 30, "own.jpg": 70, "never.png": None}
    out, err = capsys.readouterr()
    assert "quality 30 (estimated)" in out
    assert "quality 30 (estimated, of an earlier compression than the file's 90)" in out
    assert "quality 70 (read from the file)" in out
    assert "never.png shows no trace of JPEG compression: give --quality" in err
    expected = vheatir.restore(encode_jpeg(photo, 30), task="jpeg", quality=30, device="cpu")
    assert np.array_equal(read_image(output / "once.png").pixels, expected)
    assert np.array_equal(vheatir.restore(encode_jpeg(photo, 30), task="jpeg", quality="auto", device="cpu"), expected)
    with pytest.raises(ValueError, match="no trace of JPEG compression; give its quality"):
        vheatir.restore(photo, task="jpeg", quality="auto")


# ------------------------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_noise_is_estimated(sigma: float, dtype: Any) -> None:
    ramp = np.add.outer(np.arange(256.0), np.arange(256.0)) / 5 + 80
    noisy = np.clip(ramp + np.random.default_rng(0).normal(0, sigma, ramp.shape), 0, 255)
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    (found,) = estimate_sigma((noisy * scale).astype(dtype))
    assert found == pytest.approx(sigma, rel=0.06)


def test_auto_is_what_was_estimated(source: Path, output: Path, tmp_path: Path, capsys: Captured) -> None:
    noise = np.random.default_rng(0).normal(0, (5, 20, 10), (120, 120, 3))
    image = np.rint(128 + noise).astype(np.uint8)
    save(source / "a.png", image)
    report = tmp_path / "out.json"
    assert run(source, output, "--task", "denoise", "--sigma", "auto", "--report", str(report)) == 0
    (record,) = read_report(report)
    assert record["level"] == pytest.approx(np.sqrt((25 + 400 + 100) / 3), rel=0.05)
    assert "(estimated, by channel 4.9, 19.4, 10.2)" in capsys.readouterr().out
    expected = vheatir.restore(image, task="denoise", sigma=record["level"], device="cpu")
    assert np.array_equal(read_image(output / "a.png").pixels, expected)
    assert np.array_equal(vheatir.restore(image, task="denoise", sigma="auto", device="cpu"), expected)


def test_strength_scales_the_level(source: Path, output: Path) -> None:
    image = np.random.default_rng(0).integers(60, 120, (16, 16), dtype=np.uint8)
    save(source / "a.png", image)
    assert run(source, output, "--task", "denoise", "--sigma", "20", "--strength", "2") == 0
    expected = vheatir.restore(image, task="denoise", sigma=40, device="cpu")
    assert np.array_equal(read_image(output / "a.png").pixels, expected)
    jpeg = vheatir.Restorer("jpeg", device="cpu", strength=0.5).restore(image, quality=20)
    assert np.array_equal(jpeg, vheatir.restore(image, task="jpeg", quality=60, device="cpu"))


def test_noise_may_differ_between_the_channels(source: Path, output: Path, capsys: Captured) -> None:
    image = np.random.default_rng(0).integers(60, 120, (16, 16, 3), dtype=np.uint8)
    save(source / "a.png", image)
    assert run(source, output, "--task", "denoise", "--sigma", "10,20,40") == 0
    assert "sigma 26.4575 (of channels 10, 20, 40)" in capsys.readouterr().out
    expected = vheatir.restore(image, task="denoise", sigma=math.sqrt((100 + 400 + 1600) / 3), device="cpu")
    assert np.array_equal(read_image(output / "a.png").pixels, expected)
    assert run(source, output, "--task", "denoise", "--sigma", "10,20") == 2
    assert "sigma is one number, or three for R, G and B, not 2." in capsys.readouterr().err
    assert run(source, output, "--task", "denoise", "--sigma", "90,80,70") == 2
