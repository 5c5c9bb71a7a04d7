"""Whatever bytes a file holds: an image, or one sentence that names it; never another error, nor pixels of nowhere."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageCms, ImageFile
from PIL.PngImagePlugin import PngInfo

from vheatir.imageio.containers import read_metadata
from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.jpeg import frame_header, jpeg_quality, tidied
from vheatir.imageio.read import read_image
from vheatir.imageio.tiff import directory_of, is_tiff, page_count
from vheatir.imageio.write import write_image

Array = npt.NDArray[Any]

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta/>"


def seeds() -> dict[str, bytes]:
    """A small file of each kind, with metadata."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    block = PillowImage.Exif()
    block[0x0112], block[271] = 6, "Maker"
    found = {}
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
        buffer = io.BytesIO()
        how: dict[str, Any] = {} if kind == "BMP" else {"icc_profile": SRGB, "exif": block, "dpi": (300, 300)}
        PillowImage.fromarray(pixels).save(buffer, kind, **how)
        found[kind] = buffer.getvalue()
    for big in (False, True):
        buffer = io.BytesIO()
        planes = np.moveaxis(pixels, 2, 0).astype(np.uint16)
        how = {"bigtiff": big, "byteorder": "><"[big], "compression": "zlib", "predictor": True}
        tifffile.imwrite(buffer, planes, photometric="rgb", planarconfig="separate", tile=(16, 16), **how)
        found[f"tiff {big}"] = buffer.getvalue()
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", progressive=True, restart_marker_blocks=2, xmp=XMP)
    found["progressive"] = buffer.getvalue()
    return found


SEEDS = seeds()


def try_to_read(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        image = read_image(path, max_megapixels=1)
    except ImageError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.startswith(f"{path} ")
        return
    assert image.pixels.dtype in (np.uint8, np.uint16)
    assert image.alpha is None or image.alpha.shape == image.pixels.shape[:2]
    upright = image.upright()
    for suffix in (".png", ".tif"):
        copy = path.with_name(f"copy{suffix}")
        write_image(copy, upright)
        again = read_image(copy)
        assert np.array_equal(again.pixels, upright.pixels)


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "cut", "drop", "insert"]), st.binary(max_size=9)
        ),
        min_size=1,
        max_size=4,
    ),
    in_header=st.booleans(),
)
def test_changed_files_are_read_or_named(tmp_path: Path, kind: str, changes: list[Any], in_header: bool) -> None:
    data = SEEDS[kind]
    for place, how, content in changes:
        at = int(place * (min(len(data), 400) if in_header else len(data)))
        rest = {"set": at + len(content), "cut": len(data), "drop": at + len(content), "insert": at}[how]
        data = data[:at] + (content if how in ("set", "insert") else b"") + data[rest:]
    try_to_read(tmp_path / "a", data)


@settings(deadline=None)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n"]), st.binary()
)
def test_any_bytes_have_no_header_or_one(start: bytes, rest: bytes) -> None:
    data = start + rest
    read_metadata(data)
    clean = tidied(data)
    if clean is not None:
        frame_header(clean)
        with suppress(ValueError):  # no luminance table
            assert 1 <= jpeg_quality(clean) <= 100
    if is_tiff(data):
        directory_of(data)
        assert page_count(data) in (1, 2)


def test_offsets_beyond_what_a_machine_counts_to(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for offset in (2**63, 2**64 - 1, 2**40):
        path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<Q", offset) + bytes(100))
        with pytest.raises(ImageError, match=r"a\.tif cannot be read as a TIFF: its directory is damaged"):
            read_image(path)


@pytest.mark.parametrize("kind", SEEDS)
def test_files_that_are_cut_are_refused_whatever_pillow_was_told(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training programs often tell it to fill up with gray."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "a.png").write_bytes(SEEDS[kind][: len(SEEDS[kind]) * 3 // 5])
    with pytest.raises(ImageError):
        read_image(tmp_path / "a.png")


def test_chunks_that_claim_more_than_the_file_are_not_made_room_for(tmp_path: Path) -> None:
    data = bytearray(SEEDS["PNG"])
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", 2**31 - 1)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.png is cut short or damaged: its PNG data do not reach their end"):
        read_image(tmp_path / "a.png")


def test_smaller_copies_and_circles_are_no_pages(tmp_path: Path) -> None:
    path, stored = tmp_path / "a.tif", np.arange(64, dtype=np.uint8).reshape(8, 8)
    with tifffile.TiffWriter(path) as writer:
        writer.write(stored)
        writer.write(stored[::2, ::2], subfiletype=1)
    assert np.array_equal(read_image(path).pixels, stored)
    PillowImage.fromarray(stored).save(path)
    data = path.read_bytes()
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    end = at + 2 + 12 * count
    path.write_bytes(data[:end] + struct.pack("<I", at) + data[end + 4 :])
    assert np.array_equal(read_image(path).pixels, stored)


def test_the_first_kind_of_bmp_is_read(tmp_path: Path) -> None:
    palette = bytes(value for shade in range(256) for value in (shade, shade, shade))
    rows = np.arange(32, dtype=np.uint8).reshape(4, 8)
    head = struct.pack("<IHHHH", 12, 8, 4, 1, 8)
    body = head + palette + rows[::-1].tobytes()
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 26 + 768) + body)
    image = read_image(tmp_path / "a.bmp")
    assert np.array_equal(image.pixels if image.pixels.ndim == 2 else image.pixels[..., 0], rows)


def test_white_stays_white_in_a_bmp_of_16_bits(tmp_path: Path) -> None:
    rows = np.array([[0, 0x7FFF, 31 << 10, 31 << 5, 31, 0]], dtype="<u2")
    head = struct.pack("<IiiHHIIiiII", 40, 6, 1, 1, 16, 0, rows.nbytes, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 54 + rows.nbytes, 0, 0, 54) + head + rows.tobytes())
    black, white = [0, 0, 0], [255, 255, 255]
    expected = [[black, white, [255, 0, 0], [0, 255, 0], [0, 0, 255], black]]
    assert read_image(tmp_path / "a.bmp").pixels.tolist() == expected


def test_exif_data_in_a_text_of_a_png_turn_the_picture(tmp_path: Path) -> None:
    """As ImageMagick wrote them before PNG had a chunk for them."""
    block = PillowImage.Exif()
    block[0x0112] = 6
    for is_packed in (False, True):
        told, content = PngInfo(), block.tobytes()
        told.add_text("Raw profile type exif", f"\nexif\n{len(content):8d}\n{content.hex()}\n", zip=is_packed)
        stored = np.arange(24, dtype=np.uint8).reshape(4, 6)
        PillowImage.fromarray(stored).save(tmp_path / "a.png", pnginfo=told)
        assert np.array_equal(read_image(tmp_path / "a.png").upright().pixels, np.rot90(stored, -1))


@pytest.mark.parametrize("masks", [(0x7FF, 0x7FF << 11, 0x3FF << 22), (0x7F80, 0x7F8000, 0x7F800000)])
def test_bit_fields_that_no_decoder_knows_are_refused(tmp_path: Path, masks: tuple[int, int, int]) -> None:
    """OpenCV gives other colours."""
    rows = np.random.default_rng(0).integers(0, 2**32, (4, 8), dtype=np.uint32)
    head = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 32, 3, rows.nbytes, 0, 0, 0, 0) + struct.pack("<III", *masks)
    body = head + rows.astype("<u4").tobytes()
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + len(head)) + body)
    with pytest.raises(ImageError, match=r"a\.bmp cannot be read as a BMP \(Unsupported BMP bitfields layout\)"):
        read_image(tmp_path / "a.bmp")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("GIF", "GIF"), ("PPM", "PNM"), ("JPEG2000", "JPEG 2000"), ("PDF", "PDF"), ("ICO", "ICO"), ("DDS", "DDS"),
        ("QOI", "QOI"),
    ],
)  # fmt: skip
def test_formats_that_are_not_read_are_named_whatever_they_are_called(tmp_path: Path, kind: str, name: str) -> None:
    """OpenCV decodes some of them, JPEG 2000 of 9 bits to other pixels, of an animation one frame."""
    PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.bin", kind)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.bin").read_bytes())
    with pytest.raises(ImageError, match=rf"a\.png is of a format that is not supported, {name}; convert it to PNG"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\xff\xd8\xff\xf7", "JPEG-LS"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw data"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    ],
)
def test_what_is_called_an_image_and_is_none_is_named(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(start + bytes(99))
    with pytest.raises(ImageError, match=rf"a\.jpg is of a format that is not supported, {name}"):
        read_image(tmp_path / "a.jpg")


def test_a_jpeg_of_twelve_bits_is_not_called_damaged(tmp_path: Path) -> None:
    data = bytearray(SEEDS["JPEG"])
    data[data.index(b"\xff\xc0") + 4] = 12
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.jpg is a JPEG of 12 bits; save it as PNG or TIFF of 16 bits"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "100"])
def test_a_limit_of_size_is_a_number_above_zero(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(ValueError, match="max_megapixels is a number above 0, not "):
        read_image(tmp_path / "a.png", max_megapixels=limit)


@pytest.mark.parametrize("quality", [0, 101, "90", 90.5])
def test_the_quality_of_a_jpeg_is_checked(tmp_path: Path, quality: Any) -> None:
    with pytest.raises(ImageError, match=r"a\.jpg cannot be written: the quality of a JPEG is 1 to 100, not "):
        write_image(tmp_path / "a.jpg", Image(np.zeros((8, 8), np.uint8)), quality=quality)
