"""Damaged JPEG files are refused; whole ones, however odd, are not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import tifffile
from PIL import Image as PillowImage

from vheatir.imageio.images import ImageError
from vheatir.imageio.jpeg import tidied
from vheatir.imageio.jpeg_damage import jpeg_damage
from vheatir.imageio.read import read_image

Array = npt.NDArray[Any]

END = b"\xff\xd9"
KINDS: list[dict[str, Any]] = [
    {},
    {"optimize": True, "subsampling": 0},
    {"progressive": True},
    {"restart_marker_blocks": 7},
    {"restart_marker_blocks": 3, "progressive": True, "subsampling": 1},
]


def picture() -> Array:
    crop: Array = skimage.data.astronaut()[:113, 100:251]  # neither side a multiple of a block's
    return crop


def encoded(pixels: Array, mode: str | None = None, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image = PillowImage.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(buffer, "JPEG", **{"quality": 85, **how})
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes) -> Array:
    (tmp_path / "a.jpg").write_bytes(data)
    return read_image(tmp_path / "a.jpg").pixels


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_cut_under_an_end_marker_is_found(tmp_path: Path, how: dict[str, Any], mode: str) -> None:
    whole = encoded(picture(), mode, **how)
    assert read(tmp_path, whole).shape[:2] == picture().shape[:2]
    for kept in (len(whole) // 2, len(whole) * 3 // 4, len(whole) - 60, len(whole) - 8):
        with pytest.raises(ImageError, match=r"a\.jpg is cut short or damaged: .* copy it again"):
            read(tmp_path, whole[:kept] + END)


@pytest.mark.parametrize("how", KINDS)
def test_bytes_that_are_overwritten_or_lost_or_put_between_are_found(tmp_path: Path, how: dict[str, Any]) -> None:
    whole = encoded(picture(), **how)
    middle = len(whole) // 2
    for data in (
        whole[:middle] + bytes(400) + whole[middle + 400 :],
        whole[:middle] + whole[middle + 400 :],
        whole[:middle] + whole[middle - 200 : middle] + whole[middle:],
    ):
        with pytest.raises(ImageError, match=r"a\.jpg is (cut short or )?damaged: .* copy it again"):
            read(tmp_path, data)


@pytest.mark.parametrize("how", [how for how in KINDS if "progressive" not in how])
def test_zeros_are_found_even_where_what_follows_fits_again(tmp_path: Path, how: dict[str, Any]) -> None:
    """As many blocks of zeros as there were of the picture: nothing is missing, and nothing is left over."""
    whole = encoded(picture(), **how)
    for start in range(1200, len(whole) - 400, 97):
        for length in (64, 300):
            with pytest.raises(ImageError, match=r"a\.jpg is (cut short or )?damaged: .* copy it again"):
                read(tmp_path, whole[:start] + bytes(length) + whole[start + length :])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_zeros_that_are_the_codes_of_an_empty_picture_are_none(mode: str) -> None:
    gradient = np.broadcast_to(np.arange(400, dtype=np.uint8)[:, None], (400, 400))
    for pixels in (np.full((400, 400), 255, np.uint8), np.ascontiguousarray(gradient.T), gradient // 64 * 64):
        data = encoded(pixels, mode, optimize=True)
        assert jpeg_damage(data) is None
    assert bytes(100) in encoded(np.full((400, 400), 255, np.uint8), mode, optimize=True)


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("quality", [5, 75, 100])
def test_whole_files_are_not_called_damaged(how: dict[str, Any], quality: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (33, 50, 3), dtype=np.uint8)
    for pixels in (picture(), noise, np.full((65, 81, 3), 230, np.uint8), noise[:1, :1], picture()[..., 0]):
        assert jpeg_damage(encoded(pixels, **(how | {"quality": quality}))) is None


def test_a_progressive_file_without_its_last_scans_is_found() -> None:
    """What is left is whole in itself: a blurred picture."""
    whole = encoded(picture(), progressive=True)
    last_scan = whole.rfind(b"\xff\xda")
    last_tables = whole.rfind(b"\xff\xc4", 0, last_scan)
    assert jpeg_damage(whole[:last_tables] + END) is not None


@pytest.mark.parametrize("how", KINDS)
def test_junk_does_no_harm(tmp_path: Path, how: dict[str, Any]) -> None:
    whole = encoded(picture(), **how)
    expected = read(tmp_path, whole)
    for data in (
        whole + b"junk" * 100,
        whole + bytes(5000),
        whole + whole[:900],  # a preview that is cut
        b"junk" + whole,
        b"\r\n" + whole,
        bytes(100) + whole,
        whole[:2] + b"\0\0junk" + whole[2:],
        whole[:2] + b"\xff" * 9 + whole[2:],
        whole[:-2] + bytes(40) + END,  # as some cameras fill up their files
        whole[:-2] + b"\xff\xff\xff" + END,
        whole[:-2],  # every pixel is there
    ):
        assert np.array_equal(read(tmp_path, data), expected)


def test_a_thumbnail_of_something_else_is_no_picture() -> None:
    assert tidied(b"8BPS" + b"\1\2\3\4" * 10 + encoded(picture())) is None
    assert tidied(b"II*\0" + bytes(10)) is None


def test_jpeg_within_a_tiff_is_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    PillowImage.fromarray(picture()).save(path, compression="jpeg", quality=85)
    assert read_image(path).pixels.shape == picture().shape
    with tifffile.TiffFile(path) as file:
        end = file.pages.first.dataoffsets[0] + file.pages.first.databytecounts[0] - len(END)
    data = path.read_bytes()
    path.write_bytes(data[: end - 800] + bytes(800) + data[end:])
    with pytest.raises(ImageError, match=r"a\.tif is (cut short or )?damaged"):
        read_image(path)
