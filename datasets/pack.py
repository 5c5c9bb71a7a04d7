"""Pack training and validation images into one archive of limited size, to train from on another machine.

python datasets/pack.py --source datasets/train --validation datasets/splits/validation.txt --out datasets/packed.tar
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

# A script's own folder is on the path, and the root of the checkout is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

_EPILOG: Final = """\
The archive keeps the images' names, folder/file as in BSD/12003.jpg, and training reads it as it is:

  dataroot_gt: datasets/packed.tar

with the same include_list and exclude_list as the folders. Image files are never changed, moved or deleted.
Exit codes: 0 done; 2 not done, with the reason; 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        description="Pack clean images into one archive, at the best quality that fits.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; argparse exits by itself on malformed arguments."""
    arguments = build_parser().parse_args(argv)

    from vheatir.data.prepare.command import run_command

    return run_command("pack.py", lambda: _pack(arguments))


def _pack(arguments: argparse.Namespace) -> None:
    from vheatir.data.prepare.archive_writer import LOSSLESS, pack_images
    from vheatir.data.prepare.command import find_in_folders
    from vheatir.data.prepare.split import list_validation, name_images
    from vheatir.data.sources import read_name_list

    if arguments.out.suffix != ".tar":
        raise ValueError(f"--out is {arguments.out}: give a file that ends in .tar.")
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
        watch=_bar,
    )
    how = "lossless WebP" if packed.quality == LOSSLESS else f"JPEG {packed.quality}, 4:4:4"
    print(
        f"{arguments.out}: {packed.bytes / 1e6:.1f} MB, {len(named)} images, {len(validation)} of them to validate; "
        f"{packed.verbatim} files as they are, {packed.encoded} encoded as {how}, {packed.halved} at half size."
    )


def _bar(items: Iterable[int]) -> Iterable[int]:
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(items, desc="Encoding", unit="image")
    return bar


if __name__ == "__main__":
    sys.exit(main())
