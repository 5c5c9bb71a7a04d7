from __future__ import annotations

import importlib
import io
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from PIL import Image as PillowImage

from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.jpeg import jpeg_quality, luminance_table, nearest_quality, scaled_luminance_table
from vheatir.imageio.read import read_image
from vheatir.imageio.write import write_image

Array = npt.NDArray[Any]

# ITU-T T.81, table K.1, first row and first column
FIRST_ROW = [16, 11, 10, 16, 24, 40, 51, 61]
FIRST_COLUMN = [16, 12, 14, 14, 18, 24, 49, 72]


def random_pixels(*shape: int, dtype: type[np.unsignedinteger[Any]] = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def jpeg_bytes(pixels: Array, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------------- reading, writing


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp", ".PNG"])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_colour_comes_back_bit_for_bit(tmp_path: Path, suffix: str, has_alpha: bool) -> None:
    alpha = np.maximum(random_pixels(13, 17), 1) if has_alpha else None
    image = Image(pixels=random_pixels(13, 17, 3), alpha=alpha)
    path = tmp_path / f"image{suffix}"

    write_image(path, image)
    back = read_image(path)

    assert np.array_equal(back.pixels, image.pixels)
    assert (back.alpha is None) == (alpha is None)
    if back.alpha is not None and alpha is not None:
        assert np.array_equal(back.alpha, alpha)
    assert back.jpeg_quality is None


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_transparent_pixels_keep_their_colour(tmp_path: Path, suffix: str) -> None:
    if suffix == ".webp" and not hasattr(cv2, "IMWRITE_WEBP_LOSSLESS_MODE"):
        pytest.skip("this OpenCV has no option for it")
    image = Image(pixels=random_pixels(4, 5, 3), alpha=np.zeros((4, 5), dtype=np.uint8))
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    assert np.array_equal(read_image(path).pixels, image.pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_gray_stays_gray(tmp_path: Path, suffix: str) -> None:
    image = Image(pixels=random_pixels(5, 9))
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    assert np.array_equal(read_image(path).pixels, image.pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 3)])
def test_sixteen_bits_stay_sixteen(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    image = Image(pixels=random_pixels(*shape, dtype=np.uint16))
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    back = read_image(path).pixels
    assert back.dtype == np.uint16
    assert np.array_equal(back, image.pixels)


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    PillowImage.new("RGBA", (2, 1), (200, 100, 50, 25)).save(path)
    image = read_image(path)
    assert image.pixels.tolist() == [[[200, 100, 50]] * 2]
    assert image.alpha is not None
    assert image.alpha.tolist() == [[25, 25]]

    write_image(path, image)
    assert PillowImage.open(path).getpixel((0, 0)) == (200, 100, 50, 25)


def test_palettes_are_expanded_and_gray_with_alpha_stays_gray(tmp_path: Path) -> None:
    palette, gray = tmp_path / "palette.png", tmp_path / "gray.png"
    PillowImage.new("RGB", (3, 2), (255, 0, 0)).convert("P").save(palette)
    PillowImage.new("LA", (3, 2), (77, 9)).save(gray)

    assert read_image(palette).pixels[0, 0].tolist() == [255, 0, 0]
    image = read_image(gray)
    assert image.alpha is not None
    assert (image.pixels[0, 0].tolist(), int(image.alpha[0, 0])) == (77, 9)


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really_a_jpeg.png"
    path.write_bytes(jpeg_bytes(random_pixels(16, 16, 3), quality=30))
    assert read_image(path).jpeg_quality == 30


def frames(suffix: str) -> bytes:
    buffer = io.BytesIO()
    first, second = (PillowImage.new("RGB", (8, 8), color) for color in ("red", "blue"))
    first.save(buffer, suffix, save_all=True, append_images=[second])
    return buffer.getvalue()


def float_tiff() -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("F", (4, 4), 0.5).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.png", b"", r"a\.png is empty"),
        ("a.png", b"no image at all", r"a\.png cannot be read as an image"),
        ("a.png", frames("PNG"), r"a\.png is animated; extract its frames"),
        ("a.webp", frames("WEBP"), r"a\.webp is animated; extract its frames"),
        ("a.tif", frames("TIFF"), r"a\.tif has several pages; split it"),
        ("a.tif", float_tiff(), r"a\.tif is a 32-bit gray TIFF of floating-point numbers; save it with 8"),
        ("a.jpg", jpeg_bytes(random_pixels(64, 64, 3))[:-900], r"a\.jpg is cut short"),
        ("a.jpg", jpeg_bytes(random_pixels(64, 64, 3))[:40], r"a\.jpg is cut short"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message):
        read_image(path)


def test_a_png_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, Image(pixels=random_pixels(64, 64, 3)))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ImageError, match=r"a\.png is cut short or damaged: its PNG data do not reach their end"):
        read_image(path)


def test_a_thumbnail_does_not_hide_a_missing_end(tmp_path: Path) -> None:
    """A thumbnail in the header has an end marker of its own."""
    whole = jpeg_bytes(random_pixels(64, 64, 3))
    thumbnail = jpeg_bytes(random_pixels(8, 8, 3))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "a.jpg"

    path.write_bytes(whole[:2] + segment + whole[2:])
    assert read_image(path).pixels.shape == (64, 64, 3)
    path.write_bytes(whole[:2] + segment + whole[2:-900])
    with pytest.raises(ImageError, match="cut short"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".bmp", ".webp"])
def test_sixteen_bits_are_not_written_to_a_format_of_eight(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError, match="cannot hold 16 bits"):
        write_image(path, Image(pixels=random_pixels(4, 4, dtype=np.uint16)))
    assert not path.exists()


def test_nothing_is_written_as_jpeg(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="without loss"):
        write_image(tmp_path / "a.jpg", Image(pixels=random_pixels(4, 4)))


# ------------------------------------------------------------------------------------------------- JPEG quality


def test_quality_50_is_the_table_of_the_standard() -> None:
    table = scaled_luminance_table(50)
    assert table[0].tolist() == FIRST_ROW
    assert table[:, 0].tolist() == FIRST_COLUMN
    assert int(table.sum()) == 3688


def test_scaling_by_hand() -> None:
    # quality 75: (16 * 50 + 50) // 100; quality 10: scale 500; quality 1: scale 5000, limited to 255
    assert [int(scaled_luminance_table(q)[0, 0]) for q in (100, 75, 10, 1)] == [1, 8, 80, 255]
    assert int(scaled_luminance_table(75)[7, 7]) == 50


@pytest.mark.parametrize("channels", [1, 3])
def test_every_quality_that_opencv_writes_is_found(channels: int) -> None:
    pixels = random_pixels(16, 16, channels)
    for quality in range(1, 101):
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert jpeg_quality(data.tobytes()) == quality


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_quality_of_other_kinds_of_jpeg(options: dict[str, Any]) -> None:
    assert jpeg_quality(jpeg_bytes(random_pixels(32, 32, 3), quality=37, **options)) == 37


def test_the_table_is_read_in_zigzag_order() -> None:
    table = luminance_table(jpeg_bytes(random_pixels(16, 16, 3), quality=50))
    assert table[0].tolist() == FIRST_ROW
    assert table[:, 0].tolist() == FIRST_COLUMN


def test_another_encoders_table_gives_the_nearest_quality() -> None:
    table = scaled_luminance_table(40)
    table[7, 7] += 3
    table[0, 0] -= 1
    assert nearest_quality(table) == 40


def hand_made_header(*, precision: int, table_of_component: int) -> bytes:
    """SOI, one DQT with table 0 all 3 and table 1 all 9, SOF0 with one component, SOS."""
    width = 2 if precision else 1
    tables = b"".join(
        bytes([precision << 4 | identifier]) + value.to_bytes(width, "big") * 64
        for identifier, value in ((0, 3), (1, 9))
    )
    quantisation = b"\xff\xdb" + struct.pack(">H", len(tables) + 2) + tables
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 8, 8, 1) + bytes([1, 0x11, table_of_component])
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes([1, 0, 0, 63, 0])
    return b"\xff\xd8" + quantisation + b"\xff\xff" + frame[1:] + scan  # with a fill byte before SOF0


@pytest.mark.parametrize("precision", [0, 1])
@pytest.mark.parametrize(("selected", "value"), [(0, 3), (1, 9)])
def test_the_first_components_own_table_is_read(precision: int, selected: int, value: int) -> None:
    table = luminance_table(hand_made_header(precision=precision, table_of_component=selected))
    assert table.shape == (8, 8)
    assert np.all(table == value)


@pytest.mark.parametrize("length", [2, 3, 40, 120])
def test_a_header_without_the_table_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match="no luminance quantisation table"):
        jpeg_quality(hand_made_header(precision=0, table_of_component=0)[:length])


# ----------------------------------------------------------------------------------------------- bundled examples


@pytest.fixture
def make_examples(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(repository / "examples")
    return importlib.import_module("make_examples")


def test_noisy_examples_hold_the_noise_of_their_name(make_examples: ModuleType) -> None:
    for name, crop in make_examples.NOISY.items():
        image = read_image(make_examples.FOLDER / name).pixels
        clean = crop.pixels()
        inside = (clean > 100) & (clean < 155)  # beyond 4 σ from either end: nothing is clipped
        noise = image.astype(float)[inside] - clean[inside]
        assert image.ndim == (2 if "camera" in name else 3)
        assert abs(noise.mean()) < 1.0
        assert abs(noise.std() - 25.0) < 1.0


def test_compressed_examples_have_the_quality_of_their_name(make_examples: ModuleType) -> None:
    for name, (crop, quality) in make_examples.COMPRESSED.items():
        image = read_image(make_examples.FOLDER / name)
        assert image.jpeg_quality == quality
        assert f"_q{quality}." in name
        assert image.pixels.shape == crop.pixels().shape


def test_photos_are_as_they_were(make_examples: ModuleType) -> None:
    for name, crop in make_examples.PHOTOS.items():
        np.testing.assert_array_equal(read_image(make_examples.FOLDER / name).pixels, crop.pixels())
    name = make_examples.JPEG_PHOTO
    assert (make_examples.FOLDER / name).read_bytes() == Path(skimage.data.data_dir, Path(name).name).read_bytes()


def test_the_originals_need_no_download() -> None:
    assert skimage.data.camera().shape == (512, 512)
