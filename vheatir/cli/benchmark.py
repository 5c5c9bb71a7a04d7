"""``vheatir benchmark --task denoise --sigma 15 25 50 --sets Set12=datasets/benchmarks/Set12``: scores methods."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vheatir.cli.shared import DONE, make_folder, new_parser, progress
from vheatir.errors import UsageError
from vheatir.evaluation.metrics import METRICS, MetricName
from vheatir.evaluation.results import Channels, Result, Task, write_csv, write_results

if TYPE_CHECKING:
    import torch

    from vheatir.evaluation.methods import Method
    from vheatir.evaluation.protocol import Protocol
    from vheatir.evaluation.scoring import Outcome
    from vheatir.evaluation.sets import ImageSet

__all__ = ["Output", "ScoredSet", "build_parser", "run", "score_all"]

logger = logging.getLogger(__name__)

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

Sets and levels that are finished are in --output, whatever ends the command.
"""


@dataclass(frozen=True)
class ScoredSet:
    """One set at one level, and what is scored on it.

    Attributes:
        images: the set.
        task: what to remove.
        channels: of the images that the methods see.
        level: σ in 8-bit units, or JPEG quality.
        methods: by heading, in the order of the table.
    """

    images: ImageSet
    task: Task
    channels: Channels
    level: float
    methods: Mapping[str, Method]


@dataclass(frozen=True)
class Output:
    """Where results go.

    Attributes:
        folder: for NAME.json, NAME.csv and NAME.md; None for none.
        name: of the files.
        published: add tables of published figures.
        quiet: show no progress.
    """

    folder: Path | None
    name: str
    published: bool = False
    quiet: bool = False


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    description = "Score models and peers on sets of images, with the protocol beside the numbers."
    parser = new_parser("benchmark", description, _EPILOG)
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
        choices=tuple(METRICS),
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


def run(arguments: argparse.Namespace) -> int:
    """Score, print the tables, and return the exit code."""
    levels = _levels(arguments)
    folders = _folders(arguments.sets)
    _prepare_outputs(arguments, folders)

    from vheatir.evaluation.protocol import Protocol
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
    score_all(
        _scored_sets(arguments, folders, levels),
        protocol,
        metrics=arguments.metrics or _DEFAULT_METRICS[arguments.task],
        output=Output(arguments.output, arguments.name or arguments.task, arguments.published, arguments.quiet),
        device=select_device(arguments.device),
        timed=arguments.time,
        watch=None if arguments.pictures is None else _picture_writer(arguments.pictures),
    )
    return DONE


def score_all(
    scored: Sequence[ScoredSet],
    protocol: Protocol,
    *,
    metrics: Sequence[MetricName],
    output: Output,
    device: torch.device,
    timed: bool = False,
    watch: Callable[[ScoredSet, Outcome], None] | None = None,
) -> None:
    """Score sets one after the other, write what is finished after each, and print the tables.

    Args:
        scored: sets at levels, in the order of the tables.
        protocol: how images are degraded and scored.
        metrics: which.
        output: where results go.
        device: of the networks, for the record.
        timed: record the seconds too.
        watch: called with what each method made of each image.

    Raises:
        ValueError: as :func:`vheatir.evaluation.scoring.score_set`.
    """
    from vheatir.evaluation.environment import describe_environment
    from vheatir.evaluation.scoring import score_set
    from vheatir.evaluation.tables import markdown

    environment = describe_environment(device)
    results: list[Result] = []
    with progress(sum(len(one.images.names) * len(one.methods) for one in scored), quiet=output.quiet) as advance:
        for one in scored:

            def saw(outcome: Outcome, one: ScoredSet = one) -> None:
                advance(f"{one.images.name} {one.level:g}, {outcome.method}")
                if watch is not None:
                    watch(one, outcome)

            results += score_set(
                one.images,
                one.methods,
                task=one.task,
                channels=one.channels,
                level=one.level,
                protocol=protocol,
                metrics=metrics,
                environment=environment,
                timed=timed,
                watch=saw,
            )
            _write(output, results)
    print(markdown(results, published=output.published), end="")


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
        make_folder(folder, f"folder of {option}")


def _scored_sets(
    arguments: argparse.Namespace, folders: Mapping[str, Path], levels: Sequence[float]
) -> list[ScoredSet]:
    """Open every set and load every method before the first is run."""
    from vheatir.evaluation.sets import open_set

    scored = []
    for name, folder in folders.items():
        images = open_set(name, folder)
        for mismatch in images.mismatches:
            logger.warning("%s is not the known copy: %s", images.name, mismatch)
        channels = arguments.channels or images.channels(arguments.task)
        methods = _methods(arguments, channels, levels)
        scored += [ScoredSet(images, arguments.task, channels, level, methods) for level in levels]
    return scored


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


def _picture_writer(folder: Path) -> Callable[[ScoredSet, Outcome], None]:
    """What writes a picture of an image once all methods have restored it."""
    panels: list[Outcome] = []

    def watch(scored: ScoredSet, outcome: Outcome) -> None:
        panels.append(outcome)
        if len(panels) == len(scored.methods):
            _write_picture(folder / scored.images.name / f"{scored.level:g}", panels)
            panels.clear()

    return watch


def _write_picture(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """degraded | restored by each method | truth."""
    from vheatir.evaluation.pictures import write_comparison

    path = folder / Path(outcomes[0].image).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    panels = [(outcome.method, outcome.restored) for outcome in outcomes]
    write_comparison(path, [*panels, ("truth", outcomes[0].truth)])


def _write(output: Output, results: Sequence[Result]) -> None:
    """Write what is finished so far, so that an interruption leaves it."""
    if output.folder is None:
        return
    from vheatir.evaluation.tables import markdown
    from vheatir.system.atomic import atomic_path

    write_results(output.folder / f"{output.name}.json", results)
    write_csv(output.folder / f"{output.name}.csv", results)
    with atomic_path(output.folder / f"{output.name}.md") as temporary:
        temporary.write_text(markdown(results, published=output.published), "utf-8")
