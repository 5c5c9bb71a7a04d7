"""``vheatir speed``: our networks, SwinIR and window attention, by size, in one interleaved run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir.cli.shared import DONE, check_parent, new_parser
from vheatir.errors import UsageError
from vheatir.speed.row_list import DEFAULT_NAMES, ROW_NAMES, rows_help

if TYPE_CHECKING:
    from vheatir.speed.report import SpeedReport

__all__ = ["build_parser", "check_measuring", "run"]

_DEFAULT_SIZES: Final = (64, 128, 256, 512, 768, 1024, 2048)

_EPILOG: Final = f"""\
rows:
{rows_help()}

Every row is measured in turns with the others: within this process, and as whole processes, which also give the peak
memory. Ratios are taken round by round. Sizes ascend; a row that would exceed --limit or the free memory is skipped,
and the table says so. The file is written after every size.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("speed", "Compare the speed and the memory of our networks with SwinIR's.", _EPILOG)
    parser.add_argument("--sizes", type=int, nargs="+", default=_DEFAULT_SIZES, help="sides of the images in pixels")
    parser.add_argument("--rows", nargs="+", default=DEFAULT_NAMES, choices=ROW_NAMES, metavar="ROW", help="see below")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each call (default: 5)")
    parser.add_argument("--processes", type=int, default=3, help="measurements of each whole process (default: 3)")
    parser.add_argument(
        "--limit", type=float, default=300.0, help="seconds for a row's calls at one size (default: 300)"
    )
    parser.add_argument("--threads", type=int, help="torch's threads (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument(
        "--photos", type=int, default=0, help="also run vheatir restore on as many photos of 2 megapixels (default: 0)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the measurements as JSON")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing, print the tables of such a file")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Measure, or read what was measured, print Markdown, and return the exit code."""
    if arguments.show is None:
        _check(arguments)

    from vheatir.speed.report import SPEED_FILE, markdown

    report = _measure(arguments) if arguments.show is None else SPEED_FILE.read(arguments.show)
    print(markdown(report), end="")
    return DONE


def _check(arguments: argparse.Namespace) -> None:
    if min(arguments.sizes) < 16:
        raise UsageError("--sizes are 16 pixels or more.")
    if min(arguments.rounds, arguments.processes, arguments.threads or 1) < 1 or arguments.photos < 0:
        raise UsageError("--rounds, --processes and --threads are 1 or more, --photos 0 or more.")
    check_measuring(arguments)


def check_measuring(arguments: argparse.Namespace) -> None:
    """Refuse a --limit or an --output with which nothing can be measured.

    Raises:
        UsageError: if the limit is not more than 0, or the output's folder does not exist.
    """
    if not arguments.limit > 0:
        raise UsageError("--limit is more than 0 seconds.")
    check_parent(arguments.output, "--output")


def _measure(arguments: argparse.Namespace) -> SpeedReport:
    import torch

    from vheatir.evaluation.environment import describe_environment
    from vheatir.inference.compute import select_device
    from vheatir.speed.folder import measure_folder
    from vheatir.speed.measure import Plan, measure_sizes
    from vheatir.speed.report import SPEED_FILE, Cell, SpeedReport

    device = select_device(arguments.device)
    threads = arguments.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes that are started
    plan = Plan(
        rows=list(dict.fromkeys(arguments.rows)),
        sizes=arguments.sizes,
        rounds=arguments.rounds,
        processes=arguments.processes,
        limit=arguments.limit,
        threads=threads,
        device=device,
    )
    environment = describe_environment(device)
    cells: list[Cell] = []

    def write() -> None:
        if arguments.output is not None:
            SPEED_FILE.write(arguments.output, report)

    report = SpeedReport(environment, cells)
    for finished in measure_sizes(plan):
        cells += finished
        write()
    if arguments.photos:
        photos = measure_folder(photos=arguments.photos, megapixels=2.0, rounds=arguments.processes, threads=threads)
        report = SpeedReport(environment, cells, photos)
        write()
    return report
