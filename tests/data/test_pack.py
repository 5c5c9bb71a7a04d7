"""``vheatir pack`` and the archives it writes."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from training_options import photos, write_image

from vheatir.data.prepare.archive_writer import LOSSLESS, pack_images
from vheatir.data.sources import FolderSource, TarSource, find_images, open_source

CAMERA_JPEG = "b/camera.jpg"
NAMES = ["a/astronaut.png", "a/coffee.png", CAMERA_JPEG, "b/chelsea.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photographs in two folders; a gray one is a JPEG file."""
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, photos()[path.stem][:161, :203])
    return tmp_path / "photos"


def named(folder: Path) -> list[tuple[str, Path]]:
    return [(f"{path.parent.name}/{path.name}", path) for path in find_images(folder)]


def pack(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vheatir", "pack", *arguments]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=300, check=False)


def test_an_archive_holds_the_same_images_under_the_same_names(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "packed.tar"
    packed = pack_images(named(folder), archive, validation={"a/coffee.png"}, max_bytes=10**7, halve_above=1)
    assert (packed.quality, packed.verbatim, packed.encoded, packed.halved) == (LOSSLESS, 2, 2, 0)
    assert packed.bytes == archive.stat().st_size
    source, files = open_source([archive]), open_source([folder])
    assert source.names == files.names == NAMES
    for index in range(len(NAMES)):
        assert np.array_equal(source.read(index, 3), files.read(index, 3))
        gray = source.read(index, 1).astype(int) - files.read(index, 1)
        assert np.abs(gray).max() <= 1  # OpenCV's gray of a PNG file is rounded otherwise
    chosen = source.select([3, 1])
    assert chosen.names == [NAMES[3], NAMES[1]]
    assert np.array_equal(chosen.read(0, 3), files.read(3, 3))
    with tarfile.open(archive) as tar:
        listing = tar.extractfile("validation.txt")
        assert listing is not None
        assert listing.read() == b"a/coffee.png\n"


def test_less_room_means_lower_quality(folder: Path, tmp_path: Path) -> None:
    """The quality is the highest that fits, and what is copied as it is stays as it is."""
    archive, validation = tmp_path / "packed.tar", {"a/coffee.png"}
    previous = LOSSLESS
    for room in (150_000, 120_000, 112_000):
        packed = pack_images(named(folder), archive, validation=validation, max_bytes=room, halve_above=1)
        assert packed.bytes == archive.stat().st_size <= room
        assert packed.quality < previous
        previous = packed.quality
    source, files = TarSource(archive), FolderSource(find_images(folder))
    for index, name in enumerate(NAMES):
        error = np.mean((source.read(index, 3).astype(float) - files.read(index, 3)) ** 2)
        assert error == 0 if name in {CAMERA_JPEG, *validation} else 0 < error < 20


def test_large_images_are_halved_and_validation_images_never(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "packed.tar"
    packed = pack_images(named(folder), archive, validation={"a/coffee.png"}, max_bytes=10**7, halve_above=0.01)
    assert (packed.verbatim, packed.halved, packed.quality) == (1, 3, LOSSLESS)
    source, files = TarSource(archive), FolderSource(find_images(folder))
    assert np.array_equal(source.read(1, 3), files.read(1, 3))
    original = files.read(0, 3)[:160, :202].astype(np.float64)
    means = original.reshape(80, 2, 101, 2, 3).mean((1, 3))
    assert np.abs(source.read(0, 3) - means).max() <= 0.5
    assert source.read(2, 1).shape == (80, 101)  # the JPEG file too


def test_the_command(folder: Path, tmp_path: Path, repository: Path) -> None:
    lists = [tmp_path / "validation.txt", tmp_path / "exclude.txt"]
    lists[0].write_text("b/chelsea.png\n")
    lists[1].write_text("a/coffee.png\n")
    archive = tmp_path / "packed.tar"
    options = ["--source", str(folder), "--validation", str(lists[0]), "--exclude-list", str(lists[1])]
    result = pack(repository, *options, "--out", str(archive))
    assert result.returncode == 0, result.stderr
    assert TarSource(archive).names == [NAMES[0], *NAMES[2:]]
    summary = "3 images, 1 of them to validate; 2 files as they are, 1 encoded as lossless WebP, 0 at half size."
    assert summary in result.stdout
    first = archive.read_bytes()
    assert pack(repository, *options, "--out", str(archive)).returncode == 0
    assert archive.read_bytes() == first


def test_what_cannot_be_packed(folder: Path, tmp_path: Path, repository: Path) -> None:
    """One sentence, exit code 2, and an archive that was there before stays."""
    archive, listing = tmp_path / "packed.tar", tmp_path / "validation.txt"
    archive.write_bytes(b"earlier")
    listing.write_text("b/chelsea.png\n")
    result = pack(
        repository, "--source", str(folder), "--validation", str(listing), "--out", str(archive), "--max-bytes", "1e5"
    )
    assert result.returncode == 2
    assert re.search(r"error: The images take \d\.\d MB at JPEG quality 90, .* or give fewer\.\n", result.stderr)
    assert archive.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.glob(".vheatir*")] == []
    (folder / "a" / "broken.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"broken\.png cannot be read as an image"):
        pack_images(named(folder), archive, validation=set(), max_bytes=10**7, halve_above=1)


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "packed.tar"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(OSError, match="not a whole, uncompressed tar archive"):
        open_source([path])
    with tarfile.open(path, "w"):
        pass
    with pytest.raises(FileNotFoundError, match="holds no image"):
        open_source([path])


def test_a_damaged_image_is_named(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "packed.tar"
    pack_images(named(folder), archive, validation=set(NAMES), max_bytes=10**7, halve_above=1)
    content = bytearray(archive.read_bytes())
    start = content.index(cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()[:8])
    content[start : start + 64] = bytes(64)
    archive.write_bytes(content)
    with pytest.raises(OSError, match=r"packed\.tar:a/astronaut\.png cannot be decoded"):
        TarSource(archive).read(0, 3)
