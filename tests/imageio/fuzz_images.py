"""Mutated image files through reading, metadata and writing, for as long as is asked; not a test, pytest leaves it.

    PYTHONPATH=. nice python tests/imageio/fuzz_images.py --minutes 20 --keep found/ [FOLDER of images ...]

Of every case the readers of headers, tables and metadata see the bytes alone: EXIF, ICC and XMP data, quantisation
tables, TIFF tags, PNG chunks. One case of four is also read as a file, written in each format, and read back.

A finding is kept as a file: an error other than ``ImageError``, a crash, 20 seconds of processor time without an
answer, pixels that differ when the same bytes are read again (of memory that nobody wrote), a size that the header does
not tell, or a picture that cannot be read back from what was written.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import signal
import struct
import traceback
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as PillowImage
from PIL import PngImagePlugin, features
from test_damaged_files import SEEDS, SRGB, XMP

from vheatir.imageio.containers import fitted, read_metadata, with_metadata_in
from vheatir.imageio.headers import heif_bits, heif_name, stored_size
from vheatir.imageio.images import ImageError
from vheatir.imageio.jpeg import is_jpeg, jpeg_quality, tidied, without_notes
from vheatir.imageio.metadata import orientation, with_upright_tag
from vheatir.imageio.read import read_image
from vheatir.imageio.tiff import directory_of, is_tiff, page_count, with_metadata
from vheatir.imageio.tiff_pixels import TiffError, read_layout
from vheatir.imageio.white_level import white_level
from vheatir.imageio.write import prepared, write_image

_BATCH = 100
_LONGEST = 20
_MEMORY = 6 * 2**30
_LARGEST_SEED = 60_000
_NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1)


def more_seeds() -> list[bytes]:
    """Files whose headers, tables and metadata are of other kinds than those of the tests."""
    pixels = np.random.default_rng(1).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    picture = PillowImage.fromarray(pixels)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Hill")
    texts.add_text("Raw profile type iptc", "\niptc\n      12\n" + (b"8BIM\4\4\0\0\0\0\0\0").hex(), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    for name, content in (
        (b"gAMA", bytes(4)), (b"cHRM", bytes(32)), (b"sRGB", b"\0"), (b"cICP", bytes(4)), (b"sBIT", b"\5\6\5"),
        (b"tIME", bytes(7)), (b"acTL", struct.pack(">II", 1, 0)),
    ):  # fmt: skip
        texts.add(name, content)
    exif = PillowImage.Exif()
    exif[0x0112], exif[282], exif[271] = 5, 72.0, "Maker"
    exif.get_ifd(0x8769)[0x829A] = 0.5
    exif.get_ifd(0x8825)[1] = "N"
    told: dict[str, Any] = {"exif": exif, "dpi": (72, 72)}
    kinds: list[tuple[PillowImage.Image, str, dict[str, Any]]] = [
        (picture, "PNG", {"pnginfo": texts, "icc_profile": SRGB, **told}),
        (picture.quantize(8), "PNG", {"transparency": b"\0\1\2", "bits": 4}),
        (picture.convert("L"), "PNG", {"transparency": 3}),
        (PillowImage.fromarray(pixels[..., 0].astype(np.uint16)), "PNG", {}),
        (picture, "JPEG", {"comment": b"words", "xmp": XMP, "subsampling": 2, **told}),
        (picture.convert("CMYK"), "JPEG", {"icc_profile": SRGB}),
        (picture.convert("L"), "JPEG", {"qtables": [list(range(1, 65))]}),
        (picture.convert("1"), "TIFF", {"compression": "group4"}),
        (picture.quantize(9), "TIFF", {"compression": "packbits"}),
        (picture.convert("YCbCr"), "TIFF", {"compression": "jpeg"}),
        (picture.convert("RGBA"), "TIFF", {"icc_profile": SRGB, **told}),
        (picture.convert("RGBA"), "WEBP", {"lossless": True, "icc_profile": SRGB, "exif": exif, "xmp": XMP}),
        (picture.quantize(9), "BMP", {}),
    ]
    if features.check("avif"):
        kinds.append((picture, "AVIF", {"exif": exif, "icc_profile": SRGB}))
    found = []
    for image, kind, how in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **how)
        found.append(buffer.getvalue())
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(pixels, photometric="rgb", subifds=1, extratags=[(700, 1, len(XMP), XMP, True)])
        writer.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
    iptc = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\6\x1c\2\x78\0\1a"
    parts = [b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc]
    for number, part in ((2, SRGB[300:]), (1, SRGB[:300])):
        content = b"ICC_PROFILE\0" + bytes((number, 2)) + part
        parts.append(b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content)
    jpeg = SEEDS["JPEG"]
    return [*found, buffer.getvalue(), jpeg[:2] + b"".join(parts) + jpeg[2:]]


def mutated(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """One to four changes, mostly near the start, where headers, tables and metadata stand."""
    changed = bytearray(with_another_part(data, rng) if rng.random() < 0.3 else data)
    for _ in range(rng.integers(0 if changed != data else 1, 5)):
        if len(changed) < 8:
            break
        reach = len(changed) if rng.random() < 0.3 else min(len(changed), 1200)
        at = int(rng.integers(0, reach))
        match int(rng.integers(0, 8)):
            case 0:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                changed[at] = int(rng.integers(0, 256))
            case 2:
                order, size = "<>"[int(rng.integers(0, 2))], "BHI"[int(rng.integers(0, 3))]
                limit = 256 ** struct.calcsize(size)
                number = struct.pack(order + size, _NUMBERS[int(rng.integers(0, len(_NUMBERS)))] % limit)
                changed[at : at + len(number)] = number
            case 3:
                del changed[at : at + int(rng.integers(1, 40))]
            case 4:
                changed[at:at] = rng.bytes(int(rng.integers(1, 40)))
            case 5:
                source = int(rng.integers(0, reach))
                changed[at:at] = changed[source : source + int(rng.integers(4, 200))]
            case 6:
                other = others[int(rng.integers(0, len(others)))]
                source = int(rng.integers(0, min(len(other), 1200)))
                changed[at : at + 40] = other[source : source + 40]
            case _:
                del changed[at + len(changed) // 2 :]
    return with_right_sums(bytes(changed)) if rng.random() < 0.8 else bytes(changed)


def with_another_part(data: bytes, rng: np.random.Generator) -> bytes:
    """A PNG or JPEG one of whose chunks or segments has become shorter or longer, and says so."""
    is_png = data.startswith(b"\x89PNG")
    places = [(at, *bounds) for at, *bounds in _parts(data, is_png=is_png)]
    if not places:
        return data
    at, start, end = places[int(rng.integers(0, len(places)))]
    content = data[start:end][: int(rng.integers(0, end - start + 1))] + rng.bytes(int(rng.integers(0, 9)))
    if is_png:
        name = data[at + 4 : at + 8]
        return data[:at] + struct.pack(">I", len(content)) + name + content + bytes(4) + data[end + 4 :]
    return data[: at + 2] + struct.pack(">H", (len(content) + 2) % 65536) + content + data[end:]


def _parts(data: bytes, *, is_png: bool) -> list[tuple[int, int, int]]:
    """Where the parts of a whole PNG or JPEG begin, and their content begins and ends."""
    found, at = [], 8 if is_png else 2
    while at + 12 <= len(data) and (is_png or data[:2] == b"\xff\xd8"):
        start = at + (8 if is_png else 4)
        length = struct.unpack_from(">I" if is_png else ">H", data, at if is_png else at + 2)[0]
        end = start + length - (0 if is_png else 2)
        if end > len(data) or data[at : at + 2] == b"\xff\xda":
            break
        found.append((at, start, end))
        at = end + (4 if is_png else 0)
    return found


def with_right_sums(data: bytes) -> bytes:
    """A PNG whose check sums fit its chunks again, or decoders would look no further."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def read_headers(data: bytes) -> None:
    """All that is read of a file without its pixels, and written with others' pixels."""
    data = tidied(data) or data
    stored_size(data)
    heif_name(data)
    heif_bits(data)
    if is_jpeg(data):
        without_notes(data)
        with suppress(ValueError):  # no luminance table
            assert 1 <= jpeg_quality(data) <= 100
    if is_tiff(data):
        page_count(data)
        directory_of(data)
        with suppress(TiffError):
            read_layout(data)
    white_level(np.arange(4, dtype=np.uint16), data)
    told = read_metadata(data).upright()
    assert 1 <= orientation(told.exif) <= 8
    if told.exif is not None:
        assert orientation(with_upright_tag(told.exif)) == 1
    for suffix, empty in EMPTY.items():
        fitting = fitted(told, suffix, is_gray=False)
        if suffix == ".tif":
            given: dict[str, Any] = {"exif": fitting.exif, "icc": fitting.icc, "xmp": fitting.xmp, "iptc": fitting.iptc}
            written = with_metadata(empty, **given)
        else:
            written = with_metadata_in(suffix, empty, fitting)
        again = PillowImage.open(io.BytesIO(written))
        again.load()
        assert again.size == (4, 4), suffix


def _empty_files() -> dict[str, bytes]:
    """A file without metadata of each format."""
    found = {}
    for suffix, kind in ((".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF"), (".webp", "WEBP"), (".bmp", "BMP")):
        buffer = io.BytesIO()
        PillowImage.new("RGB", (4, 4)).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
        found[suffix] = buffer.getvalue()
    return found


EMPTY = _empty_files()


def problem_of(path: Path) -> str:
    """What is wrong with how a file is read and written; "" if nothing is."""
    try:
        image = read_image(path, max_megapixels=4)
    except ImageError as error:
        return "" if str(path) in str(error) else f"the message names no file: {error}"
    again = read_image(path, max_megapixels=4)
    if not np.array_equal(image.pixels, again.pixels):
        return "other pixels at the second reading"
    size = stored_size(path.read_bytes())
    if size is not None and image.pixels.shape[1::-1] != size:
        return f"{image.pixels.shape[1::-1]} pixels, the header tells {size}"
    upright = image.upright()
    for suffix in (".png", ".tif", ".webp", ".jpg", ".bmp"):
        try:
            prepared(path.with_suffix(suffix), upright, quality=90)
        except ImageError:
            continue
        result = path.with_name(f"result{suffix}")
        write_image(result, upright, quality=90)
        if suffix in (".png", ".tif") and not np.array_equal(read_image(result).pixels, upright.pixels):
            return f"other pixels in the {suffix} that was written"
    return ""


def fuzz_batch(seeds: Sequence[bytes], start: int, folder: Path) -> None:
    """In a process of its own: what kills it leaves its file."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries' own words about damage
    for number in range(start, start + _BATCH):
        rng = np.random.default_rng(number)
        path = folder / "case.png"
        path.write_bytes(mutated(seeds[int(rng.integers(0, len(seeds)))], rng, seeds))
        signal.setitimer(signal.ITIMER_PROF, _LONGEST)
        try:
            read_headers(path.read_bytes())
            problem = problem_of(path) if number % 4 == 0 else ""
        except Exception:  # noqa: BLE001  # any other error is a finding
            problem = traceback.format_exc()
        if problem:
            (folder / f"{number}.bin").write_bytes(path.read_bytes())
            (folder / f"{number}.txt").write_text(problem)


def main() -> None:
    parser = argparse.ArgumentParser(description="Read and write mutated image files.")
    parser.add_argument("folders", type=Path, nargs="*", help="images to start from, beside the tests' own")
    parser.add_argument("--minutes", type=float, default=1, help="of processor time")
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--keep", type=Path, required=True, help="folder for what is found")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    files = [path for folder in arguments.folders for path in sorted(folder.rglob("*")) if path.is_file()]
    seeds = [
        *SEEDS.values(),
        *more_seeds(),
        *(path.read_bytes() for path in files if 0 < path.stat().st_size <= _LARGEST_SEED),
    ]
    number = arguments.start
    while sum(os.times()[:4]) < 60 * arguments.minutes:
        child = os.fork()
        if child == 0:
            fuzz_batch(seeds, number, arguments.keep)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            case = arguments.keep / f"killed-{number}-by-{status}.bin"
            case.write_bytes((arguments.keep / "case.png").read_bytes())
        number += _BATCH
    print(f"{number - arguments.start} cases, {sum(os.times()[:4]):.0f} s, findings in {arguments.keep}")


if __name__ == "__main__":
    main()
