"""TIFF metadata, against Pillow's reader and writer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, ImageCms
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import IFDRational

from vheatir.imageio.images import Image
from vheatir.imageio.read import read_image
from vheatir.imageio.tiff import exif_of_tiff, with_metadata
from vheatir.imageio.write import write_image

Array = npt.NDArray[Any]

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAIN = {271: "Maker", 270: "A title, longer than four bytes", 33432: "Holder", 282: IFDRational(300, 1)}
CAMERA: dict[int, Any] = {ExifTags.Base.ExposureTime: IFDRational(1, 250), ExifTags.Base.ISOSpeedRatings: 800}
PLACE: dict[int, Any] = {
    ExifTags.GPS.GPSLatitudeRef: "N",
    ExifTags.GPS.GPSLatitude: tuple(IFDRational(n, 7) for n in (1, 2, 3)),
}


def exif(*, endian: str = "<", how: int = 1) -> bytes:
    block = PillowImage.Exif()
    block.endian = endian
    block[0x0112] = how
    for tag, value in MAIN.items():
        block[tag] = value
    block.get_ifd(ExifTags.IFD.Exif).update(CAMERA)
    block.get_ifd(ExifTags.IFD.GPSInfo).update(PLACE)
    return block.tobytes().removeprefix(b"Exif\0\0")


def pixels(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def told(block: PillowImage.Exif) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    """What EXIF data tell, as Pillow reads them."""
    main = {tag: value for tag, value in block.items() if tag in MAIN or tag == 0x0112}
    return main, dict(block.get_ifd(ExifTags.IFD.Exif)), dict(block.get_ifd(ExifTags.IFD.GPSInfo))


EXPECTED = (MAIN | {0x0112: 1}, CAMERA, PLACE)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exif_data_are_written_into_a_tiff(tmp_path: Path, endian: str, shape: tuple[int, ...], dtype: Any) -> None:
    path, image = tmp_path / "a.tif", pixels(*shape, dtype=dtype)
    write_image(path, Image(image, exif=exif(endian=endian), icc=SRGB))
    written = PillowImage.open(path)
    assert told(written.getexif()) == EXPECTED
    assert written.info["icc_profile"] == SRGB
    again = read_image(path)
    assert np.array_equal(again.pixels, image)
    assert again.icc == SRGB


@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_data_of_a_tiff_are_read_and_upright(tmp_path: Path, endian: str) -> None:
    path, image = tmp_path / "a.tif", pixels(4, 6, 3)
    PillowImage.fromarray(image).save(path, exif=exif(endian=endian, how=6))
    found = read_image(path)
    assert np.array_equal(found.pixels, np.rot90(image, -1))  # 6: a quarter turn clockwise
    assert found.exif is not None
    block = PillowImage.Exif()
    block.load(b"Exif\0\0" + found.exif)
    assert told(block) == EXPECTED
    # nothing of how the pixels lay in the file
    assert not {256, 257, 258, 259, 273, 278, 279} & set(block)


def test_metadata_survive_a_round_trip_through_both_containers(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", Image(pixels(4, 6, 3), exif=exif()))
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.tif"))
    assert told(PillowImage.open(tmp_path / "b.png").getexif()) == EXPECTED


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_with_alpha_is_written_as_such(tmp_path: Path, dtype: Any) -> None:
    gray, alpha = pixels(5, 6, dtype=dtype), pixels(5, 6, dtype=dtype)[::-1]
    write_image(tmp_path / "a.tif", Image(gray, alpha, exif=exif(), icc=SRGB))
    with tifffile.TiffFile(tmp_path / "a.tif") as written:
        page = written.pages.first
        assert np.array_equal(page.asarray(), np.stack((gray, alpha), -1))
        assert [page.tags[tag].value for tag in (338, 262)] == [(2,), 1]  # unassociated alpha; 0 is black
        assert page.tags[34675].value == SRGB
        assert page.tags[271].value == "Maker"
    if dtype == np.uint8:  # Pillow reads no deeper ones
        again = read_image(tmp_path / "a.tif")
        assert again.alpha is not None
        assert np.array_equal(again.pixels, gray)
        assert np.array_equal(again.alpha, alpha)


def test_the_place_on_earth_stays_in_a_tiff(tmp_path: Path) -> None:
    """GeoTIFF's tags: the size of a pixel, where the first one lies, and what the numbers mean."""
    place = {33550: (10.0, 10.0, 0.0), 33922: (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), 34735: (1, 1, 0, 1, 1024, 0, 1, 1)}
    tags = [(tag, 3 if tag == 34735 else 12, len(values), values, True) for tag, values in place.items()]
    tifffile.imwrite(tmp_path / "a.tif", pixels(4, 6), extratags=tags)
    write_image(tmp_path / "b.tif", read_image(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "b.tif") as written:
        assert {tag: written.pages.first.tags[tag].value for tag in place} == place


def test_a_tiff_that_tells_nothing_has_no_exif_data() -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels(3, 3)).save(buffer, "TIFF")
    assert exif_of_tiff(buffer.getvalue()) is None


def test_only_little_endian_files_take_metadata() -> None:
    with pytest.raises(ValueError, match="not a little-endian classic TIFF"):
        with_metadata(b"MM\0*" + bytes(20), exif=exif(), icc=None)


@settings(deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=12))
def test_damaged_directories_do_no_harm(at: int, noise: bytes) -> None:
    """Whatever lies in the EXIF data, the image is written, and read again as it was."""
    block = bytearray(exif())
    block[at : at + len(noise)] = noise
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels(3, 4)).save(buffer, "TIFF")
    exif_of_tiff(bytes(block))
    data = with_metadata(buffer.getvalue(), exif=bytes(block), icc=None)
    assert np.array_equal(np.asarray(PillowImage.open(io.BytesIO(data))), pixels(3, 4))
