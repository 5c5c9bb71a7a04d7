"""``vheatir pack``: training and validation images in one archive of limited size, to train from on another machine.

vheatir pack --source datasets/train --validation datasets/splits/validation.txt --out datasets/packed.tar
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from vheatir.cli.shared import DONE, new_parser, watched
from vheatir.errors import UsageError

__all__ = ["build_parser", "run"]

_EPILOG: Final = """\
The archive keeps the images' names, folder/file as in BSD/12003.jpg, and training reads it as it is:

  dataroot_gt: datasets/packed.tar

with the same include_list and exclude_list as the folders. Image files are never changed, moved or deleted.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("pack", "Pack clean images into one archive, at the best quality that fits.", _EPILOG)
    parser.add_argument(
        "--source", type=Path, action="append", required=True, help="folder of images and subfolders; repeatable"
    )
    parser.add_argument(
        "--validation", type=Path, required=True, help="text file of the names to validate with, copied as they are"
    )
    parser.add_argument(
        "--exclude-list", type=Path, action="append", default=[], help="text file of names to leave out; repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, help="the archive to write, ending in .tar")
    parser.add_argument(
        "--max-bytes", type=float, default=60e6, help="size of the archive at most (default: 60e6, 60 MB)"
    )
    parser.add_argument(
        "--halve-above",
        type=float,
        default=0.25,
        help="reduce training images of more megapixels than this to half their height and width (default: 0.25)",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Pack, say what was packed, and return the exit code."""
    from vheatir.data.prepare.archive_writer import LOSSLESS, pack_images
    from vheatir.data.prepare.split import list_validation, name_images
    from vheatir.data.sources import find_in_folders, read_name_list

    if arguments.out.suffix != ".tar":
        raise UsageError(f"--out is {arguments.out}: give a file that ends in .tar.")
    paths = find_in_folders(arguments.source, "--source")
    excluded = set().union(*map(read_name_list, arguments.exclude_list))
    named = [(name, path) for name, path in name_images(paths) if name not in excluded]
    names = [name for name, _ in named]
    validation = set(list_validation(names, read_name_list(arguments.validation), arguments.validation))
    packed = pack_images(
        named,
        arguments.out,
        validation=validation,
        max_bytes=int(arguments.max_bytes),
        halve_above=arguments.halve_above,
        watch=lambda images: watched(images, "Encoding"),
    )
    how = "lossless WebP" if packed.quality == LOSSLESS else f"JPEG {packed.quality}, 4:4:4"
    print(
        f"{arguments.out}: {packed.bytes / 1e6:.1f} MB, {len(named)} images, {len(validation)} of them to validate; "
        f"{packed.verbatim} files as they are, {packed.encoded} encoded as {how}, {packed.halved} at half size."
    )
    return DONE
