"""``python -m vheatir.evaluation --task denoise --sigma 15 25 50 --sets Set12=datasets/benchmarks/Set12``.

Nothing heavy is imported before the arguments are known to be well formed: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir.evaluation.results import METRICS, Channels, MetricName, Result, write_csv, write_results
from vheatir.inference.paths import UsageError
from vheatir.system.allocator import keep_freed_memory

if TYPE_CHECKING:
    from vheatir.evaluation.environment import Environment
    from vheatir.evaluation.methods import Method
    from vheatir.evaluation.protocol import Protocol
    from vheatir.evaluation.scoring import Outcome
    from vheatir.evaluation.sets import ImageSet

__all__ = ["build_parser", "main", "run_command"]

logger = logging.getLogger(__name__)

DONE: Final = 0
BAD_USAGE: Final = 2
INTERRUPTED: Final = 130

_DEFAULT_METRICS: Final[dict[str, tuple[MetricName, ...]]] = {
    "denoise": ("psnr", "ssim"),
    "jpeg": ("psnr", "ssim", "psnr_b"),
}

_EPILOG: Final = """\
Sets are folders of clean images; they are degraded here. Set12, BSD68, CBSD68, McMaster, Kodak24, Urban100, Set5,
Set14, LIVE1 and classic5 are checked against the known images. The protocol is SwinIR's and stands below every table;
options that depart from it are named there.

examples:
  %(prog)s --task denoise --sigma 15 25 50 --sets Set12=datasets/benchmarks/Set12 McMaster=datasets/benchmarks/McMaster
  %(prog)s --task jpeg --quality 10 20 30 40 --sets LIVE1=datasets/benchmarks/LIVE1 --published --output out/
  %(prog)s --task denoise --sigma 25 --sets ~/photos --model fast my.safetensors --peer bm3d mine=my_module:denoise

other commands: speed, train-speed, report, plot, each with its own --help.

exit codes:
  0 done; 2 wrong usage, or an image or method that cannot be scored; 130 interrupted; in both cases the sets and
  levels that were finished are kept in --output
"""


@dataclass(frozen=True)
class _Plan:
    """One set, with what is run on it."""

    images: ImageSet
    channels: Channels
    methods: Mapping[str, Method]


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog="python -m vheatir.evaluation",
        description="Score models and peers on sets of images, with the protocol beside the numbers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", required=True, choices=("denoise", "jpeg"), help="what to remove")
    parser.add_argument("--sigma", type=float, nargs="+", default=[], help="denoise: σ of the noise, 8-bit units")
    parser.add_argument("--quality", type=int, nargs="+", default=[], help="jpeg: qualities, 1 to 100")
    parser.add_argument(
        "--sets", required=True, nargs="+", metavar="NAME=FOLDER", help="folders of clean images, with their names"
    )
    parser.add_argument(
        "--channels", choices=("gray", "color"), help="what to score (default: by set, as the field does)"
    )
    _add_methods(parser)
    _add_protocol(parser)
    _add_output(parser)
    return parser


def _add_methods(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("methods")
    group.add_argument(
        "--model",
        nargs="*",
        default=["fast"],
        metavar="MODEL",
        help="fast (the bundled weights for task and channels), bundled names, or weights files, each as MODEL or "
        "LABEL=MODEL; --model alone: none of ours (default: fast)",
    )
    group.add_argument(
        "--peer",
        nargs="+",
        default=[],
        metavar="PEER",
        help="bm3d, nlm, wavelet, tv, or module:function, called as function(degraded, level); each as PEER or "
        "LABEL=PEER",
    )
    group.add_argument("--device", default="auto", help="of our models: auto, cpu, cuda, ... (default: auto)")
    group.add_argument("--tile", type=int, help="our models restore in tiles of this side (default: whole images)")


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("departures from SwinIR's protocol, each named below the table")
    group.add_argument("--clip", action="store_true", help="clip the noisy image to [0, 1]")
    group.add_argument("--quantise", action="store_true", help="round the noisy image to 8 bits")
    group.add_argument("--seed", type=int, default=0, help="of the noise, set before every image (default: 0)")
    group.add_argument("--full-range", action="store_true", help="gray JPEG of OpenCV's gray, not of MATLAB's Y")
    group.add_argument("--score-luma", action="store_true", help="score MATLAB's Y of colour images, not RGB")
    group.add_argument("--border", type=int, default=0, help="pixels at each edge that are not scored (default: 0)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        help="what to compute (default: psnr ssim, and psnr_b for jpeg); lpips needs AlexNet's weights, which "
        "torchvision downloads once",
    )
    group.add_argument("--time", action="store_true", help="add seconds a megapixel; the machine must be idle")
    group.add_argument("--published", action="store_true", help="add tables of published figures, with their papers")
    group.add_argument("--output", type=Path, metavar="FOLDER", help="write JSON, CSV and Markdown there")
    group.add_argument("--name", help="of the files in --output (default: the task)")
    group.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="write degraded | restored ... | truth of every image there"
    )
    group.add_argument("--quiet", action="store_true", help="print nothing but the tables, warnings and failures")


def main(argv: Sequence[str] | None = None) -> int:
    """Score, and return the exit code; argparse exits by itself on malformed arguments."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _run(arguments), quiet=arguments.quiet)


def run_command(command: Callable[[], int], *, quiet: bool = False) -> int:
    """Run a command of the benchmark; errors that the user can mend become one sentence and exit code 2."""
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(message)s")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # failures are reported in our own words
    keep_freed_memory()
    try:
        return command()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("skimage", "lpips"):
            raise
        print(f'error: {error.name} is not installed: pip install "vheatir[metrics]".', file=sys.stderr)
        return BAD_USAGE
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    levels = _levels(arguments)
    folders = _folders(arguments.sets)
    _prepare_outputs(arguments, folders)

    from vheatir.evaluation.environment import describe_environment
    from vheatir.evaluation.protocol import Protocol
    from vheatir.evaluation.tables import markdown
    from vheatir.inference.compute import select_device

    protocol = Protocol(
        clip=arguments.clip,
        quantise=arguments.quantise,
        seed=arguments.seed,
        full_range=arguments.full_range,
        score_luma=arguments.score_luma,
        border=arguments.border,
        tile=arguments.tile,
    )
    plans = _plans(arguments, folders, levels)
    environment = describe_environment(select_device(arguments.device))
    results: list[Result] = []
    with _progress(plans, levels, quiet=arguments.quiet) as advance:
        for plan in plans:
            for level in levels:
                results += _score(arguments, plan, level, protocol, environment, advance)
                _write(arguments, results)
    print(markdown(results, published=arguments.published), end="")
    return DONE


def _levels(arguments: argparse.Namespace) -> list[float]:
    """The levels of the task; none of the other."""
    wanted, other = ("sigma", "quality") if arguments.task == "denoise" else ("quality", "sigma")
    levels: list[float] = getattr(arguments, wanted)
    if not levels:
        raise UsageError(f"--task {arguments.task} needs --{wanted}, one number or several.")
    if getattr(arguments, other):
        raise UsageError(f"--{other} belongs to the other task; leave it out, or change --task {arguments.task}.")
    low, high = (0.0, 255.0) if wanted == "sigma" else (1.0, 100.0)
    for level in levels:
        if not low <= level <= high or level == 0:
            raise UsageError(f"--{wanted} is {'more than 0' if low == 0 else '1'} to {high:g}, not {level:g}.")
    return list(dict.fromkeys(levels))


def _folders(sets: Sequence[str]) -> dict[str, Path]:
    """Folders by the name of their set."""
    folders: dict[str, Path] = {}
    for text in sets:
        label, path = _labelled(text)
        name = label or Path(path).expanduser().resolve().name
        if not name or Path(name).name != name:
            raise UsageError(f"A set needs a name without folders, not {name!r}: give NAME=FOLDER.")
        if name.casefold() in {known.casefold() for known in folders}:
            raise UsageError(f"Two sets are called {name}: give each another NAME=FOLDER.")
        folders[name] = Path(path).expanduser()
    return folders


def _labelled(text: str) -> tuple[str, str]:
    """Split label=what; the label is empty where there is none."""
    label, separator, what = text.partition("=")
    return (label, what) if separator else ("", text)


def _prepare_outputs(arguments: argparse.Namespace, sets: Mapping[str, Path]) -> None:
    """Make the folders for what is written; refuse places whose files would be images of a set at the next run."""
    if arguments.name is not None and (arguments.output is None or Path(arguments.name).name != arguments.name):
        raise UsageError("--name is the name of the files in --output, without a folder.")
    for option, folder in (("--output", arguments.output), ("--pictures", arguments.pictures)):
        if folder is None:
            continue
        for name, images in sets.items():
            if folder.resolve().is_relative_to(images.resolve()):
                raise UsageError(f"{option} {folder} lies within set {name}, {images}; give a place outside of it.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"The folder of {option} {folder} cannot be made: {error.strerror}.") from error


def _plans(arguments: argparse.Namespace, folders: Mapping[str, Path], levels: Sequence[float]) -> list[_Plan]:
    """Open every set and load every method before the first is run."""
    from vheatir.evaluation.sets import open_set

    plans = []
    for name, folder in folders.items():
        images = open_set(name, folder)
        for mismatch in images.mismatches:
            logger.warning("%s is not the known copy: %s", images.name, mismatch)
        channels = arguments.channels or images.channels(arguments.task)
        plans.append(_Plan(images, channels, _methods(arguments, channels, levels)))
    return plans


def _methods(arguments: argparse.Namespace, channels: Channels, levels: Sequence[float]) -> dict[str, Method]:
    """The degraded image itself, our models, and the peers, by heading."""
    from vheatir.evaluation.methods import load_method
    from vheatir.evaluation.peers import make_peer

    identity = make_peer("identity", task=arguments.task)
    methods = {identity.name: identity}

    def add(label: str, method: Method) -> None:
        name = label or method.name
        if name in methods:
            raise UsageError(f"Two methods are called {name}: give each another LABEL=...")
        methods[name] = method

    for text in arguments.model:
        label, model = _labelled(text)
        method = load_method(
            model,
            task=arguments.task,
            channels=1 if channels == "gray" else 3,
            device=arguments.device,
            tile=arguments.tile,
        )
        for level in levels:
            method.check(level)
        add(label, method)
    for text in arguments.peer:
        label, peer = _labelled(text)
        add(label, make_peer(peer, task=arguments.task))
    return methods


@contextmanager
def _progress(plans: Sequence[_Plan], levels: Sequence[float], *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar over images, methods and levels; yields what advances it."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    total = sum(len(plan.images.names) * len(plan.methods) for plan in plans) * len(levels)
    with logging_redirect_tqdm(), tqdm(total=total, unit="image", disable=quiet) as bar:

        def advance(text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update()

        yield advance


def _score(
    arguments: argparse.Namespace,
    plan: _Plan,
    level: float,
    protocol: Protocol,
    environment: Environment,
    advance: Callable[[str], None],
) -> list[Result]:
    from vheatir.evaluation.scoring import score_set

    panels: list[Outcome] = []

    def watch(outcome: Outcome) -> None:
        advance(f"{plan.images.name} {level:g}, {outcome.method}")
        if arguments.pictures is not None:
            panels.append(outcome)
            if len(panels) == len(plan.methods):
                _write_picture(arguments.pictures / plan.images.name / f"{level:g}", panels)
                panels.clear()

    return score_set(
        plan.images,
        plan.methods,
        task=arguments.task,
        channels=plan.channels,
        level=level,
        protocol=protocol,
        metrics=arguments.metrics or _DEFAULT_METRICS[arguments.task],
        environment=environment,
        timed=arguments.time,
        watch=watch,
    )


def _write_picture(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """degraded | restored by each method | truth."""
    from vheatir.evaluation.pictures import write_comparison

    path = folder / Path(outcomes[0].image).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    panels = [(outcome.method, outcome.restored) for outcome in outcomes]
    write_comparison(path, [*panels, ("truth", outcomes[0].truth)])


def _write(arguments: argparse.Namespace, results: Sequence[Result]) -> None:
    """Write what is finished so far, so that an interruption leaves it."""
    if arguments.output is None:
        return
    from vheatir.evaluation.tables import markdown
    from vheatir.system.atomic import atomic_path

    stem = arguments.output / (arguments.name or arguments.task)
    write_results(stem.with_name(f"{stem.name}.json"), results)
    write_csv(stem.with_name(f"{stem.name}.csv"), results)
    with atomic_path(stem.with_name(f"{stem.name}.md")) as temporary:
        temporary.write_text(markdown(results, published=arguments.published), "utf-8")
