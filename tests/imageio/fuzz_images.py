"""Mutated image files through reading, metadata and writing, for as long as is asked; not a test, pytest leaves it.

    PYTHONPATH=. nice python tests/imageio/fuzz_images.py --minutes 20 --keep found/ [FOLDER of images ...]

A finding is kept as a file: an error other than ``ImageError``, a crash, 20 seconds of processor time without an
answer, pixels that differ when the same bytes are read again (of memory that nobody wrote), a size that the header does
not tell, or a picture that cannot be read back from what was written.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import struct
import traceback
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from test_damaged_files import SEEDS

from vheatir.imageio.headers import stored_size
from vheatir.imageio.images import ImageError
from vheatir.imageio.read import read_image
from vheatir.imageio.write import prepared, write_image

_BATCH = 100
_LONGEST = 20
_MEMORY = 6 * 2**30
_LARGEST_SEED = 60_000
_NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1)


def mutated(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """One to four changes, mostly near the start, where headers, tables and metadata stand."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
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
    for number in range(start, start + _BATCH):
        rng = np.random.default_rng(number)
        path = folder / "case.png"
        path.write_bytes(mutated(seeds[int(rng.integers(0, len(seeds)))], rng, seeds))
        signal.setitimer(signal.ITIMER_PROF, _LONGEST)
        try:
            problem = problem_of(path)
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
    seeds = [*SEEDS.values(), *(path.read_bytes() for path in files if 0 < path.stat().st_size <= _LARGEST_SEED)]
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
