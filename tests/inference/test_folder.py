"""The command on real folders: 260 awkward files, metadata, formats, reruns, kills."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageCms, features
from report_lines import read_report
from tiny_weights import save_tiny_weights

import vheatir
import vheatir.weights.file
from vheatir.cli.main import main
from vheatir.imageio.read import read_image
from vheatir.imageio.tiff import with_directory
from vheatir.inference.report import Status
from vheatir.inference.restorer import Restorer
from vheatir.system.atomic import atomic_path

Array = npt.NDArray[Any]
Captured = pytest.CaptureFixture[str]

DENOISE = ("--task", "denoise", "--sigma", "25", "--device", "cpu")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


pytestmark = pytest.mark.usefixtures("bundled")


def pixels(*shape: int, dtype: Any = np.uint8) -> Array:
    return np.random.default_rng(0).integers(np.iinfo(dtype).max // 4, np.iinfo(dtype).max // 2, shape, dtype=dtype)


def encoded(suffix: str, array: Array) -> bytes:
    well, data = cv2.imencode(suffix, array)
    assert well
    return data.tobytes()


def pillow(mode: str, kind: str, size: tuple[int, int] = (9, 7), **options: Any) -> bytes:
    buffer = io.BytesIO()
    bands = len(PillowImage.new(mode, (1, 1)).getbands())
    values = pixels(size[1], size[0], bands) if bands > 1 else pixels(size[1], size[0])
    image = PillowImage.frombytes(mode, size, values.tobytes()) if mode != "1" else PillowImage.new("1", size, 1)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: Array, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_with(extra: bytes) -> bytes:
    data = encoded(".png", pixels(8, 8))
    return data[:33] + extra + data[33:]


def exif(how: int) -> bytes:
    block = PillowImage.Exif()
    block[0x0112] = how
    block[271] = "Maker"
    return block.tobytes()


def run(source: Path, output: Path, *options: str) -> int:
    return main(["restore", *options, str(source), str(output)])


def statuses(path: Path, source: Path) -> dict[str, str]:
    return {str(Path(r["file"]).relative_to(source)): r["status"] for r in read_report(path)}


def fill_with_awkward_files(folder: Path) -> dict[str, str]:
    """Make 260 files and return the status that each must end with."""
    good: dict[str, bytes] = {}
    bad: dict[str, bytes] = {}
    sizes = [(1, 1), (1, 9), (9, 1), (3, 40), (40, 3), (2, 2), (7, 8), (17, 33)]
    for height, width in sizes:
        for channels in (1, 3, 4):
            for suffix in (".png", ".tif", ".bmp"):
                good[f"size/{height}x{width}x{channels}{suffix}"] = encoded(suffix, pixels(height, width, channels))
        for channels in (1, 3, 4):
            deep = pixels(height, width, channels, dtype=np.uint16)
            good[f"deep/{height}x{width}x{channels}.png"] = encoded(".png", deep)
        good[f"web/{height}x{width}.webp"] = encoded(".webp", pixels(height, width, 3))
        good[f"photo/{height}x{width}.jpg"] = encoded(".jpg", pixels(height, width, 3))
        good[f"photo/{height}x{width}.JPEG"] = encoded(".jpg", pixels(height, width))
    for how in range(1, 9):
        good[f"turned/{how}.jpg"] = pillow("RGB", "JPEG", exif=exif(how), icc_profile=SRGB)
    for name, mode, kind in (
        ("palette.png", "P", "PNG"), ("palette.bmp", "P", "BMP"), ("bits.png", "1", "PNG"), ("bits.tif", "1", "TIFF"),
        ("grayalpha.png", "LA", "PNG"), ("grayalpha.tif", "LA", "TIFF"), ("cmyk.jpg", "CMYK", "JPEG"),
        ("cmyk.tif", "CMYK", "TIFF"), ("ycc.tif", "YCbCr", "TIFF"), ("rgba.webp", "RGBA", "WEBP"),
    ):  # fmt: skip
        good[f"mode/{name}"] = pillow(mode, kind)
    good["progressive.jpg"] = pillow("RGB", "JPEG", progressive=True)
    for name in (
        "a b.png",
        "-dash.png",
        "--sigma.png",
        "ünï©ode 图.png",
        "per%cent.png",
        "[glob]*?.png",
        "'q\".png",
        "\n.png",
        "\x1b[31mred.png",
        "x" * 251 + ".png",
    ):
        good[f"names/{name}"] = encoded(".png", pixels(5, 6))
    good["names/jpeg named.png"] = encoded(".jpg", pixels(8, 8, 3))
    good["names/png named.jpg"] = encoded(".png", pixels(8, 8, 3))
    good["text.png"] = png_with(chunk(b"tEXt", b"Comment\0" + b"x" * 100_000_000))
    good["garbage behind.jpg"] = encoded(".jpg", pixels(8, 8)) + b"garbage"

    deep = pixels(9, 8, 3, dtype=np.uint16)
    good["tiff/planes.tif"] = tiff(np.moveaxis(deep, 2, 0), photometric="rgb", planarconfig="separate")
    good["tiff/big.tif"] = tiff(deep, photometric="rgb", bigtiff=True, compression="zlib", predictor=True)
    good["tiff/tiles.tif"] = tiff(deep[..., 0], tile=(16, 16), byteorder=">", photometric="miniswhite")
    for extra in (0, 1, 2):
        good[f"tiff/extra {extra}.tif"] = tiff(pixels(9, 8, 4), photometric="rgb", extrasamples=[extra])
    whole = pillow("RGB", "JPEG", size=(64, 64), quality=95, icc_profile=SRGB)
    for name, content in (
        ("mpf", b"MPF\0" + bytes(60)),
        ("fpxr", b"FPXR\0" + bytes(9)),
        ("icc", b"ICC_PROFILE\0\1\3no"),
    ):
        segment = b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content
        good[f"segments/{name}.jpg"] = whole[:2] + segment + whole[2:]
    parts = [b"ICC_PROFILE\0" + bytes((number, 2)) + SRGB[at : at + 300] for number, at in ((2, 300), (1, 0))]
    for name, marker, contents in (
        ("profile in parts", 0xE2, parts),
        ("gain map", 0xE1, [b"http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version='1'/>"]),
        ("extended xmp", 0xE1, [b"http://ns.adobe.com/xmp/extension/\0" + bytes(60)]),
        ("broken exif", 0xE1, [b"Exif\0\0II*\0\xff\xff\xff\x7f"]),
        ("large exif", 0xE1, [b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0" + bytes(65000)]),
        ("comment", 0xFE, [b"on a hill", b""]),
    ):
        added = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content for content in contents)
        good[f"segments/{name}.jpg"] = whole[:2] + added + whole[2:]
    good["junk/two starts.jpg"] = b"\xff\xd8" + whole
    good["junk/before.jpg"] = b"\r\n" + whole
    good["junk/between.jpg"] = whole[:2] + b"junk" + whole[2:]
    good["junk/no end.jpg"] = whole[:-2]
    good["chunks/shade.png"] = pillow("L", "PNG", transparency=100)
    good["chunks/colours.png"] = png_with(
        chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"cICP", bytes((9, 16, 0, 1)))
    )
    for mark, content in (
        (b"acTL", bytes(8)),
        (b"gAMA", b""),
        (b"sBIT", b"\5"),
        (b"pHYs", bytes(9)),
        (b"zTXt", b"Title\0\0no deflate"),
        (b"eXIf", b"no EXIF data"),
        (b"abCd", b"own"),
    ):
        good[f"chunks/{mark.decode()}.png"] = png_with(chunk(mark, content))
    good["chunks/no end.png"] = encoded(".png", pixels(8, 8))[:-12]
    good["chunks/profile.png"] = png_with(chunk(b"iCCP", b"name\0\0no deflate"))
    for bits in (8, 10, 12, 14):
        deep = pixels(9, 8, dtype=np.uint16) >> (16 - bits)
        good[f"bits/{bits}.png"], good[f"bits/{bits}.tif"] = encoded(".png", deep), tiff(deep)
    y, x = np.mgrid[0:40, 0:40]
    noisy = np.clip(128 + np.random.default_rng(2).normal(0, 25, (40, 40)), 0, 255).astype(np.uint8)
    bars, clipped = noisy.copy(), np.clip(noisy.astype(int) + 120, 0, 255).astype(np.uint8)
    bars[:8] = bars[-8:] = 16
    for name, picture in (
        ("checkerboard", (x // 3 + y // 3) % 2 * 255),
        ("halftone", 255 * (np.cos(x * 1.2) + np.cos(y * 1.2) > 0.3)),
        ("ordered", 255 * (x * 6 > (x % 4 * 4 + y % 4) * 16)),
        ("bars", bars),
        ("paper", clipped),
    ):
        good[f"patterns/{name}.png"] = encoded(".png", picture.astype(np.uint8))
    iptc = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\6\x1c\2\x78\0\1a"
    good["segments/iptc.jpg"] = whole[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + whole[2:]
    good["chunks/texts.png"] = png_with(chunk(b"tEXt", b"Title\0Hill acTL") + chunk(b"acTL", struct.pack(">II", 1, 0)))
    bad["fields.bmp"] = b"BM" + struct.pack("<IHHI", 82, 0, 0, 66) + struct.pack(
        "<IiiHHIIiiIIIII", 40, 2, 2, 1, 32, 3, 16, 0, 0, 0, 0, 0x7FF, 0x3FF800, 0xFFC00000
    ) + bytes(range(16))  # fmt: skip
    bad["named otherwise.png"] = pillow("P", "GIF")
    if features.check("avif"):
        good["new/named.avif"] = good["new/named otherwise.jpg"] = pillow("RGB", "AVIF")
    bad["damaged/half.jpg"] = whole[: len(whole) // 2] + b"\xff\xd9"
    bad["damaged/zeros.jpg"] = whole[: len(whole) // 2] + bytes(400) + whole[len(whole) // 2 + 400 :]
    bad["damaged/end.jpg"] = whole[:-8] + b"\xff\xd9"
    restarts = pillow("RGB", "JPEG", size=(64, 64), quality=95, restart_marker_blocks=4)
    bad["damaged/restarts.jpg"] = restarts.replace(b"\xff\xd1", b"", 1)
    bad["bits/12.jpg"] = whole.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    bad["new/heic.jpg"] = b"\0\0\0\x18ftypheic" + bytes(300)
    bad["new/jpeg xl.png"] = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99)
    bad["new/web page.jpg"] = b"<!DOCTYPE html><title>404</title>"
    bad["chunks/critical.png"] = png_with(chunk(b"ABCD", b"unknown"))
    bad["tiff/float.tif"] = tiff(pixels(9, 8) / 256)
    bad["tiff/copy.tif"] = tiff(pixels(9, 8), subfiletype=1)
    bad["tiff/pages.tif"] = tiff(np.stack((pixels(9, 8), pixels(9, 8))), photometric="minisblack")
    four: dict[int, tuple[int, ...]] = {
        256: (8,),
        257: (9,),
        258: (4,),
        259: (1,),
        262: (1,),
        273: (8,),
        277: (1,),
        278: (9,),
        279: (36,),
    }
    bad["tiff/four bits.tif"] = with_directory(bytes(8 + 36), four)
    bad["tiff/predicted.tif"] = with_directory(bytes(8 + 72), four | {258: (8,), 279: (72,), 317: (2,)})
    bad["tiff/signed.tif"] = tiff(pixels(9, 8).astype(np.int16))
    bad["tiff/five.tif"] = tiff(pixels(9, 8, 5), photometric="rgb", extrasamples=[0, 0])

    bomb = bytearray(encoded(".png", pixels(8, 8)))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    bad["bomb.png"] = bytes(bomb)
    bad["text.txt.png"] = b"no image"
    bad["lab.tif"] = pillow("LAB", "TIFF")
    bad["float.tif"] = pillow_float()
    bad["16 bits named.bmp"] = encoded(".png", pixels(4, 4, dtype=np.uint16))
    bad["animated.webp"] = animated("WEBP")
    bad["animated.png"] = animated("PNG")
    bad["pages.tif"] = animated("TIFF")
    for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp"):
        whole = encoded(suffix, np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8))
        bad[f"bad/empty{suffix}"] = b""
        bad[f"bad/zeros{suffix}"] = bytes(500)
        bad[f"bad/header{suffix}"] = whole[:20]
        bad[f"bad/half{suffix}"] = whole[: len(whole) // 2]
    bad["bad/broken.jpg"] = b"\xff\xd8\xff" + bytes(40) + b"\xff\xd9"

    for name, data in {**good, **bad}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    expected = dict.fromkeys(good, "restored") | dict.fromkeys(bad, "failed")
    (folder / "directory.png").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "broken link.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "linked.png").symlink_to(folder / "names" / "a b.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "._linked.png").write_bytes(b"what macOS keeps beside a file")
    expected |= {"circle.png": "failed", "broken link.png": "failed", "pipe.png": "failed", "linked.png": "restored"}
    for index in range(260 - len(expected)):
        name = f"deep/{'/'.join('abcdefgh'[: index % 8])}/more {index}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(".png", pixels(4, 4)))
        expected[str(Path(name))] = "restored"
    return expected


def pillow_float() -> bytes:
    buffer = io.BytesIO()
    PillowImage.new("F", (4, 4), 0.5).save(buffer, "TIFF")
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    buffer = io.BytesIO()
    first, second = (PillowImage.new("RGB", (8, 8), color) for color in ("red", "blue"))
    first.save(buffer, kind, save_all=True, append_images=[second])
    return buffer.getvalue()


def test_two_hundred_and_sixty_awkward_files_end_as_they_must(
    source: Path, output: Path, tmp_path: Path, capsys: Captured
) -> None:
    expected = fill_with_awkward_files(source)
    assert len(expected) == 260
    before = {path: path.stat() for path in source.rglob("*") if path.is_file() and not path.is_symlink()}
    report = tmp_path / "out.json"

    assert run(source, output, *DENOISE, "--report", str(report)) == 1

    assert statuses(report, source) == expected
    records = read_report(report)
    assert {r["result"] for r in records if r["result"]} == {str(p) for p in output.rglob("*") if p.is_file()}
    for record in records:
        if record["status"] == "failed":
            assert Path(record["file"]).name in record["reason"]
        else:
            assert read_image(Path(record["result"])).pixels.shape[:2] == (record["height"], record["width"])
    assert {path: path.stat().st_mtime_ns for path in before} == {p: s.st_mtime_ns for p, s in before.items()}
    assert "failed: " in capsys.readouterr().err

    # a rerun does nothing but try the failed ones again
    assert run(source, output, *DENOISE, "--report", str(report), "--skip-existing") == 1
    again = {name: "skipped" if status == "restored" else status for name, status in expected.items()}
    assert statuses(report, source) == again
    assert len(read_report(report)) == 2 * 260  # the second run went on with the report of the first
    # every status that is promised is made
    assert {*expected.values(), *again.values()} == set(get_args(Status))


# ------------------------------------------------------------------------------------------------ metadata, formats


@pytest.mark.parametrize("how", range(1, 9))
def test_orientation_is_applied_and_reset(source: Path, output: Path, how: int) -> None:
    (source / "a.jpg").write_bytes(pillow("RGB", "JPEG", exif=exif(how), icc_profile=SRGB, quality=95))
    stored = PillowImage.open(source / "a.jpg")
    assert run(source, output, *DENOISE) == 0
    result = PillowImage.open(output / "a.png")
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's own names of the same turns: Transpose
    upright = stored if how == 1 else stored.transpose(PillowImage.Transpose(turn[how]))
    assert result.size == upright.size
    # restored on the JPEG's own grid, then turned
    restored = vheatir.restore(read_image(source / "a.jpg").pixels, task="denoise", sigma=25, device="cpu")
    whole = PillowImage.fromarray(restored)
    expected = whole if how == 1 else whole.transpose(PillowImage.Transpose(turn[how]))
    assert result.tobytes() == expected.tobytes()
    assert dict(result.getexif()) == {0x0112: 1, 271: "Maker"}
    assert result.info["icc_profile"] == SRGB


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".webp", "WEBP"), (".tif", "TIFF")])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L"])
def test_profiles_and_alpha_are_kept(source: Path, output: Path, suffix: str, kind: str, mode: str) -> None:
    if kind == "WEBP" and mode in ("LA", "L"):
        pytest.skip("WebP has no gray")
    options: dict[str, Any] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    (source / f"a{suffix}").write_bytes(pillow(mode, kind, icc_profile=SRGB, **options))
    assert run(source, output, *DENOISE) == 0
    before, after = PillowImage.open(source / f"a{suffix}"), PillowImage.open(output / f"a{suffix}")
    assert (after.mode, after.size) == (mode, before.size)
    if mode.startswith("RGB") or kind == "TIFF":  # libpng takes no colour profile on a gray image
        assert after.info["icc_profile"] == SRGB
    if "A" in mode:
        assert after.getchannel("A").tobytes() == before.getchannel("A").tobytes()


def test_sixteen_bit_gray_with_alpha_is_kept(source: Path, output: Path) -> None:
    gray, alpha = pixels(5, 6, dtype=np.uint16), pixels(5, 6, dtype=np.uint16)[::-1]
    rows = np.stack((gray, alpha), -1).astype(">u2").reshape(5, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 6, 5, 16, 4, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    (source / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert run(source, output, *DENOISE) == 0
    assert (output / "a.png").read_bytes()[24:26] == bytes((16, 4))
    result = read_image(output / "a.png")
    assert result.alpha is not None
    assert np.array_equal(result.alpha, alpha)
    assert np.array_equal(result.pixels, vheatir.restore(gray, task="denoise", sigma=25, device="cpu"))


def test_cmyk_becomes_the_colours_it_stands_for(source: Path, output: Path, capsys: Captured) -> None:
    PillowImage.new("CMYK", (8, 8), (0, 255, 255, 0)).save(source / "red.jpg", quality=95)
    assert read_image(source / "red.jpg").pixels[4, 4].tolist() == pytest.approx([255, 0, 0], abs=3)
    assert run(source, output, *DENOISE) == 0
    assert "converted from CMYK to sRGB" in capsys.readouterr().out


def test_formats_can_be_chosen(source: Path, output: Path, capsys: Captured) -> None:
    (source / "a.jpg").write_bytes(encoded(".jpg", pixels(16, 16, 3)))
    (source / "b.bmp").write_bytes(encoded(".bmp", pixels(16, 16, 3)))
    (source / "c.png").write_bytes(encoded(".png", pixels(16, 16, 4)))
    assert run(source, output, *DENOISE, "--format", "webp") == 0
    assert run(source, output, *DENOISE, "--quality-out", "40") == 0
    assert sorted(path.name for path in output.iterdir()) == ["a.jpg", "a.webp", "b.bmp", "b.webp", "c.png", "c.webp"]
    assert read_image(output / "a.jpg").jpeg_quality == 40
    assert run(source, output / "j", *DENOISE, "--format", "jpeg", "--quality-out", "90") == 1
    assert sorted(path.name for path in (output / "j").iterdir()) == ["a.jpg", "b.jpg"]
    assert "c.jpg cannot hold the image's alpha channel" in capsys.readouterr().err
    assert run(source, output, *DENOISE, "--format", "jpeg") == 2


# ------------------------------------------------------------------------------------------------ choosing, planning


def test_patterns_choose_files(source: Path, output: Path) -> None:
    for name in ("a.png", "b.png", "sub/a.bmp", "raw/a.png"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(encoded(Path(name).suffix, pixels(4, 4)))
    assert run(source, output, *DENOISE, "--include", "a.*", "--exclude", "raw/*") == 0
    assert sorted(str(p.relative_to(output)) for p in output.rglob("*.*")) == ["a.png", "sub/a.bmp"]
    assert run(source, output, *DENOISE, "--include", "z*") == 2


def test_a_dry_run_writes_nothing(source: Path, output: Path, tmp_path: Path, capsys: Captured) -> None:
    (source / "a.jpg").write_bytes(encoded(".jpg", pixels(4, 4)))
    assert run(source, output, *DENOISE, "--dry-run", "--compare", str(tmp_path / "c")) == 0
    assert not output.exists()
    assert not (tmp_path / "c").exists()
    assert capsys.readouterr().out == f"a.jpg -> {output / 'a.png'}\n"


def test_large_images_need_leave(source: Path, output: Path, capsys: Captured) -> None:
    for suffix in (".png", ".jpg", ".bmp", ".webp", ".tif"):
        (source / f"a{suffix}").write_bytes(encoded(suffix, pixels(40, 50, 3)))
    assert run(source, output, *DENOISE, "--max-megapixels", "0.0019") == 1
    assert capsys.readouterr().err.count("has 50x40 pixels, more than 0.0019 megapixels") == 5
    assert run(source, output, *DENOISE, "--max-megapixels", "0.002") == 0


def test_an_unreadable_folder_does_not_stop_the_others(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (source / "closed").mkdir()
    (source / "a.png").write_bytes(encoded(".png", pixels(4, 4)))
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert run(source, output, *DENOISE) == 1
    assert (output / "a.png").exists()
    assert "closed cannot be listed (Permission denied)" in capsys.readouterr().err


def test_ten_thousand_files_are_planned(source: Path, output: Path, capsys: Captured) -> None:
    for index in range(10_000):
        (source / f"{index}.png").touch()
    assert run(source, output, *DENOISE, "--dry-run") == 0
    assert len(capsys.readouterr().out.splitlines()) == 10_000


def test_a_bar_without_an_end_counts_what_a_stream_brings(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr("vheatir.cli.restore._AHEAD", 2)
    for index in range(3):
        (source / f"{index}.png").write_bytes(encoded(".png", pixels(8, 8)))
    assert run(source, output, *DENOISE) == 0
    captured = capsys.readouterr()
    assert f"3 restored to {output}" in captured.out
    assert "3image" in captured.err


def test_shards_are_parted_by_the_command(source: Path, output: Path, capsys: Captured) -> None:
    for index in range(12):
        (source / f"{index}.png").write_bytes(encoded(".png", pixels(8, 8)))
    names = []
    for number in (1, 2, 3):
        assert run(source, output / str(number), *DENOISE, "--shard", f"{number}/3") == 0
        names += [path.name for path in (output / str(number)).iterdir()]
    assert sorted(names) == sorted(path.name for path in source.iterdir())
    for wrong in ("0/3", "4/3", "3", "a/b"):
        with pytest.raises(SystemExit):
            run(source, output, *DENOISE, "--shard", wrong)
    assert "the parts of 3 are 1/3 to 3/3, not 4/3" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- report


def test_the_report_has_each_line_as_soon_as_its_result(
    source: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there after a kill is what is there at any moment."""
    for index in range(3):
        (source / f"{index}.png").write_bytes(encoded(".png", pixels(8, 8)))
    report, seen = tmp_path / "out.jsonl", []
    restore_file = Restorer.restore_file

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append([record["name"] for record in read_report(report)])
        return restore_file(*arguments, **options)

    monkeypatch.setattr(Restorer, "restore_file", watched)
    assert run(source, output, *DENOISE, "--report", str(report)) == 0
    assert seen == [[], ["0.png"], ["0.png", "1.png"]]


def test_a_report_goes_on_with_skip_existing_and_begins_anew_without(
    source: Path, output: Path, tmp_path: Path, capsys: Captured
) -> None:
    report = tmp_path / "out.jsonl"
    (source / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    assert run(source, output, *DENOISE, "--report", str(report), "--skip-existing") == 0
    with report.open("a") as file:
        file.write('{"file": "half of a li')  # as a power cut may leave it
    (source / "b.png").write_bytes(encoded(".png", pixels(8, 8)))
    assert run(source, output, *DENOISE, "--report", str(report), "--skip-existing") == 0
    lines = [(record["name"], record["status"]) for record in read_report(report)]
    assert lines == [("a.png", "restored"), ("a.png", "skipped"), ("b.png", "restored")]
    assert run(source, output, *DENOISE, "--report", str(report)) == 0
    assert [record["status"] for record in read_report(report)] == ["restored", "restored"]
    for content in ("notes", '[\n {"file": "a"}]\n'):
        report.write_text(content)
        assert run(source, output, *DENOISE, "--report", str(report), "--skip-existing") == 2
        assert "is not a report of this command" in capsys.readouterr().err
        assert report.read_text() == content


# ------------------------------------------------------------------------------------------------------------ looking


def test_a_comparison_shows_before_after_and_difference(source: Path, output: Path, tmp_path: Path) -> None:
    (source / "a.png").write_bytes(encoded(".png", np.full((30, 40), 100, np.uint8)))
    assert run(source, output, *DENOISE, "--compare", str(tmp_path / "look")) == 0
    picture = read_image(tmp_path / "look" / "a.png.png").pixels
    after = int(read_image(output / "a.png").pixels[15, 20])
    assert (picture[15, 20] == 100).all()
    assert (picture[15, 44 + 20] == after).all()
    assert (picture[15, 88 + 20] == min(255, 128 + 4 * (after - 100))).all()
    assert picture.shape[0] > 30 + 4 * 30
    inside = run(source, output, *DENOISE, "--compare", str(source / "look"))
    assert inside == 2


# ------------------------------------------------------------------------------------------- properties, interruptions


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([None, 1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float16, np.float32, np.float64]),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_image_comes_back_as_it_is(height: int, width: int, channels: int | None, dtype: Any, seed: int) -> None:
    shape = (height, width) if channels is None else (height, width, channels)
    values = np.random.default_rng(seed).random(shape)
    peak = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image = (values * peak).astype(dtype)
    restored = vheatir.restore(image, task="denoise", sigma=0, device="cpu")
    assert (restored.shape, restored.dtype) == (image.shape, image.dtype)
    assert np.isfinite(restored).all()
    assert restored.min() >= 0
    assert restored.max() <= peak


def test_a_killed_run_leaves_whole_files_and_a_rerun_the_rest(
    source: Path, output: Path, tmp_path: Path, repository: Path
) -> None:
    for index in range(4):
        (source / f"{index}.png").write_bytes(encoded(".png", pixels(8, 8)))
    weights = save_tiny_weights(tmp_path / "own.safetensors", "denoise-gray")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom vheatir.cli.main import main\n"
        "write_bytes, count = Path.write_bytes, []\n"
        "def slow(path, data):\n"
        "    count.append(path)\n"
        "    write_bytes(path, bytes(data)[: len(data) // len(count)])\n"
        "    time.sleep(60 if len(count) == 2 else 0)\n"
        "Path.write_bytes = slow\n"
        "sys.exit(main(['restore', *sys.argv[1:]]))\n"
    )
    options = [*DENOISE, "--model", str(weights)]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *options, str(source), str(output)],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(output.glob(".*"))) < 1 or not (output / "0.png").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    (running := output / f".vheatir-{socket.gethostname()}-{os.getpid()}-01234567.tmp").touch()

    assert [path.name for path in output.glob("*.png")] == ["0.png"]
    first = (output / "0.png").stat().st_mtime_ns
    assert run(source, output, *options, "--skip-existing") == 0
    assert sorted(path.name for path in output.glob("*.png")) == ["0.png", "1.png", "2.png", "3.png"]
    assert (output / "0.png").stat().st_mtime_ns == first
    assert list(output.glob(".*")) == [running]  # what the killed process left is gone, what another one writes is not
    assert all(read_image(path).pixels.shape == (8, 8) for path in output.glob("*.png"))


def test_results_may_lie_within_the_input_if_asked(source: Path, capsys: Captured) -> None:
    (source / "sub").mkdir()
    for name in ("a.png", "sub/out.png"):
        (source / name).write_bytes(encoded(".png", pixels(8, 8)))
    inner = source / "sub" / "out"
    assert run(source, inner, *DENOISE) == 2
    assert "or, for one below it, --output-inside" in capsys.readouterr().err
    for _ in range(2):  # the second run does not take results for inputs
        assert run(source, inner, *DENOISE, "--output-inside") == 0
        names = sorted(str(path.relative_to(source)) for path in source.rglob("*.png"))
        assert names == ["a.png", "sub/out.png", "sub/out/a.png", "sub/out/sub/out.png"]
    assert run(source, source, *DENOISE, "--output-inside") == 2


def test_a_link_to_itself_fails_alone(source: Path, output: Path, capsys: Captured) -> None:
    (source / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    (source / "b.png").symlink_to(source / "b.png")
    (source / "c.png").symlink_to(source / "d.png")
    (source / "d.png").symlink_to(source / "c.png")
    (source / "folder").symlink_to(source / "folder")
    assert run(source, output, *DENOISE) == 1
    assert read_image(output / "a.png").pixels.shape == (8, 8)
    told = capsys.readouterr().err
    assert [f"{source / name}.png cannot be opened (Too many" in told for name in "bcd"] == [True] * 3


def test_names_cannot_break_lines_or_command_the_terminal(source: Path, output: Path, capsys: Captured) -> None:
    names = {
        "two\nlines": r"two\nlines",
        "red\x1b[31m": r"red\x1b[31m",
        "over\r": r"over\r",
        "turned\u202e": r"turned\u202e",
        "\x9b2J": r"\x9b2J",
    }
    for name in names:
        (source / f"{name}.png").write_bytes(encoded(".png", pixels(8, 8)))
        (source / f"{name}.bmp").write_bytes(b"no image")
    assert run(source, output, *DENOISE, "--dry-run") == 0
    planned = capsys.readouterr().out
    assert run(source, output, *DENOISE) == 1
    told = capsys.readouterr()
    for name, shown in names.items():
        assert (output / f"{name}.png").exists()
        for text, suffix in ((planned, "png"), (told.out, "png"), (told.err, "bmp")):
            assert f"{shown}.{suffix}" in text
            assert name not in text
    assert run(source / "no\nfolder", output, *DENOISE) == 2
    assert rf"{source}/no\nfolder does not exist" in capsys.readouterr().err


def test_what_is_logged_has_names_on_one_line(source: Path, output: Path, repository: Path) -> None:
    folder = source / "two\nlines"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    (folder / "notes.txt").touch()
    command = [sys.executable, "-m", "vheatir", "restore", *DENOISE, "--dry-run", str(folder), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=True)
    assert done.stderr == rf"1 other files in {source}/two\nlines are left out (.txt: 1)" + "\n"


def test_outputs_that_are_links_in_circles_are_named(
    source: Path, output: Path, tmp_path: Path, capsys: Captured
) -> None:
    (source / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    output.symlink_to(output)
    assert run(source, output, *DENOISE) == 2
    assert str(output) in capsys.readouterr().err
    output.unlink()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert run(source, output, *DENOISE, "--report", str(tmp_path / "circle")) == 2
    assert str(tmp_path / "circle") in capsys.readouterr().err


def test_files_that_are_left_out_are_named_by_kind(
    source: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (source / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    for name in ("b.jxl", "c.JXL", "d.cr2", "notes.txt", "Makefile", "._a.png", "._b.jxl"):
        (source / name).write_bytes(b"something")
    with caplog.at_level("INFO"):
        assert run(source, output, *DENOISE) == 0
    line = next(record.getMessage() for record in caplog.records if "left out" in record.getMessage())
    assert line.startswith(f"5 other files in {source} are left out (.jxl: 2, ")
    assert ".cr2: 1" in line
    assert "no suffix: 1" in line
    assert line.endswith("; convert pictures to PNG or TIFF first)")


def test_a_folder_of_other_pictures_names_their_kinds(source: Path, output: Path, capsys: Captured) -> None:
    (source / "a.cr2").write_bytes(b"raw")
    assert run(source, output, *DENOISE) == 2
    assert "left out (.cr2: 1; convert pictures to PNG or TIFF first)." in capsys.readouterr().err


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_becomes_png(source: Path, output: Path) -> None:
    (source / "a.avif").write_bytes(pillow("RGB", "AVIF"))
    assert run(source, output, *DENOISE) == 0
    assert read_image(output / "a.png").pixels.shape == (7, 9, 3)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write_is_named_by_its_file(source: Path, output: Path, capsys: Captured) -> None:
    (source / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    output.mkdir(mode=0o500)
    assert run(source, output, *DENOISE) == 1
    assert f"failed: {output / 'a.png'}: Permission denied." in capsys.readouterr().err


def test_an_error_while_writing_names_the_result(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught, atomic_path(tmp_path / "none" / "a.png") as temporary:
        temporary.write_bytes(b"")
    assert caught.value.filename == str(tmp_path / "none" / "a.png")
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match=r"a\.png") as caught, atomic_path(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "a.png"), None)


def test_a_report_that_cannot_be_written_is_named(source: Path, output: Path, capsys: Captured) -> None:
    """A full disk names no file."""
    if not Path("/dev/full").exists():
        pytest.skip("no full device here")
    (source / "a.png").write_bytes(encoded(".png", pixels(8, 8)))
    assert run(source, output, *DENOISE, "--report", "/dev/full") == 2
    assert "error: /dev/full: No space left on device." in capsys.readouterr().err


def test_empty_names_are_not_the_folder_that_one_is_in(source: Path, capsys: Captured) -> None:
    """As the shell makes them of variables that are not set."""
    for arguments in (("", str(source)), (str(source), "")):
        assert main(["restore", *DENOISE, *arguments]) == 2
        assert "The name of the input or of the output is empty" in capsys.readouterr().err


def test_what_cannot_be_written_is_found_before_the_network_runs(
    source: Path, output: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "a.png").write_bytes(encoded(".png", pixels(1, 16384)))
    monkeypatch.setattr("vheatir.inference.restorer.Restorer._restore", lambda *_: pytest.fail("computed for nothing"))
    assert run(source, output, *DENOISE, "--format", "webp") == 1
    assert "a.webp cannot hold 16384x1 pixels, its sides end at 16383; use --format png" in capsys.readouterr().err
