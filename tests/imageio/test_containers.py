"""What files tell about their picture: read by numbers, kept where it can be, and never at the picture's cost."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms, features
from PIL.PngImagePlugin import PngInfo

from vheatir.imageio.images import Image, ImageError
from vheatir.imageio.read import read_image
from vheatir.imageio.write import prepared, write_image

Array = npt.NDArray[Any]

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Hill"/></x:xmpmeta>'
SUFFIXES = [".png", ".jpg", ".tif", ".webp", ".bmp"]


def pixels() -> Array:
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def jpeg(**how: Any) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels()).save(buffer, "JPEG", **how)
    return buffer.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def profile_part(number: int, count: int, content: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + content)


def with_segments(data: bytes, *segments: bytes) -> bytes:
    return data[:2] + b"".join(segments) + data[2:]


def read(tmp_path: Path, data: bytes, name: str = "a.jpg") -> Image:
    (tmp_path / name).write_bytes(data)
    return read_image(tmp_path / name)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(mode: str, *chunks: bytes, **how: Any) -> bytes:
    """A PNG with further chunks behind its header."""
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels()).convert(mode).save(buffer, "PNG", **how)
    return buffer.getvalue()[:33] + b"".join(chunks) + buffer.getvalue()[33:]


def own_chunks(path: Path) -> dict[bytes, bytes]:
    data, found, at = path.read_bytes(), {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(name + content) == struct.unpack_from(">I", data, at + 8 + length)[0]
        found[name] = content
        at += 12 + length
    return found


# ----------------------------------------------------------------------------------------------------- ICC profiles

#: APP2 segments that hold something else: pictures of a camera, of a phone, a gain map
OTHERS = [b"MPF\0" + bytes(60), b"FPXR\0" + bytes(900), b"urn:iso:std:iso:ts:21496:-1\0" + bytes(10)]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_segments_are_no_profile(tmp_path: Path, other: bytes, suffix: str) -> None:
    for profile in (None, SRGB):
        data = jpeg() if profile is None else jpeg(icc_profile=profile)
        image = read(tmp_path, with_segments(data, segment(0xE2, other)))
        assert image.icc == profile
        write_image(tmp_path / f"b{suffix}", image, quality=90)
        written = PillowImage.open(tmp_path / f"b{suffix}")
        written.load()
        assert written.info.get("icc_profile") == (None if suffix == ".bmp" else profile)


def test_a_profile_is_put_together_by_its_numbers(tmp_path: Path) -> None:
    parts = [profile_part(2, 3, SRGB[200:400]), profile_part(3, 3, SRGB[400:]), profile_part(1, 3, SRGB[:200])]
    between = segment(0xE2, b"MPF\0" + bytes(9))
    assert read(tmp_path, with_segments(jpeg(), parts[0], between, *parts[1:])).icc == SRGB


@pytest.mark.parametrize(
    "parts",
    [
        [profile_part(1, 3, SRGB[:200]), profile_part(3, 3, SRGB[200:])],
        [profile_part(1, 2, SRGB[:200]), profile_part(2, 3, SRGB[200:])],
        [profile_part(0, 1, SRGB)],
        [profile_part(1, 1, b"nothing of a profile" * 20)],
        [profile_part(1, 1, SRGB[:-9])],
        [profile_part(1, 1, SRGB[:16] + b"RG\xff " + SRGB[20:])],
        [segment(0xE2, b"ICC_PROFILE\0")],
    ],
)
def test_a_damaged_profile_is_left_out_with_a_note(tmp_path: Path, parts: list[bytes]) -> None:
    image = read(tmp_path, with_segments(jpeg(), *parts))
    assert image.icc is None
    assert image.note == "damaged ICC profile left out"
    assert np.array_equal(image.pixels, np.asarray(PillowImage.open(io.BytesIO(jpeg()))))


def test_damaged_metadata_of_other_formats_cost_nothing_either(tmp_path: Path) -> None:
    for content in (b"name\0\0no deflate", b"name\0\0" + zlib.compress(SRGB)[:-9], b"name\0\0" + zlib.compress(b"no")):
        image = read(tmp_path, png("RGB", chunk(b"iCCP", content)), "a.png")
        assert np.array_equal(image.pixels, pixels())
        assert image.note == "damaged ICC profile left out"
    PillowImage.fromarray(pixels()).save(tmp_path / "a.webp", lossless=True, icc_profile=b"no", exif=b"no EXIF data")
    image = read_image(tmp_path / "a.webp")
    assert np.array_equal(image.pixels, pixels())
    assert (image.icc, image.exif) == (None, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_profile_of_other_colours_is_left_out(tmp_path: Path, suffix: str) -> None:
    image = prepared(tmp_path / f"a{suffix}", Image(pixels(), icc=LAB), quality=90)
    assert image.icc is None
    assert image.note == "ICC profile for Lab left out"


def test_a_resolution_that_is_no_number_does_not_cost_the_picture(tmp_path: Path) -> None:
    """Pillow cannot open a JPEG with one."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHI4s", 282, 7, 1, b"") + bytes(4)
    image = read(tmp_path, with_segments(jpeg(), segment(0xE1, exif)))
    assert image.note == "damaged EXIF data left out"
    write_image(tmp_path / "b.jpg", image, quality=90)
    PillowImage.open(tmp_path / "b.jpg").load()


def test_large_profiles_fill_several_segments(tmp_path: Path) -> None:
    large = bytearray(SRGB + bytes(200_000))
    large[:4] = struct.pack(">I", len(large))
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        write_image(tmp_path / f"a{suffix}", Image(pixels(), icc=bytes(large)), quality=90)
        assert PillowImage.open(tmp_path / f"a{suffix}").info["icc_profile"] == bytes(large)
        assert read_image(tmp_path / f"a{suffix}").icc == bytes(large)


def test_what_a_format_cannot_hold_is_known_before(tmp_path: Path) -> None:
    exif = b"II*\0\x08\0\0\0" + bytes(70_000)
    image = prepared(tmp_path / "a.jpg", Image(pixels(), exif=exif, xmp=b"x" * 70_000), quality=90)
    assert (image.exif, image.xmp) == (None, None)
    assert image.note == "EXIF data left out, JPEG holds 64 KiB, XMP left out, JPEG holds 64 KiB"
    image = prepared(tmp_path / "a.bmp", Image(pixels(), exif=exif, icc=SRGB, xmp=XMP))
    assert (image.exif, image.icc, image.xmp) == (None, None, None)
    assert image.note.count("BMP holds none") == 3


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("a.webp", (1, 16384), r"a\.webp cannot hold 16384x1 pixels, its sides end at 16383; use --format png"),
        ("a.webp", (20000, 1), r"a\.webp cannot hold 1x20000 pixels"),
        ("a.jpg", (1, 65501), r"a\.jpg cannot hold 65501x1 pixels, its sides end at 65500"),
    ],
)
def test_pictures_too_wide_for_a_format_are_refused_before(
    tmp_path: Path, name: str, shape: tuple[int, int], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        prepared(tmp_path / name, Image(np.zeros(shape, np.uint8)), quality=90)


# ------------------------------------------------------------------------------------- XMP, resolution, colour chunks


@pytest.mark.parametrize("source", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_xmp_and_resolution_are_carried(tmp_path: Path, source: str, suffix: str) -> None:
    path, copy = tmp_path / f"a{source}", tmp_path / f"b{suffix}"
    how: dict[str, Any] = {"dpi": (300, 150), "xmp": XMP}
    if source == ".png":
        how["pnginfo"] = PngInfo()
        how.pop("xmp")
        how["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    if source == ".tif":
        how["tiffinfo"] = {700: XMP}
    PillowImage.fromarray(pixels()).save(path, **how)
    write_image(copy, read_image(path), quality=90)

    written = PillowImage.open(copy)
    written.load()
    if suffix == ".tif":  # of which Pillow changes the XMP as it turns the picture
        assert XMP.replace(b'"6"', b'"1"' if source == ".tif" else b'"6"') in copy.read_bytes()
    elif suffix != ".bmp":
        packet = written.info.get("xmp")
        # the pixels of a TIFF are turned on reading
        assert packet == (XMP.replace(b'"6"', b'"1"') if source == ".tif" else XMP)
    if source != ".webp" and suffix != ".webp":
        assert written.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    if source != ".webp" and suffix == ".webp":
        assert float(written.getexif()[282]) == pytest.approx(300, abs=0.02)


def test_a_picture_turned_upright_says_so_in_its_xmp(tmp_path: Path) -> None:
    block = PillowImage.Exif()
    block[0x0112] = 6
    image = read(tmp_path, jpeg(exif=block, xmp=XMP, dpi=(300, 150))).upright()
    assert image.xmp == XMP.replace(b'"6"', b'"1"')
    assert image.density == (150, 300)


@pytest.mark.parametrize(
    ("word", "what"), [(b"hdrgm:Version", "gain map"), (b"GCamera:MotionPhoto", "video of the motion photo")]
)
def test_the_xmp_of_what_stands_behind_the_picture_goes_with_it(tmp_path: Path, word: bytes, what: str) -> None:
    image = read(tmp_path, jpeg(xmp=XMP.replace(b"dc:title", word)))
    assert image.xmp is None
    assert image.note == f"{what} left out"


def test_extended_xmp_is_said_to_be_lost(tmp_path: Path) -> None:
    more = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + XMP)
    image = read(tmp_path, with_segments(jpeg(xmp=XMP), more))
    assert (image.xmp, image.note) == (XMP, "extended XMP left out")


COLORS = {
    b"gAMA": struct.pack(">I", 100000),
    b"cHRM": struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
    b"sRGB": b"\0",
    b"cICP": bytes((9, 16, 0, 1)),
    b"mDCV": bytes(range(24)),
    b"cLLI": bytes(range(8)),
}


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_colour_chunks_stay_in_a_png(tmp_path: Path, mode: str) -> None:
    data = png(mode, *(chunk(name, content) for name, content in COLORS.items()))
    write_image(tmp_path / "b.png", read(tmp_path, data, "a.png"))
    found = own_chunks(tmp_path / "b.png")
    assert {name: found[name] for name in COLORS} == COLORS


def test_colour_chunks_that_are_lost_are_named(tmp_path: Path) -> None:
    image = read(tmp_path, png("RGB", chunk(b"gAMA", COLORS[b"gAMA"])), "a.png")
    assert prepared(tmp_path / "b.tif", image).note == "colour chunks of PNG (gAMA) left out, TIFF holds none"
    plain = read(tmp_path, png("RGB", chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 45455))), "a.png")
    assert prepared(tmp_path / "b.tif", plain).note == ""  # what everybody assumes


@pytest.mark.parametrize("name", COLORS)
def test_damaged_colour_chunks_are_left_out(tmp_path: Path, name: bytes) -> None:
    """Some readers refuse a picture because of one."""
    image = read(tmp_path, png("RGB", chunk(name, COLORS[name][:-1])), "a.png")
    assert image.note == f"damaged colour chunk {name.decode()} left out"
    write_image(tmp_path / "b.png", image)
    assert name not in own_chunks(tmp_path / "b.png")
    assert np.array_equal(np.asarray(PillowImage.open(tmp_path / "b.png")), pixels())


@pytest.mark.parametrize(("mode", "told", "written"), [("RGB", b"\5\6\5", b"\6\6\6"), ("L", b"\7", b"\7")])
def test_significant_bits_stay_in_a_png(tmp_path: Path, mode: str, told: bytes, written: bytes) -> None:
    image = read(tmp_path, png(mode, chunk(b"sBIT", told)), "a.png")
    write_image(tmp_path / "b.png", image)
    assert own_chunks(tmp_path / "b.png")[b"sBIT"] == written
    assert prepared(tmp_path / "b.tif", image).note == ""


def test_chunks_that_no_decoder_needs_cost_nothing(tmp_path: Path) -> None:
    """OpenCV refuses animations without frames; others have refused what they did not know."""
    for name, content in ((b"acTL", bytes(8)), (b"acTL", b"\0"), (b"abCd", b"own"), (b"gAMA", b""), (b"eXIf", b"no")):
        data = png("RGB", chunk(name, content))
        assert np.array_equal(read(tmp_path, data, "a.png").pixels, pixels())
        assert np.array_equal(read(tmp_path, data[:-12], "a.png").pixels, pixels())  # every pixel is there
    with pytest.raises(ImageError, match=r"a\.png cannot be read as an image: it is damaged"):
        read(tmp_path, png("RGB", chunk(b"ABCD", b"changes what the pixels mean")), "a.png")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_shade_of_gray_becomes_alpha(tmp_path: Path, bits: int) -> None:
    peak = (1 << bits) - 1
    shades = (np.arange(16).reshape(2, 8) * peak // 15).astype(np.uint16)
    packed = shades[..., None] >> np.arange(bits - 1, -1, -1) & 1
    rows = np.packbits(packed.reshape(2, -1).astype(np.uint8), axis=1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0))
    clear = chunk(b"tRNS", struct.pack(">H", peak))
    data = b"\x89PNG\r\n\x1a\n" + header + clear + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    image = read(tmp_path, data, "a.png")
    top = 65535 if bits == 16 else 255
    assert np.array_equal(image.pixels, shades * (top // peak))
    assert image.alpha is not None
    assert np.array_equal(image.alpha, np.where(shades == peak, 0, top))
    write_image(tmp_path / "b.png", image)
    again = read_image(tmp_path / "b.png")
    assert again.alpha is not None
    assert np.array_equal(again.alpha, image.alpha)


def test_a_transparent_colour_becomes_alpha(tmp_path: Path) -> None:
    stored = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    PillowImage.fromarray(stored).save(tmp_path / "a.png", transparency=(1, 2, 3))
    image = read_image(tmp_path / "a.png")
    assert image.alpha is not None
    assert image.alpha.tolist() == [[0, 255]]
    assert np.array_equal(image.pixels, stored)


def test_metadata_of_a_tiff_reach_a_tiff(tmp_path: Path) -> None:
    tags = [(700, 1, len(XMP), XMP, True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb", resolution=(300, 150), extratags=tags)
    write_image(tmp_path / "b.tif", read_image(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "b.tif") as written:
        page = written.pages.first
        assert page.tags[700].value == XMP.replace(b'"6"', b'"1"')
        assert [page.tags[tag].value[0] / page.tags[tag].value[1] for tag in (282, 283)] == [300, 150]


# ------------------------------------------------------------------------------------------------------ AVIF, HEIC


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_avif_is_read_as_pillow_reads_it(tmp_path: Path, mode: str) -> None:
    picture = PillowImage.fromarray(pixels()).convert(mode)
    if mode == "RGBA":
        picture.putalpha(100)
    picture.save(tmp_path / "a.avif", icc_profile=SRGB, xmp=XMP)
    expected = np.asarray(PillowImage.open(tmp_path / "a.avif"))
    for name in ("a.avif", "a.jpg"):
        image = read(tmp_path, (tmp_path / "a.avif").read_bytes(), name)
        assert np.array_equal(image.pixels, expected if mode == "L" else expected[..., :3])
        assert (image.icc, image.xmp) == (SRGB, XMP)
        assert (image.alpha is not None) == (mode == "RGBA")


def test_heic_without_a_plugin_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.jpg (is HEIC, which this Pillow cannot read|cannot be decoded)"):
        read(tmp_path, struct.pack(">I", 24) + b"ftypheic" + bytes(600))


# --------------------------------------------------------------------------------------------- IPTC data, and texts

IPTC = b"\x1c\x02\x78\x00\x05A hill"[:-1]
RESOURCES = (
    b"8BIM\x03\xed\x00\x00\x00\x00\x00\x02abXXXX"[:-4] + b"8BIM\x04\x04\x03own\x00\x00\x00" + bytes((len(IPTC),))
)


def with_iptc() -> bytes:
    """As Photoshop writes it: among other resources, with a name, filled up to an even length."""
    resources = RESOURCES + IPTC + b"\0" * (len(IPTC) % 2) + b"8BIM\x04\x0c\x00\x00\x00\x00\x00\x00"
    return with_segments(jpeg(), segment(0xED, b"Photoshop 3.0\0" + resources))


def test_iptc_data_are_kept_where_the_format_has_a_place(tmp_path: Path) -> None:
    image = read(tmp_path, with_iptc())
    assert image.iptc == IPTC
    for suffix in (".png", ".jpg", ".tif"):
        path = tmp_path / f"b{suffix}"
        write_image(path, image, quality=90)
        again = PillowImage.open(path)
        if suffix == ".tif":
            assert tifffile.TiffFile(path).pages.first.tags[33723].value == IPTC
        elif suffix == ".jpg":
            assert read_image(path).iptc == IPTC
            assert again.info["photoshop"][0x0404] == IPTC
        else:
            assert read_image(path).iptc == IPTC
            assert bytes.fromhex(again.info["Raw profile type iptc"].split(None, 2)[2]).endswith(
                IPTC + b"\0" * (len(IPTC) % 2)
            )
    for suffix in (".webp", ".bmp"):
        fitting = prepared(tmp_path / f"b{suffix}", image)
        assert f"IPTC data left out, {suffix[1:].upper()} holds none" in fitting.note
        assert fitting.iptc is None


@pytest.mark.parametrize("cut", range(1, 30, 3))
def test_damaged_resources_do_not_cost_the_picture(tmp_path: Path, cut: int) -> None:
    content = (RESOURCES + IPTC)[:-cut]
    image = read(tmp_path, with_segments(jpeg(), segment(0xED, b"Photoshop 3.0\0" + content)))
    assert image.iptc is None
    assert image.pixels.shape == (24, 40, 3)


def test_texts_of_a_png_are_kept_in_a_png(tmp_path: Path) -> None:
    told = PngInfo()
    told.add_text("Title", "Hill")
    told.add_text("Comment", "long " * 100, zip=True)
    told.add_itxt("Author", "Jürgen", "de", "Autor")
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels()).save(buffer, "PNG", pnginfo=told)
    image = read(tmp_path, buffer.getvalue(), "a.png")
    write_image(tmp_path / "b.png", image)
    again = PillowImage.open(tmp_path / "b.png")
    assert {name: again.info[name] for name in ("Title", "Comment", "Author")} == {
        "Title": "Hill",
        "Comment": "long " * 100,
        "Author": "Jürgen",
    }
    assert prepared(tmp_path / "b.tif", image).note == "texts of PNG left out, TIFF holds none"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"tEXt", b"no keyword"),
        (b"tEXt", b"\0empty keyword"),
        (b"tEXt", b"k" * 80 + b"\0long keyword"),
        (b"zTXt", b"Title\0\1" + zlib.compress(b"method 1")),
        (b"zTXt", b"Title\0\0no deflate"),
        (b"zTXt", b"Title\0\0" + zlib.compress(bytes(2**20 + 1))),
        (b"iTXt", b"Title\0\0\0"),
        (b"iTXt", b"Title\0\0\0\0\0\xff no UTF-8"),
        (b"iTXt", b"Title\0\1\1\0\0" + zlib.compress(b"method 1")),
    ],
)
def test_damaged_texts_are_left_out(tmp_path: Path, name: bytes, content: bytes) -> None:
    """Some readers refuse a picture because of one."""
    image = read(tmp_path, png("RGB", chunk(name, content), chunk(b"tEXt", b"Title\0Hill")), "a.png")
    assert image.note == "damaged text left out"
    write_image(tmp_path / "b.png", image)
    assert PillowImage.open(tmp_path / "b.png").info["Title"] == "Hill"


def test_comments_of_a_jpeg_are_kept(tmp_path: Path) -> None:
    data = with_segments(jpeg(), segment(0xFE, b"on a hill\0"), segment(0xFE, b"\0"), segment(0xFE, b"at noon"))
    image = read(tmp_path, data)
    write_image(tmp_path / "b.jpg", image, quality=90)
    assert read_image(tmp_path / "b.jpg").texts == image.texts
    assert PillowImage.open(tmp_path / "b.jpg").info["comment"] == b"at noon"
    write_image(tmp_path / "b.png", image)
    assert PillowImage.open(tmp_path / "b.png").info["Comment"] == "at noon"
    assert b"on a hill" in (tmp_path / "b.png").read_bytes()
    assert prepared(tmp_path / "b.tif", image).note == "texts of PNG left out, TIFF holds none"
    title = read(tmp_path, png("RGB", chunk(b"tEXt", b"Title\0Hill"), chunk(b"tEXt", b"Comment\0low")), "a.png")
    fitting = prepared(tmp_path / "b.jpg", title, quality=90)
    assert fitting.note == "texts of PNG left out, JPEG holds comments alone"
    assert fitting.texts == ((b"tEXt", b"Comment\0low"),)


def test_a_text_does_not_bring_back_what_was_changed(tmp_path: Path) -> None:
    """A second copy of EXIF data would turn the picture again."""
    block = PillowImage.Exif()
    block[0x0112] = 6
    told = PngInfo()
    told.add_text("Raw profile type exif", f"\nexif\n{len(block.tobytes()):8d}\n{block.tobytes().hex()}\n")
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels()).save(buffer, "PNG", pnginfo=told, exif=block)
    write_image(tmp_path / "b.png", read(tmp_path, buffer.getvalue(), "a.png").upright())
    again = PillowImage.open(tmp_path / "b.png")
    assert "Raw profile type exif" not in again.info
    assert again.getexif()[0x0112] == 1


def test_very_long_texts_are_left_out_and_said(tmp_path: Path) -> None:
    image = read(tmp_path, png("RGB", chunk(b"tEXt", b"Comment\0" + b"x" * 2**21)), "a.png")
    assert image.texts == ()
    assert image.note == "text of more than 1 MiB left out"


# ------------------------------------------------------------------------------------------------------- animations


def test_one_frame_is_no_animation_and_neither_are_letters_in_a_text(tmp_path: Path) -> None:
    one = chunk(b"acTL", struct.pack(">II", 1, 0))
    two = chunk(b"acTL", struct.pack(">II", 2, 0))
    assert read(tmp_path, png("RGB", one), "a.png").pixels.size
    assert read(tmp_path, png("RGB", chunk(b"tEXt", b"Comment\0 acTL")), "a.png").pixels.size
    with pytest.raises(ImageError, match=r"a\.png is animated"):
        read(tmp_path, png("RGB", two), "a.png")
