from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from training_options import write_image

from vheatir.data.prepare.archive_writer import pack_images
from vheatir.data.sources import FolderSource, find_images, open_source, read_name_list
from vheatir.imageio.formats import IMAGE_SUFFIXES, JPEG_SUFFIXES
from vheatir.imageio.read import read_image

LOSSLESS = {
    "png": (),
    "bmp": (),
    "tif": (),
    "TIFF": (),
    "webp": (cv2.IMWRITE_WEBP_QUALITY, 101),
}


@pytest.fixture
def color() -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = data.astronaut()[80:120, 200:250]
    return image


@pytest.fixture
def gray() -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = data.camera()[100:140, 200:250]
    return image


def luma(color: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(color @ np.array([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_what_can_be_restored_can_be_trained_on(tmp_path: Path, suffix: str, color: NDArray[np.uint8]) -> None:
    """In a folder, and packed: a JPEG file as it is, whatever it is called."""
    kind = ".jpg" if suffix in JPEG_SUFFIXES else suffix
    encoded = cv2.imencode(kind, color)[1].tobytes()
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / f"photo{suffix.upper()}"
    path.write_bytes(encoded)
    pixels = read_image(path).pixels
    packed = pack_images(
        [("a/photo" + suffix, path)], tmp_path / "packed.tar", validation=set(), max_bytes=10**6, halve_above=1
    )
    assert packed.verbatim == int(suffix in JPEG_SUFFIXES)
    for root in (tmp_path / "a", tmp_path / "packed.tar"):
        assert np.array_equal(open_source([root]).read(0, 3), pixels)


def write_lmdb(root: Path, images: dict[str, bytes], listing: str) -> Path:
    lmdb = pytest.importorskip("lmdb")
    environment = lmdb.open(str(root), map_size=2**24)
    with environment.begin(write=True) as transaction:
        for key, encoded in images.items():
            transaction.put(key.encode("ascii"), encoded)
    environment.close()
    (root / "meta_info.txt").write_text(listing)
    return root


def encoded_png(image: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", image if image.ndim == 2 else image[..., ::-1])[1])


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats(tmp_path: Path, suffix: str, color: NDArray[np.uint8], gray: NDArray[np.uint8]) -> None:
    write_image(tmp_path / f"a.{suffix}", color, LOSSLESS[suffix])
    write_image(tmp_path / f"b.{suffix}", gray, LOSSLESS[suffix])
    source = open_source([tmp_path])
    np.testing.assert_array_equal(source.read(0, 3), color)
    np.testing.assert_allclose(source.read(0, 1), luma(color), atol=1.01)  # libpng rounds down
    np.testing.assert_array_equal(source.read(1, 1), gray)
    np.testing.assert_array_equal(source.read(1, 3), np.repeat(gray[..., None], 3, axis=2))
    assert all(source.read(index, channels).dtype == np.uint8 for index in (0, 1) for channels in (1, 3))


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "webp"])
def test_lossy_formats(tmp_path: Path, suffix: str, color: NDArray[np.uint8], gray: NDArray[np.uint8]) -> None:
    quality = cv2.IMWRITE_WEBP_QUALITY if suffix == "webp" else cv2.IMWRITE_JPEG_QUALITY
    write_image(tmp_path / f"a.{suffix}", color, (quality, 95))
    write_image(tmp_path / f"b.{suffix}", gray, (quality, 95))
    source = open_source([tmp_path])
    assert np.abs(source.read(0, 3).astype(float) - color).mean() < 5  # 30 with red and blue exchanged
    assert np.abs(source.read(1, 1).astype(float) - gray).mean() < 3
    assert source.read(1, 3).shape == (40, 50, 3)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.array([[0, 0x8000, 0xFFFF]], dtype=np.uint16))
    np.testing.assert_array_equal(open_source([tmp_path]).read(0, 1), [[0, 128, 255]])


def test_folders_are_searched_recursively_and_in_order(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    for name in ("b/2.PNG", "b/1.png", "a/deep/3.jpg", "a/notes.txt", "a/.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded_png(gray))
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a/deep/3.jpg", "b/1.png", "b/2.PNG"]
    assert list(open_source([tmp_path]).names) == ["deep/3.jpg", "b/1.png", "b/2.PNG"]


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: see datasets/README.md"):
        open_source([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty holds no image"):
        open_source([tmp_path / "empty"])


def test_home_folder(tmp_path: Path, gray: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", gray)
    assert list(open_source(["~/photos"]).names) == ["photos/a.png"]


@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_unreadable_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(OSError, match=r"broken\.png cannot be decoded: replace or remove it"):
        open_source([tmp_path]).read(0, 1)


def test_truncated_image_is_named(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    whole = encoded_png(gray)
    (tmp_path / "cut.png").write_bytes(whole[:40])
    with pytest.raises(OSError, match=r"cut\.png cannot be decoded"):
        open_source([tmp_path]).read(0, 3)


def test_lmdb_in_basicsr_layout(tmp_path: Path, color: NDArray[np.uint8], gray: NDArray[np.uint8]) -> None:
    """Keys are names without their suffix; a line is "name (shape) compression", and names may hold spaces."""
    root = write_lmdb(
        tmp_path / "set.lmdb",
        {"sub/0001": encoded_png(color), "my photo": encoded_png(gray)},
        "sub/0001.png (40,50,3) 1\nmy photo.png (40,50,1) 1\n",
    )
    source = open_source([root])
    assert list(source.names) == ["sub/0001.png", "my photo.png"]
    np.testing.assert_array_equal(source.read(0, 3), color)
    np.testing.assert_array_equal(source.read(1, 1), gray)
    again = pickle.loads(pickle.dumps(source))  # noqa: S301  (what a worker that is not forked does)
    np.testing.assert_array_equal(again.read(0, 3), color)
    chosen = source.select([1])
    np.testing.assert_array_equal(chosen.read(0, 1), gray)  # a second source on the same database, as for validation


def test_broken_lmdbs_are_named(tmp_path: Path, gray: NDArray[np.uint8]) -> None:
    root = write_lmdb(tmp_path / "set.lmdb", {"a": encoded_png(gray)}, "a.png (40,50,1) 1\nb.png (40,50,1) 1\n")
    with pytest.raises(OSError, match=r"set\.lmdb lists b\.png and does not hold it"):
        open_source([root]).read(1, 1)
    (root / "meta_info.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"set\.lmdb has no meta_info\.txt"):
        open_source([root])


def test_several_roots_are_one_source(tmp_path: Path) -> None:
    """Image i is a constant i: the folder, the database and another folder, in this order."""
    flat = [np.full((8, 8), value, dtype=np.uint8) for value in range(5)]
    for name, values in (("first", (0, 1)), ("last", (4,))):
        (tmp_path / name).mkdir()
        for value in values:
            write_image(tmp_path / name / f"{value}.png", flat[value])
    database = write_lmdb(
        tmp_path / "middle.lmdb",
        {"2": encoded_png(flat[2]), "3": encoded_png(flat[3])},
        "2.png (8,8,1) 1\n3.png (8,8,1) 1\n",
    )
    source = open_source([tmp_path / "first", database, tmp_path / "last"])
    assert list(source.names) == ["first/0.png", "first/1.png", "2.png", "3.png", "last/4.png"]
    assert [int(source.read(index, 1).mean()) for index in range(5)] == [0, 1, 2, 3, 4]
    chosen = source.select([1, 3, 4])
    assert list(chosen.names) == ["first/1.png", "3.png", "last/4.png"]
    assert [int(chosen.read(index, 1).mean()) for index in range(3)] == [1, 3, 4]
    assert list(chosen.select([2]).names) == ["last/4.png"]


def test_select_keeps_the_order(tmp_path: Path) -> None:
    paths: list[Any] = [tmp_path / "x" / name for name in ("a.png", "b.png", "c.png")]
    assert list(FolderSource(paths).select([2, 0]).names) == ["x/c.png", "x/a.png"]


def test_name_lists(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# a comment\n\nBSD/1.png\n  CID22/two words.png  \n")
    assert read_name_list(path) == {"BSD/1.png", "CID22/two words.png"}
