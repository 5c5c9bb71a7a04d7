"""Layouts of TIFF files: each is read as tifffile reads it, or refused in words that say what it is."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps, features

from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.read import read_image
from vheatir.imageio.tiff import with_directory
from vheatir.imageio.write import write_image

Array = npt.NDArray[Any]

HEIGHT, WIDTH = 21, 37  # neither a multiple of a tile's side nor of a strip's rows
PACKINGS: list[dict[str, Any]] = [
    {"tile": tile, "compression": compression, "predictor": predictor, "byteorder": order}
    | ({} if tile else {"rowsperstrip": 10})
    for tile, (compression, predictor), order in product(
        (None, (16, 32)), ((None, None), ("zlib", None), ("zlib", True)), "<>"
    )
]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
STRAIGHT, MULTIPLIED, UNTOLD = 2, 1, 0


def noise(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def colours_before(colours: Array, alpha: Array) -> Array:
    """Colours that are multiplied by alpha, divided by it."""
    peak = np.iinfo(colours.dtype).max
    with np.errstate(divide="ignore", invalid="ignore"):
        straight = np.floor(colours.astype(float) * peak / alpha[..., None] + 0.5)
    return np.where(alpha[..., None] > 0, np.minimum(straight, peak), 0).astype(colours.dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("extra", [None, STRAIGHT, MULTIPLIED, UNTOLD])
def test_every_layout_is_read_as_tifffile_reads_it(
    tmp_path: Path, dtype: Any, planes: str, kind: str, extra: int | None
) -> None:
    colours = 3 if kind == "rgb" else 1
    samples = colours if extra is None else colours + 1
    path, stored = tmp_path / "a.tif", noise(HEIGHT, WIDTH, samples, dtype=dtype)
    how: dict[str, Any] = {"photometric": kind}
    if samples > 1:
        how["planarconfig"] = planes
    if extra is not None:
        how["extrasamples"] = [extra]
    arranged = stored[..., 0] if samples == 1 else stored if planes == "contig" else np.moveaxis(stored, 2, 0)
    for packing in PACKINGS:
        tifffile.imwrite(path, arranged, **how, **packing)
        reference = tifffile.imread(path).reshape(arranged.shape)
        assert np.array_equal(reference, arranged)
        image = read_image(path)

        expected = stored[..., :colours]
        if kind == "miniswhite":
            expected = np.iinfo(dtype).max - expected
        if extra == MULTIPLIED:
            expected = colours_before(expected, stored[..., colours])
            assert image.note == "colours divided by their alpha"
        assert image.pixels.dtype == dtype
        assert np.array_equal(np.atleast_3d(image.pixels), expected), packing
        assert (image.alpha is None) == (extra is None)
        if image.alpha is not None:
            assert np.array_equal(image.alpha, stored[..., colours])


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "P", "RGB", "RGBA", "YCbCr", "CMYK"])
def test_what_pillow_writes_is_read_as_it_was(tmp_path: Path, mode: str, compression: str | None) -> None:
    if not features.check("libtiff"):
        pytest.skip("this Pillow has no libtiff")
    path, rgb = tmp_path / "a.tif", PillowImage.fromarray(noise(HEIGHT, WIDTH, 3))
    picture = {
        "P": lambda: rgb.quantize(200),
        "I;16": lambda: PillowImage.fromarray(noise(HEIGHT, WIDTH, dtype=np.uint16)),
        "LA": lambda: PillowImage.fromarray(noise(HEIGHT, WIDTH, 2), "LA"),
        "RGBA": lambda: PillowImage.fromarray(noise(HEIGHT, WIDTH, 4), "RGBA"),
    }.get(mode, lambda: rgb.convert(mode))()
    try:
        picture.save(path, compression=compression)
    except OSError:
        pytest.skip(f"this libtiff does not write {compression}")
    image = read_image(path)
    shown = picture.convert({"1": "L", "P": "RGB", "YCbCr": "RGB", "CMYK": "RGB"}.get(mode, mode))
    planes = np.atleast_3d(np.asarray(shown))
    if "A" in mode:
        assert image.alpha is not None
        assert np.array_equal(image.alpha, planes[..., -1])
        planes = planes[..., :-1]
    assert np.array_equal(np.atleast_3d(image.pixels), planes)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_faxes_are_black_and_white(tmp_path: Path, compression: str) -> None:
    page = noise(HEIGHT, WIDTH) > 200
    PillowImage.fromarray(page).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, page * np.uint8(255))


@pytest.mark.parametrize("how", range(1, 9))
@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_a_tiff_is_turned_upright(tmp_path: Path, how: int, compression: str) -> None:
    path = tmp_path / "a.tif"
    smooth = np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
    PillowImage.fromarray(smooth).save(path, tiffinfo={274: how}, compression=compression)
    upright = ImageOps.exif_transpose(PillowImage.open(path))
    assert np.array_equal(read_image(path).pixels, np.asarray(upright))


@pytest.mark.parametrize("order", "<>")
def test_big_tiffs_are_read_with_their_metadata(tmp_path: Path, order: Any) -> None:
    path, stored = tmp_path / "a.tif", noise(HEIGHT, WIDTH, 3, dtype=np.uint16)
    tags = [(34675, 7, len(SRGB), SRGB, True), (271, 2, 0, "Maker", True)]
    tifffile.imwrite(path, stored, bigtiff=True, byteorder=order, compression="zlib", predictor=True, extratags=tags)
    image = read_image(path)
    assert np.array_equal(image.pixels, stored)
    assert image.icc == SRGB
    block = PillowImage.Exif()
    block.load(b"Exif\0\0" + (image.exif or b""))
    assert block[271] == "Maker"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_is_written_as_alpha(tmp_path: Path, dtype: Any, channels: int) -> None:
    """Without ExtraSamples other programs drop it, or multiply the colours by it."""
    stored = noise(HEIGHT, WIDTH, channels + 1, dtype=dtype)
    colours = stored[..., 0] if channels == 1 else stored[..., :3]
    write_image(tmp_path / "a.tif", Image(colours, stored[..., channels]))
    with tifffile.TiffFile(tmp_path / "a.tif") as written:
        assert written.pages.first.tags["ExtraSamples"].value == (STRAIGHT,)
    if dtype == np.uint8:
        assert np.array_equal(np.asarray(PillowImage.open(tmp_path / "a.tif")), stored)
    again = read_image(tmp_path / "a.tif")
    assert again.alpha is not None
    assert np.array_equal(np.dstack((again.pixels, again.alpha)), stored)


def test_lzw_of_sixteen_bits_and_four_samples(tmp_path: Path) -> None:
    stored = noise(HEIGHT, WIDTH, 4, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), stored, [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW])
    image = read_image(tmp_path / "a.tif")
    assert image.alpha is not None
    assert np.array_equal(image.pixels, stored[..., 2::-1])  # OpenCV's order is BGRA
    assert np.array_equal(image.alpha, stored[..., 3])


def hand_made(fields: Mapping[int, tuple[int, ...]], *strips: bytes) -> bytes:
    """A TIFF of one strip, or of one a plane."""
    offsets = tuple(8 + sum(map(len, strips[:index])) for index in range(len(strips)))
    strip_fields = {273: offsets, 279: tuple(map(len, strips))}
    return with_directory(bytes(8) + b"".join(strips), {**strip_fields, **fields})


def test_planes_of_jpeg(tmp_path: Path) -> None:
    planes = [np.full((8, 8), value, np.uint8) for value in (200, 100, 50)]
    strips = []
    for plane in planes:
        buffer = io.BytesIO()
        PillowImage.fromarray(plane).save(buffer, "JPEG", quality=100)
        strips.append(buffer.getvalue())
    fields = {256: (8,), 257: (8,), 258: (8, 8, 8), 259: (7,), 262: (2,), 277: (3,), 278: (8,), 284: (2,)}
    (tmp_path / "a.tif").write_bytes(hand_made(fields, *strips))
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, np.dstack(planes))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({258: (4,)}, "is a 4-bit gray TIFF; save it with 8 or 16 bits"),
        ({258: (12,)}, "is a 12-bit gray TIFF; save it with 8 or 16 bits"),
        ({258: (12, 12, 12), 262: (2,), 277: (3,)}, "is a 12-bit RGB TIFF"),
        ({258: (1, 1, 1), 262: (2,), 277: (3,)}, "is a 1-bit RGB TIFF"),
        ({258: (5, 6, 5), 262: (2,), 277: (3,)}, r"is a TIFF whose channels have \[5, 6\] bits"),
        ({258: (16,) * 4, 262: (5,), 277: (4,)}, "is a 16-bit CMYK TIFF"),
        ({258: (8,) * 5, 262: (2,), 277: (5,)}, "is an 8-bit RGB TIFF with 5 channels"),
        ({258: (8,) * 5, 262: (2,), 277: (5,), 284: (2,)}, "is an 8-bit RGB TIFF with separate planes with 5 channels"),
        ({339: (2,)}, "is an 8-bit gray TIFF of signed whole numbers"),
        ({258: (16,), 339: (3,)}, "is a 16-bit gray TIFF of floating-point numbers"),
        ({262: (8,), 258: (8, 8, 8), 277: (3,)}, "is a TIFF that holds Lab colours"),
        ({262: (32803,)}, "is a TIFF that holds a camera's raw data"),
        ({262: (4,)}, "is a TIFF that holds a mask"),
        ({262: (3,)}, "is a palette TIFF without its palette"),
        ({262: (6,), 258: (8, 8, 8), 277: (3,)}, "is an 8-bit YCbCr TIFF of fewer colours than pixels"),
        ({259: (34712,)}, "is an 8-bit gray TIFF of compression 34712, which is not supported"),
        ({259: (5,), 317: (3,)}, "is an 8-bit gray TIFF of compression 5 with predictor 3"),
        ({259: (32773,), 317: (2,)}, "is an 8-bit gray TIFF of compression 32773 with predictor 2, which is not"),
        ({317: (2,)}, "is an 8-bit gray TIFF of compression 1 with predictor 2, which is not supported"),
        ({254: (1,)}, "begins with a smaller copy of its picture, as cameras' raw files do; convert it to PNG first"),
        ({256: (0,)}, "cannot be read as a TIFF: its directory is damaged"),
        ({257: (17,), 278: (16,)}, "cannot be decoded, some of its strips or tiles are missing"),
        ({259: (5,)}, "cannot be decoded, it is damaged"),
        ({257: (2**20,), 278: (2**20,)}, "is cut short"),
        ({256: (2**16,), 257: (2**16,), 278: (2**16,)}, "more than 500 megapixels"),
        ({273: (10**6,)}, "is cut short"),
        ({32997: (3,)}, "is a TIFF of a volume"),
    ],
)
def test_other_layouts_are_named(tmp_path: Path, fields: dict[int, tuple[int, ...]], message: str) -> None:
    usual = {256: (16,), 257: (16,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (16,)}
    path = tmp_path / "a.tif"
    path.write_bytes(hand_made(usual | fields, noise(16 * 16 * 2 * 5).tobytes()))
    with pytest.raises(ImageError, match=rf"a\.tif (has \d+x\d+ pixels, )?{message}"):
        read_image(path)


def test_a_tiff_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for compression in (None, "zlib"):
        tifffile.imwrite(path, noise(64, 64, 3), photometric="rgb", compression=compression)
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(ImageError, match=r"a\.tif (is cut short|cannot be decoded)"):
            read_image(path)


def test_damaged_settings_of_a_camera_do_not_cost_the_picture(tmp_path: Path) -> None:
    stored = noise(16, 16)
    fields = {256: (16,), 257: (16,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (16,), 34665: (10**6,)}
    (tmp_path / "a.tif").write_bytes(hand_made(fields, stored.tobytes()))
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, stored)
