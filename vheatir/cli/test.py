"""``vheatir test -opt options/test/denoise_gray.yml``: scores weights on the sets that an option file names.

The images, the protocol and the metrics are those of ``vheatir benchmark``, by the same code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vheatir.cli.benchmark import Output, ScoredSet, score_all
from vheatir.cli.shared import DONE, make_folder, new_parser
from vheatir.errors import UsageError

if TYPE_CHECKING:
    from vheatir.evaluation.metrics import MetricName
    from vheatir.evaluation.protocol import Protocol
    from vheatir.evaluation.results import Task
    from vheatir.evaluation.scoring import Outcome
    from vheatir.evaluation.sets import ImageSet
    from vheatir.nn import VHeatIR, VHeatPyramid

__all__ = ["build_parser", "run"]

#: BasicSR's names of metrics
_METRICS: Final[dict[str, MetricName]] = {"calculate_psnr": "psnr", "calculate_ssim": "ssim"}

_EPILOG: Final = """\
Datasets of one name stand in one table, a column for each level. A dataset with the name of a known set (Set12, BSD68,
...) is checked against the known images. Of a checkpoint the averaged weights (params_ema) are scored, unless
path.param_key_g says otherwise. Results go to --output as JSON, CSV and Markdown, restored images for val.save_img.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = new_parser("test", "Score weights on the sets of an option file.", _EPILOG)
    parser.add_argument("-opt", type=Path, required=True, metavar="FILE", help="option file: options/test/*.yml")
    parser.add_argument(
        "--force_yml", nargs="+", default=[], metavar="SECTION:KEY=VALUE", help="change options of the file"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="results (default: results/NAME of the file)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Score, print the tables, and return the exit code."""
    from vheatir.inference.compute import select_device
    from vheatir.training.options import check_options, force_options, read_options

    options = force_options(read_options(arguments.opt), arguments.force_yml)
    check_options(options, is_train=False)
    device = select_device("cpu" if options["num_gpu"] == 0 else "auto")
    network = _load_network(options).eval().to(device)
    name, val = options["name"], options["val"]
    scored = [_scored_set(name, section, network, val) for section in options["datasets"].values()]
    folder = make_folder(arguments.output or Path("results") / name, "folder of --output")
    score_all(
        scored,
        _protocol(val),
        metrics=list(dict.fromkeys(_METRICS[metric["type"]] for metric in _metrics(val))),
        output=Output(folder, name, quiet=not val.get("pbar", False)),
        device=device,
        watch=_image_writer(folder, val.get("suffix") or name) if val["save_img"] else None,
    )
    return DONE


def _load_network(options: Mapping[str, Any]) -> VHeatIR | VHeatPyramid:
    """The network of an option file, with its weights.

    Raises:
        FileNotFoundError: if there are no such weights.
        ValueError: if they are those of another network.
    """
    from vheatir.nn import NETWORKS, network_arguments
    from vheatir.training.checkpoint import read_tensors

    section, paths = options["network_g"], options["path"]
    if not paths.get("strict_load_g", True):
        raise UsageError("path.strict_load_g is true for scores: a network with random weights left is not scored.")
    network = NETWORKS[section["type"]](**network_arguments(section))
    weights = Path(paths["pretrain_network_g"])
    tensors = read_tensors(weights, paths.get("param_key_g") or "params_ema")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise UsageError(
            f"{weights} holds the weights of another network than network_g describes: change one of the two."
        ) from error
    return network


def _scored_set(
    name: str, section: Mapping[str, Any], network: VHeatIR | VHeatPyramid, val: Mapping[str, Any]
) -> ScoredSet:
    """One dataset of the file, with the degraded images themselves and the network."""
    from vheatir.evaluation.methods import NetworkMethod
    from vheatir.evaluation.peers import make_peer

    if section["in_chans"] != network.config.in_chans:
        raise UsageError(
            f"in_chans is {section['in_chans']} in dataset {section['name']} and {network.config.in_chans} in "
            "network_g: make them equal, 1 (gray) or 3."
        )
    degradation = section["degradation"]
    task: Task = "denoise" if degradation["type"] == "noise" else "jpeg"
    method = NetworkMethod(
        name,
        network,
        task=task,
        tell=section.get("tell"),
        tile=val.get("tile"),
        overlap=val.get("tile_overlap", 32),
    )
    return ScoredSet(
        images=_open(section),
        task=task,
        channels="gray" if section["in_chans"] == 1 or section.get("gray") else "color",
        level=degradation["sigma" if task == "denoise" else "quality"],
        methods={one.name: one for one in (make_peer("identity", task=task), method)},
    )


def _open(section: Mapping[str, Any]) -> ImageSet:
    """The images of a dataset: as the benchmark opens a folder where it is one, without lists."""
    from vheatir.data.sources import FolderSource, open_dataset
    from vheatir.evaluation.sets import make_set

    source = open_dataset(section)
    folder = Path(section.get("dataroot_gt") or section["dataroots_gt"][0]).expanduser()
    names = source.names
    if isinstance(source, FolderSource):
        names = [path.relative_to(folder).as_posix() for path in source.paths]
    return make_set(section["name"], folder, source, names)


def _metrics(val: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The metrics of the file; PSNR and SSIM if it names none."""
    return list((val.get("metrics") or {}).values()) or [{"type": name, "crop_border": 0} for name in _METRICS]


def _protocol(val: Mapping[str, Any]) -> Protocol:
    """The field's protocol, with what the metrics leave out.

    Raises:
        UsageError: if two metrics do not see the same pixels.
    """
    from vheatir.evaluation.protocol import Protocol

    seen = {(metric["crop_border"], metric.get("test_y_channel", False)) for metric in _metrics(val)}
    if len(seen) > 1:
        raise UsageError("val.metrics: give all metrics one crop_border and one test_y_channel.")
    ((border, score_luma),) = seen
    return Protocol(score_luma=score_luma, border=border, tile=val.get("tile"))


def _image_writer(folder: Path, suffix: str) -> Callable[[ScoredSet, Outcome], None]:
    """What writes the images that the network restored: SET/LEVEL/IMAGE_SUFFIX.png."""
    from vheatir.imageio.images import Image
    from vheatir.imageio.write import write_image

    def watch(scored: ScoredSet, outcome: Outcome) -> None:
        if outcome.method == list(scored.methods)[-1]:
            path = folder / scored.images.name / f"{scored.level:g}" / outcome.image
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path.with_name(f"{path.stem}_{suffix}.png"), Image(outcome.restored))

    return watch
