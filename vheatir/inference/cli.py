"""The command: ``python inference.py --task denoise --sigma 15 in/ out/``, or ``vheatir`` once installed.

Nothing heavy is imported before the arguments are known to be well formed: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir import __version__
from vheatir.inference.paths import Job, UsageError, plan_jobs

if TYPE_CHECKING:
    from vheatir.inference.folder import FileReport, Settings

__all__ = ["build_parser", "main"]

DONE: Final = 0
SOME_FAILED: Final = 1
BAD_USAGE: Final = 2
INTERRUPTED: Final = 130

_EPILOG: Final = """\
Results keep their input's name, folder structure, bit depth and alpha channel, but no metadata (EXIF, ICC).
PNG, TIFF, BMP and WebP are written in their own format, without loss; JPEG inputs are written as PNG, since
JPEG would add artifacts back. Results of an earlier run are replaced, inputs never are.

examples:
  %(prog)s --task denoise --sigma 25 noisy/ out/
  %(prog)s --task jpeg photo.jpg out/

exit codes:
  0 all restored; 1 some files failed, the others are done; 2 wrong usage, or the one image given cannot be
  restored; 130 interrupted, whole results are kept
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        description="Remove Gaussian noise or JPEG artifacts from images that have them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, help="degraded image, or folder of them with its subfolders")
    parser.add_argument("output", type=Path, help="folder for the results, made if missing")
    parser.add_argument("--task", required=True, choices=("denoise", "jpeg"), help="what to remove")
    parser.add_argument(
        "--sigma", type=float, help="denoise: standard deviation of the noise, in 8-bit units (0 to 55)"
    )
    parser.add_argument(
        "--quality",
        type=float,
        help="jpeg: quality the images were saved with, 1 to 100 (default: read from each JPEG file)",
    )
    parser.add_argument(
        "--model",
        help="bundled name (denoise-gray, denoise-color, jpeg-gray, jpeg-color) or weights file "
        "(default: the bundled one for gray or colour, chosen by image)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "bf16", "fp16"),
        help="arithmetic of the network; fp16 needs a GPU (default: fp32)",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and failures")
    parser.add_argument("--version", action="version", version=f"vheatir {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; argparse exits by itself on malformed arguments."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING if arguments.quiet else logging.INFO, format="%(message)s")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # failures are reported in our own words
    try:
        return _run(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    _check_levels(arguments)
    jobs = plan_jobs(arguments.input, arguments.output)

    from vheatir.inference.folder import check_settings

    settings = check_settings(
        task=arguments.task,
        sigma=arguments.sigma,
        quality=arguments.quality,
        model=arguments.model,
        device=arguments.device,
        precision=arguments.precision,
    )
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The output folder {arguments.output} cannot be made: {error.strerror}.") from error

    reports: list[FileReport] = []
    try:
        _restore_all(jobs, settings, reports, quiet=arguments.quiet)
    finally:
        _print_reports(reports, arguments.output, quiet=arguments.quiet)
    return _exit_code(reports, single=not arguments.input.is_dir())


def _check_levels(arguments: argparse.Namespace) -> None:
    """Refuse a missing level, or one of the other task."""
    if arguments.task == "denoise" and arguments.sigma is None:
        raise UsageError("--task denoise needs --sigma, the standard deviation of the noise in 8-bit units.")
    if arguments.task == "denoise" and arguments.quality is not None:
        raise UsageError("--quality belongs to --task jpeg; leave it out, or change the task.")
    if arguments.task == "jpeg" and arguments.sigma is not None:
        raise UsageError("--sigma belongs to --task denoise; leave it out, or change the task.")


def _restore_all(jobs: Sequence[Job], settings: Settings, reports: list[FileReport], *, quiet: bool) -> None:
    """Restore the files behind a progress bar; ``reports`` grows on the way, so an interruption leaves it."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from vheatir.inference.folder import restore_files

    with logging_redirect_tqdm(), tqdm(total=len(jobs), unit="image", disable=quiet) as bar:
        for report in restore_files(jobs, settings):
            reports.append(report)
            bar.update()


def _print_reports(reports: Sequence[FileReport], output: Path, *, quiet: bool) -> None:
    failures = [report for report in reports if report.failure is not None]
    for report in failures:
        print(f"failed: {report.failure}", file=sys.stderr)
    if quiet:
        return
    for report in reports:
        if report.failure is None:
            print(_line(report))
    seconds = sum(report.seconds for report in reports)
    print(f"{len(reports) - len(failures)} restored to {output}, {len(failures)} failed, {seconds:.1f} s")


def _line(report: FileReport) -> str:
    """One line a file: name, size, level, time; and the result's name where it differs."""
    name, result = report.job.name, report.job.destination.name
    shown = f"{name}" if result == name.name else f"{name} -> {result}"
    return f"{shown}  {report.width}x{report.height}  {report.level}  {report.seconds:.2f} s"


def _exit_code(reports: Sequence[FileReport], *, single: bool) -> int:
    failures = [report for report in reports if report.failure is not None]
    if not failures:
        return DONE
    return BAD_USAGE if single and failures[0].is_bad_input else SOME_FAILED
