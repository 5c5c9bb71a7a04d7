"""Sets of images and their manifests."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage", reason="the photographs are scikit-image's")

from benchmark_folders import COLOR, GRAY, write

from vheatir.evaluation import sets
from vheatir.evaluation.sets import Manifest, SetError, describe_images, known_sets, open_set

NUMBERS = {
    "BSD68": 68,
    "CBSD68": 68,
    "Kodak24": 24,
    "LIVE1": 29,
    "McMaster": 18,
    "Set12": 12,
    "Set14": 14,
    "Set5": 5,
    "Urban100": 100,
    "classic5": 5,
}


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is made a known set, "Tiny", of two gray images."""
    folder = write(tmp_path / "tiny", GRAY)
    source = open_set("tiny", folder).source
    images = describe_images(["a.png", "b.png"], [source.read(0, 3), source.read(1, 3)])
    manifest = Manifest("Tiny", "a test", {"denoise": "gray", "jpeg": "gray"}, images)
    monkeypatch.setattr(sets, "known_sets", lambda: {"tiny": manifest})
    return folder


def test_manifests_are_whole() -> None:
    manifests = known_sets()
    assert {manifest.name: len(manifest.images) for manifest in manifests.values()} == NUMBERS
    for key, manifest in manifests.items():
        assert key == manifest.name.casefold()
        assert re.search(r" @ [0-9a-f]{7}", manifest.source)
        assert len({image.sha256 for image in manifest.images}) == len(manifest.images)
        assert all(re.fullmatch(r"[0-9a-f]{64}", image.sha256) for image in manifest.images)
        assert set(manifest.channels) == {"denoise", "jpeg"}


@pytest.mark.parametrize("name", ["Set12", "BSD68", "McMaster", "LIVE1", "classic5"])
def test_real_copies_are_known(data_root: Path, name: str) -> None:
    images = open_set(name.lower(), data_root / "benchmarks" / name)
    assert images.mismatches == ()
    assert images.provenance == f"{name}: the known {NUMBERS[name]} images"
    assert images.is_gray == (name not in ("McMaster", "LIVE1"))


def test_a_real_wrong_copy(data_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Set12"
    shutil.copytree(data_root / "benchmarks" / "Set12", folder)
    (folder / "03.png").unlink()
    image = np.array(cv2.imread(str(folder / "05.png"), cv2.IMREAD_GRAYSCALE))
    image[100, 7] ^= 1
    cv2.imwrite(str(folder / "05.png"), image)
    images = open_set("Set12", folder)
    assert images.mismatches == ("05.png has other pixels", "03.png is missing")
    assert images.provenance == "Set12: NOT THE KNOWN COPY (05.png has other pixels; 03.png is missing)"


def test_other_names_and_formats_of_the_same_pixels_are_known(known: Path) -> None:
    image = cv2.imread(str(known / "a.png"), cv2.IMREAD_COLOR)
    assert image is not None
    (known / "a.png").unlink()
    assert cv2.imwrite(str(known / "camera_man.bmp"), image)  # three equal channels
    images = open_set("TINY", known)
    assert images.name == "Tiny"
    assert images.provenance == "Tiny: the known 2 images"


def test_every_difference_is_named(known: Path) -> None:
    write(known, {"a.png": GRAY["a.png"][:, 1:], "b.png": GRAY["b.png"][::-1], "sub/c.png": GRAY["a.png"] // 2})
    found = open_set("tiny", known).mismatches
    assert found == (
        "a.png is 31x40, not 32x40",
        "b.png has other pixels",
        "sub/c.png does not belong to the set",
    )
    write(known, {"d.png": GRAY["a.png"], "e.png": GRAY["a.png"]})  # the second copy is one too many
    (known / "b.png").unlink()
    assert open_set("tiny", known).mismatches == (
        "a.png does not belong to the set",
        "e.png does not belong to the set",
        "sub/c.png does not belong to the set",
        "b.png is missing",
    )


def test_an_own_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", COLOR)
    images = open_set("mine", folder)
    assert images.names == ("deep/y.bmp", "x.png")
    assert images.provenance == "mine: own set of 2 images"
    assert images.channels("denoise") == images.channels("jpeg") == "color"
    gray = open_set("gray", write(tmp_path / "gray", GRAY))
    assert gray.channels("denoise") == gray.channels("jpeg") == "gray"


def test_folders_that_cannot_be_scored(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"nowhere of set mine does not exist: give NAME=FOLDER"):
        open_set("mine", tmp_path / "nowhere")
    with pytest.raises(SetError, match=r"of set mine holds no image"):
        open_set("mine", tmp_path)
    write(tmp_path, GRAY)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(SetError, match=r"broken.png cannot be decoded"):
        open_set("mine", tmp_path)
