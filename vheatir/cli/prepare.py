"""``vheatir prepare``: check folders of clean images, leave out what overlaps with benchmarks, write what to train on.

vheatir prepare --source photos --exclude datasets/benchmarks --validation 16 --out datasets/mine --lmdb
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir.cli.shared import DONE, make_folder, new_parser, watched
from vheatir.errors import UsageError

if TYPE_CHECKING:
    from vheatir.data.prepare.checks import Finding

__all__ = ["build_parser", "run"]

_EPILOG: Final = """\
Images are named folder/file, as in BSD/12003.jpg. OUT receives

  train.txt, validation.txt   names, for include_list and exclude_list of an option file
  report.csv                  every image that was left out, and why; remarks on those that were kept
  train.lmdb, validation.lmdb with --lmdb

Image files are never changed, moved or deleted.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("prepare", "Prepare folders of clean images for training.", _EPILOG)
    parser.add_argument(
        "--source", type=Path, action="append", required=True, help="folder of images and subfolders; repeatable"
    )
    parser.add_argument(
        "--exclude", type=Path, action="append", default=[], help="folder of benchmark images; repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, made if missing")
    parser.add_argument(
        "--validation", default="16", help="how many images to hold out, or a text file of their names (default: 16)"
    )
    parser.add_argument("--lmdb", action="store_true", help="also write the images to LMDBs, in BasicSR's layout")
    parser.add_argument(
        "--min-size", type=int, default=128, help="leave out images less high or wide, in pixels (default: 128)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw of validation images (default: 0)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check, write the lists and the report, print a summary, and return the exit code."""
    from vheatir.data.prepare.checks import check_images
    from vheatir.data.prepare.overlap import BenchmarkIndex
    from vheatir.data.prepare.report import write_report
    from vheatir.data.prepare.split import name_images
    from vheatir.data.sources import find_in_folders

    _refuse_unusable(arguments)
    named = name_images(find_in_folders(arguments.source, "--source"))
    _choose_validation(arguments.validation, [name for name, _ in named], arguments.seed)  # fails early if it must
    make_folder(arguments.out, "folder of --out")
    benchmarks = BenchmarkIndex(watched(find_in_folders(arguments.exclude, "--exclude"), "Indexing benchmarks"))
    findings = check_images(watched(named, "Checking images"), min_size=arguments.min_size, benchmarks=benchmarks)
    report = arguments.out / "report.csv"
    write_report(report, findings)
    usable = [finding for finding in findings if finding.problem is None]
    if not usable:
        raise UsageError(f"None of the {len(findings)} images can be used: {report} says why.")
    validation = _choose_validation(arguments.validation, [finding.name for finding in usable], arguments.seed)
    _write_splits(arguments, usable, set(validation))
    _summarise(findings, len(validation), report)
    return DONE


def _refuse_unusable(arguments: argparse.Namespace) -> None:
    """Raise what would otherwise be found out only after the long part."""
    for folder in (*arguments.source, *arguments.exclude):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder: check --source and --exclude.")
    if arguments.min_size < 1:
        raise UsageError(f"--min-size is {arguments.min_size}: give a number of pixels, 1 or more.")
    if arguments.lmdb and find_spec("lmdb") is None:
        raise UsageError("--lmdb needs the package lmdb: pip install 'vheatir[train]'.")
    for existing in (arguments.out / "train.lmdb", arguments.out / "validation.lmdb"):
        if arguments.lmdb and existing.exists():
            raise UsageError(f"{existing} exists already: remove it, or choose another --out.")


def _choose_validation(option: str, names: Sequence[str], seed: int) -> list[str]:
    from vheatir.data.prepare.split import draw_validation, list_validation
    from vheatir.data.sources import read_name_list

    if option.isdecimal():
        return draw_validation(names, int(option), seed)
    if not Path(option).is_file():
        raise UsageError(f"--validation is {option}: give a number of images, or a text file of names.")
    return list_validation(names, read_name_list(option), Path(option))


def _write_splits(arguments: argparse.Namespace, usable: Sequence[Finding], validation: set[str]) -> None:
    from vheatir.data.prepare.lmdb_writer import write_lmdb
    from vheatir.data.prepare.split import write_name_list

    splits = {
        "train": [finding for finding in usable if finding.name not in validation],
        "validation": [finding for finding in usable if finding.name in validation],
    }
    for split, findings in splits.items():
        write_name_list(arguments.out / f"{split}.txt", [finding.name for finding in findings])
        if arguments.lmdb and findings:
            write_lmdb(arguments.out / f"{split}.lmdb", watched(findings, f"Writing {split}.lmdb"))


def _summarise(findings: Sequence[Finding], validation: int, report: Path) -> None:
    problems = Counter(finding.problem for finding in findings if finding.problem is not None)
    left_out = sum(problems.values())
    reasons = ", ".join(f"{count} {problem}" for problem, count in sorted(problems.items())) or "none"
    print(f"{len(findings)} images: {len(findings) - left_out - validation} to train, {validation} to validate.")
    print(f"Left out: {reasons}. Reasons, and remarks on others, are in {report}.")
