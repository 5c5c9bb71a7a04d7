"""Files of 16 bits of which 10, 12 or 14 are used: levels are of their white, and what was assumed is said."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from report_lines import read_report

import vheatir
from vheatir.cli.main import main
from vheatir.imageio.read import read_image
from vheatir.imageio.white_level import restretched, stretched, white_level

Array = npt.NDArray[Any]


def picture(white: int, sigma: float = 0.0, shape: tuple[int, ...] = (96, 128)) -> Array:
    """A ramp from a tenth to nine tenths of white, with noise of σ in 8-bit units."""
    ramp = np.add.outer(np.linspace(0, 0.3, shape[0]), np.linspace(0.1, 0.6, shape[1]))
    values = ramp if len(shape) == 2 else np.repeat(ramp[..., None], 3, axis=2)
    noise = np.random.default_rng(0).normal(0, sigma / 255, shape)
    return np.rint(np.clip(values + noise, 0, 1) * white).astype(np.uint16)


def save_png(path: Path, pixels: Array, significant: int | None = None) -> None:
    well, data = cv2.imencode(".png", pixels)
    assert well
    content = data.tobytes()
    if significant is not None:
        chunk = b"sBIT" + bytes([significant])
        content = content[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]
    path.write_bytes(content)


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (10, 1023), (12, 4095), (14, 16383), (16, 65535)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_bits_that_no_value_uses_are_found(tmp_path: Path, bits: int, white: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    pixels = picture(white)
    save_png(path, pixels) if suffix == ".png" else tifffile.imwrite(path, pixels)
    image = read_image(path)
    assert image.white == (None if bits == 16 else white)
    assert np.array_equal(image.pixels, pixels)


@pytest.mark.parametrize(("significant", "white"), [(12, 4095), (9, 511), (16, None), (None, 1023), (8, 1023)])
def test_png_tells_its_bits(tmp_path: Path, significant: int | None, white: int | None) -> None:
    """8 cannot be right: there are larger values; 16 says that the picture is dark."""
    save_png(tmp_path / "a.png", picture(500), significant)
    expected = white if significant != 8 else 1023
    found = read_image(tmp_path / "a.png").white
    assert found == (511 if significant == 9 else expected)


@pytest.mark.parametrize("tag", [281, 341])
@pytest.mark.parametrize(("told", "white"), [(4095, 4095), (65535, None), (16383, 16383), (3917, 4095)])
def test_tiff_tells_its_white(tmp_path: Path, tag: int, told: int, white: int | None) -> None:
    """But not if what it tells is the largest value of the picture."""
    pixels = picture(3900)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(tag, "H", 1, told, True)])
    assert read_image(tmp_path / "a.tif").white == white


@pytest.mark.parametrize("low", [0, 5, 15])
def test_values_shifted_to_the_left_reach_white(low: int) -> None:
    pixels = (picture(4095) << 4) + np.uint16(low)
    assert white_level(pixels, b"") == 65520 + low
    assert white_level(np.full((4, 4), 40000, np.uint16), b"") == 65535
    assert white_level(np.zeros((4, 4), np.uint16), b"") == 65535


@pytest.mark.parametrize("white", [255, 511, 1023, 4095, 16383, 65280, 65520])
def test_what_was_stretched_comes_back(white: int) -> None:
    values = np.arange(white + 1, dtype=np.uint16)
    full = stretched(values, white)
    assert (full[0], full[-1]) == (0, 65535)
    assert np.array_equal(restretched(full, white), values)


def test_levels_are_of_the_white_that_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output, report = tmp_path / "in", tmp_path / "out", tmp_path / "out.json"
    source.mkdir()
    deep = picture(4095, sigma=25)
    save_png(source / "a.png", deep)
    options = ["--task", "denoise", "--device", "cpu", "--report", str(report), str(source), str(output)]
    assert main(["restore", "--sigma", "auto", *options]) == 0
    assert "white taken as 4095: give --white-level 65535 if the picture is dark" in capsys.readouterr().out
    (record,) = read_report(report)
    assert record["level"] == pytest.approx(25, rel=0.1)
    assert "white taken as 4095" in record["note"]
    found = read_image(output / "a.png").pixels
    expected = vheatir.restore(stretched(deep, 4095), task="denoise", sigma=record["level"], device="cpu")
    assert np.array_equal(found, restretched(expected, 4095))
    assert np.mean((found - picture(4095).astype(float)) ** 2) < 0.1 * np.mean(
        (deep - picture(4095).astype(float)) ** 2
    )

    assert main(["restore", "--sigma", "auto", "--white-level", "65535", *options]) == 0
    (record,) = read_report(report)
    assert record["level"] == pytest.approx(25 / 16, rel=0.15)
    assert record["note"] == ""
    assert main(["restore", "--sigma", "25", "--white-level", "1023", *options]) == 1
    assert "a.png has values up to 4095: give a --white-level of that or more." in capsys.readouterr().err


def test_a_white_level_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["restore", "--task", "denoise", "--sigma", "5", "--white-level", "70000", "in", "out"])
    assert "white is 255 to 65535, not 70000" in capsys.readouterr().err
