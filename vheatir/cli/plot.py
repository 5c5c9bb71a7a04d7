"""``vheatir plot RESULTS... --output FOLDER``: quality against level, work and time, from result files."""

from __future__ import annotations

import argparse
from pathlib import Path

from vheatir.cli.shared import DONE, make_folder, new_parser

__all__ = ["build_parser", "run"]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    description = "Plot PSNR against level, multiply-adds and seconds, one figure a set, from result files."
    parser = new_parser("plot", description)
    parser.add_argument("results", type=Path, nargs="+", help="result files of vheatir benchmark or test (JSON)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where to, made if missing")
    parser.add_argument("--format", choices=("png", "pdf", "svg"), default="png", help="of the figures (default: png)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Plot, name the files, and return the exit code."""
    from vheatir.evaluation.plots import plot_results
    from vheatir.evaluation.results import read_results

    results = [result for path in arguments.results for result in read_results(path)]
    make_folder(arguments.output, "folder of --output")
    for path in plot_results(results, arguments.output, suffix=arguments.format):
        print(path)
    return DONE
