"""Comparison pictures: the right place, the same in every panel, and nothing half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vheatir.evaluation.pictures import write_comparison

WIDTH, GAP, TITLE, CROP = 384, 8, 28, 96


def flat(value: float, height: int = 192, width: int = 384) -> NDArray[np.float32]:
    return np.full((height, width), value, np.float32)


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def enlarged(picture: NDArray[np.uint8], panel: int) -> NDArray[np.uint8]:
    left = panel * (WIDTH + GAP)
    return picture[-WIDTH:, left : left + WIDTH]


def test_the_crop_is_where_the_methods_differ_and_not_where_the_noise_is(tmp_path: Path) -> None:
    noisy, ours, peer, truth = flat(0.5), flat(0.5), flat(0.5), flat(0.25)
    noisy[:96, :96] = np.random.default_rng(0).uniform(0, 1, (96, 96))
    peer[80:176, 200:296] = 1.0
    write_comparison(tmp_path / "a.png", [("noisy", noisy), ("ours", ours), ("peer", peer), ("truth", truth)])
    picture = read(tmp_path / "a.png")
    assert picture.shape == (TITLE + 192 + GAP + WIDTH, 4 * WIDTH + 3 * GAP, 3)
    for panel, value in enumerate((128, 128, 255, 64)):
        assert (enlarged(picture, panel) == value).all()
    # the frame, in every panel: white around the place, black around that
    for panel in range(4):
        row = picture[TITLE + 128, panel * (WIDTH + GAP) : panel * (WIDTH + GAP) + WIDTH, 0]
        assert (row[200], row[295]) == (255, 255)
        assert (row[198], row[297]) == (0, 0)


def test_a_single_method_is_compared_with_the_truth(tmp_path: Path) -> None:
    ours = flat(0.5)
    ours[10:106, 30:126] = 0.0
    write_comparison(tmp_path / "a.png", [("noisy", flat(0.9)), ("ours", ours), ("truth", flat(0.5))])
    assert (enlarged(read(tmp_path / "a.png"), 1) == 0).all()


def test_titles_are_written_above_their_panels(tmp_path: Path) -> None:
    write_comparison(tmp_path / "a.png", [("noisy", flat(0.0)), ("", flat(0.0))])
    titles = read(tmp_path / "a.png")[:TITLE]
    assert (titles[:, :WIDTH] < 128).any()
    assert (titles[:, WIDTH:] == 255).all()


def test_kinds_of_images_mix_and_colours_keep_their_order(tmp_path: Path) -> None:
    red = np.zeros((10, 7, 3), np.uint8)
    red[..., 0] = 200
    panels: list[tuple[str, NDArray[Any]]] = [("gray", flat(1.7, 10, 7)), ("red", red), ("float", red / 255)]
    write_comparison(tmp_path / "a.png", panels)
    picture = read(tmp_path / "a.png")
    assert (enlarged(picture, 0) == 255).all()
    assert (enlarged(picture, 1) == (200, 0, 0)).all()
    assert (enlarged(picture, 2) == (200, 0, 0)).all()


def test_sizes_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one size, not ours 384x192, truth 384x100\.$"):
        write_comparison(tmp_path / "a.png", [("ours", flat(0)), ("truth", flat(0, 100))])
    with pytest.raises(ValueError, match="needs one panel or more"):
        write_comparison(tmp_path / "a.png", [])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_earlier_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_comparison(path, [("ours", flat(0.5))])
    before = path.read_bytes()

    def fail(_image: object, file: Path, **_options: object) -> None:
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_comparison(path, [("ours", flat(0.1))])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
