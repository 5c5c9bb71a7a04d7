"""``vheatir restore --task denoise --sigma 15 in/ out/``: restores an image, or a folder of them."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir import __version__
from vheatir.cli.shared import (
    BAD_USAGE,
    DONE,
    FAILED,
    check_parent,
    make_folder,
    new_parser,
    number_or_auto,
    printable,
    progress,
)
from vheatir.errors import UsageError
from vheatir.imageio.formats import FORMATS
from vheatir.inference.paths import Job, Selection, plan_jobs
from vheatir.system.threads import choose_threads

if TYPE_CHECKING:
    from vheatir.inference.folder import Settings
    from vheatir.inference.report import FileReport

__all__ = ["build_parser", "run"]

_TASK_HELP: Final = (
    "what to remove: photo, whatever is wrong with a real photograph (noise of the camera, film grain, compression); "
    "denoise, white noise of known strength; jpeg, compression alone"
)
#: files that are listed before the first is restored
_AHEAD: Final = 10_000
_EPILOG: Final = """\
Results keep their input's name, folder structure, bit depth, alpha channel, EXIF data, ICC profile, XMP and
resolution, as far as the format holds them; they are turned as the EXIF orientation asks. PNG, TIFF, BMP and WebP are
written in their own format, without loss; AVIF becomes PNG, and so does JPEG, which would add artifacts back, unless
--quality-out is given. Results of an earlier run are replaced (or kept: --skip-existing), inputs never are. JPEG files
whose data are cut or damaged are not restored.

examples:
  %(prog)s --task photo photos/ out/
  %(prog)s --task denoise --sigma 25 noisy/ out/
  %(prog)s --task denoise --sigma auto --skip-existing --report out.jsonl photos/ out/
  %(prog)s --task jpeg photo.jpg out/
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("restore", "Remove noise and JPEG artifacts from photographs.", _EPILOG)
    parser.add_argument(
        "input", help="degraded image, or folder of them with its subfolders; with --engine ray s3://, gs://, ... too"
    )
    parser.add_argument("output", help="folder for the results, made if missing")
    parser.add_argument("--task", required=True, choices=("photo", "denoise", "jpeg"), help=_TASK_HELP)
    _add_levels(parser)
    _add_computing(parser)
    _add_files(parser)
    _add_engine(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and failures")
    parser.add_argument("--version", action="version", version=f"vheatir {__version__}")
    return parser


def _add_levels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sigma",
        type=_sigma,
        help="denoise: standard deviation of the noise, in 8-bit units (0 to 55), or R,G,B with one for each channel, "
        "or auto to estimate it",
    )
    parser.add_argument(
        "--quality",
        type=number_or_auto,
        help="jpeg: quality the images were saved with, 1 to 100, or auto to read it from each JPEG file, and to look "
        "for traces of (earlier) compression in the pixels of all files (default)",
    )
    parser.add_argument(
        "--strength", type=float, default=1.0, help="factor of the level, given or estimated: less or more (default: 1)"
    )


def _add_computing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        help="bundled name (photo, denoise-gray, denoise-color, jpeg-gray, jpeg-color) or weights file "
        "(default: the bundled one for gray or colour, chosen by image)",
    )
    parser.add_argument(
        "--backend",
        default="auto",
        choices=("auto", "torch", "onnx"),
        help="what computes: torch, or onnxruntime (default: torch where it is installed)",
    )
    parser.add_argument("--device", default="auto", help="torch: auto, cpu, cuda, cuda:1, mps, ... (default: auto)")
    parser.add_argument("--provider", help="onnx: execution provider, such as cuda, coreml or dml (default: cpu)")
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "bf16", "fp16"),
        help="torch: arithmetic of the network; fp16 needs a GPU (default: fp32)",
    )
    parser.add_argument(
        "--tile",
        type=int,
        help="largest side of the pieces in which large images are restored (default: by the free memory)",
    )
    parser.add_argument("--ensemble", action="store_true", help="mean over eight flips and turns: 8 times the work")


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=tuple(FORMATS), help="format of the results (default: the input's own)")
    parser.add_argument(
        "--quality-out", type=int, help="write JPEG inputs, or --format jpeg, as JPEGs of this quality, 1 to 100"
    )
    parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="only files of this name")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no files of this name")
    parser.add_argument(
        "--output-inside", action="store_true", help="the output may lie within the input, which is read without it"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only the I-th of N parts, 1/16 to 16/16, which share no file and together hold all: one a machine",
    )
    parser.add_argument("--skip-existing", action="store_true", help="leave out files that have a result already")
    parser.add_argument(
        "--white-level",
        type=_white_level,
        metavar="N",
        help="value of white in 16-bit files, 255 to 65535, such as 4095 (default: by tags and unused bits)",
    )
    parser.add_argument("--max-megapixels", type=float, help="refuse larger images (default: 500)")
    parser.add_argument("--compare", type=Path, metavar="FOLDER", help="write before | after | difference there")
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write a line of JSON on each file, as files finish; to NAME.parquet, parts of a Parquet table",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def _white_level(text: str) -> int:
    if not 255 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"white is 255 to 65535, not {text}")
    return int(text)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        choices=("here", "ray"),
        default="here",
        help="ray: restore in many processes, on this machine or on the cluster of RAY_ADDRESS (default: here)",
    )
    parser.add_argument(
        "--workers", type=int, help="ray: processes (default: as many as there is room for beside the listing)"
    )
    parser.add_argument("--worker-cpus", type=int, default=1, help="ray: processors and threads of each (default: 1)")
    parser.add_argument("--worker-gpus", type=float, default=0, help="ray: GPUs of each, 0.5 for a half (default: 0)")


def _shard(text: str) -> tuple[int, int]:
    number, count = map(int, text.split("/"))
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"the parts of {count} are 1/{count} to {count}/{count}, not {text}")
    return number, count


def _sigma(text: str) -> float | str | tuple[float, ...]:
    return tuple(map(float, text.split(","))) if "," in text else number_or_auto(text)


def run(arguments: argparse.Namespace) -> int:
    """Restore, say what became of each file, and return the exit code."""
    _check_arguments(arguments)
    selection = Selection(
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        format=arguments.format,
        keep_jpeg=arguments.quality_out is not None,
        inside=arguments.output_inside,
        shard=arguments.shard,
    )
    if arguments.engine == "ray":
        return _run_by_ray(arguments, selection)
    jobs = plan_jobs(Path(arguments.input), Path(arguments.output), selection)
    if arguments.dry_run:
        return _print_plan(jobs, skip_existing=arguments.skip_existing)

    choose_threads()
    settings = _settings(arguments)
    make_folder(Path(arguments.output), "output folder")

    from vheatir.inference.folder import restoring

    # of a small folder the bar knows the length; of a large one, what is ahead is not held
    ahead = list(itertools.islice(jobs, _AHEAD))
    total = len(ahead) if len(ahead) < _AHEAD else None
    return _follow(map(restoring(settings), itertools.chain(ahead, jobs)), arguments, total=total)


def _run_by_ray(arguments: argparse.Namespace, selection: Selection) -> int:
    from vheatir.inference.ray_engine import Pool, restore_by_ray

    if "://" in arguments.input or "://" in arguments.output:
        from vheatir.inference.remote import check_places, list_jobs, open_place, top_folders

        source, output = open_place(arguments.input), open_place(arguments.output)
        check_places(source, output)
        deep = [partial(list_jobs, source, output, selection, folder, deep=True) for folder in top_folders(source)]
        listings = [partial(list_jobs, source, output, selection, "", deep=False), *deep]
    else:
        arguments.input, arguments.output = os.path.abspath(arguments.input), os.path.abspath(arguments.output)
        listings = [partial(plan_jobs, Path(arguments.input), Path(arguments.output), selection)]
        listings[0]()  # refuses what cannot be done
    if arguments.model is not None and Path(arguments.model).exists():
        arguments.model = os.path.abspath(arguments.model)
    if arguments.compare is not None:
        arguments.compare = arguments.compare.absolute()
    if arguments.dry_run:
        jobs = itertools.chain.from_iterable(listing() for listing in listings)
        return _print_plan(jobs, skip_existing=arguments.skip_existing)
    pool = Pool(arguments.workers, arguments.worker_cpus, arguments.worker_gpus)
    return _follow(restore_by_ray(listings, partial(_restoring, arguments), pool), arguments, total=None)


def _restoring(arguments: argparse.Namespace) -> Callable[[Job], FileReport]:
    """What a process of Ray's restores files with."""
    from vheatir.inference.folder import restoring

    settings = _settings(arguments)
    if "://" in arguments.input or "://" in arguments.output:
        from vheatir.inference.remote import open_place, restore_remote

        source, output = open_place(arguments.input), open_place(arguments.output)
        return partial(restore_remote, settings=settings, source=source, output=output)
    return restoring(settings)


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse a missing level, or one of the other task; and files that would land among the inputs."""
    if not arguments.input or not arguments.output:
        raise UsageError("The name of the input or of the output is empty; the folder that you are in is called . .")
    if arguments.task == "denoise" and arguments.sigma is None:
        raise UsageError("--task denoise needs --sigma, the standard deviation of the noise in 8-bit units, or auto.")
    if arguments.task == "denoise" and arguments.quality is not None:
        raise UsageError("--quality belongs to --task jpeg; leave it out, or change the task.")
    if arguments.task == "jpeg" and arguments.sigma is not None:
        raise UsageError("--sigma belongs to --task denoise; leave it out, or change the task to denoise or photo.")
    if arguments.quality_out is not None and not 1 <= arguments.quality_out <= 100:
        raise UsageError(f"--quality-out is 1 to 100, not {arguments.quality_out}.")
    if arguments.format == "jpeg" and arguments.quality_out is None:
        raise UsageError("--format jpeg needs --quality-out, 1 to 100.")
    for option, path in (("--compare", arguments.compare), ("--report", arguments.report)):
        if path is not None and Path(arguments.input).is_dir() and _is_within(path, arguments.input):
            raise UsageError(f"{option} {path} lies within the input {arguments.input}; give a place outside of it.")
    if arguments.engine == "here" and "://" in arguments.input + arguments.output:
        raise UsageError("Places with :// are read and written by --engine ray.")
    if arguments.report is not None and "://" not in arguments.report:
        check_parent(Path(arguments.report), "--report")


def _is_within(path: str | Path, folder: str) -> bool:
    """Tell whether a path lies within a folder, links followed, but in no circle."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _print_plan(jobs: Iterable[Job], *, skip_existing: bool) -> int:
    code = DONE
    for job in jobs:
        if job.problem is not None:
            print(printable(f"{job.name}: {job.problem}"))
            code = FAILED
        elif skip_existing and job.destination.exists():
            print(printable(f"{job.name} -> {job.destination}  skipped, it exists"))
        else:
            print(printable(f"{job.name} -> {job.destination}"))
    return code


def _settings(arguments: argparse.Namespace) -> Settings:
    """Load the models and refuse what no file could be restored with."""
    from vheatir.inference.folder import Settings
    from vheatir.inference.restorer import Restorer

    restorer = Restorer(
        arguments.task,
        model=arguments.model,
        device=arguments.device,
        precision=arguments.precision,
        tile=arguments.tile or "auto",
        ensemble=arguments.ensemble,
        strength=arguments.strength,
        backend=arguments.backend,
        provider=arguments.provider,
    )
    quality = None if arguments.quality == "auto" else arguments.quality
    restorer.check(sigma=arguments.sigma, quality=quality)
    return Settings(
        restorer,
        sigma=arguments.sigma,
        quality=quality,
        quality_out=arguments.quality_out,
        max_megapixels=arguments.max_megapixels,
        white_level=arguments.white_level,
        skip_existing=arguments.skip_existing,
        compare=arguments.compare,
    )


def _report(arguments: argparse.Namespace) -> AbstractContextManager[Callable[[FileReport], None]]:
    """What takes down each file: the report, or nothing."""
    from vheatir.inference.report import json_lines, parquet_parts

    if arguments.report is None:
        return nullcontext(lambda _: None)
    write = parquet_parts if Path(arguments.report).suffix == ".parquet" else json_lines
    return write(arguments.report, go_on=arguments.skip_existing)


@dataclass
class _Tally:
    """Counts of what became of the files so far."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    megapixels: float = 0.0
    is_bad_input: bool = False

    def add(self, report: FileReport) -> None:
        self.counts[report.status] += 1
        self.seconds += report.seconds
        self.megapixels += report.width * report.height / 1e6
        self.is_bad_input = self.is_bad_input or report.is_bad_input

    def sentence(self, output: str) -> str:
        skipped = f", {self.counts['skipped']} skipped" if self.counts["skipped"] else ""
        done, failed = self.counts["restored"], self.counts["failed"]
        return f"{done} restored to {output}, {failed} failed{skipped}, {self.seconds:.1f} s"


def _follow(reports: Iterable[FileReport], arguments: argparse.Namespace, *, total: int | None) -> int:
    """Say and take down what becomes of each file, as it becomes known, above a progress bar; return the exit code."""
    from tqdm import tqdm

    # a bar of which nobody sees lines above it would be drawn for each of them
    say = tqdm.write if sys.stdout.isatty() and sys.stderr.isatty() else print
    tally, is_done = _Tally(), False
    with _report(arguments) as append:
        try:
            with progress(total, quiet=arguments.quiet) as advance:
                for report in reports:
                    append(report)
                    tally.add(report)
                    if report.reason is not None:
                        tqdm.write(printable(f"failed: {report.reason}"), file=sys.stderr)
                    elif report.status == "restored" and not arguments.quiet:
                        say(printable(_line(report)), file=sys.stdout)
                    advance(f"{tally.megapixels / tally.seconds:.3g} megapixels/s" if tally.megapixels else "")
            is_done = True
        finally:
            if not arguments.quiet and (is_done or tally.counts):
                print(printable(tally.sentence(arguments.output)))
    if not tally.counts and arguments.shard == (1, 1):  # a part of many may be empty
        raise UsageError(f"The input {arguments.input} holds no images that are wanted.")
    if not tally.counts["failed"]:
        return DONE
    return BAD_USAGE if tally.is_bad_input and Path(arguments.input).is_file() else FAILED


def _line(report: FileReport) -> str:
    """One line a file: name, size, level, conversions, time; and the result's name where it differs."""
    result = Path(report.result or "").name
    shown = report.name if result == Path(report.name).name else f"{report.name} -> {result}"
    note = f"  {report.note}" if report.note else ""
    return f"{shown}  {report.width}x{report.height}  {report.levels}{note}  {report.seconds:.2f} s"
