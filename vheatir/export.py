"""Turn a training checkpoint into a weights file that ``load_model`` and ``inference.py`` read.

``python -m vheatir.export -opt options/train/NAME.yml experiments/NAME/models/net_g_latest.pth model.safetensors``
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vheatir.archs import VHeatIR, network_arguments
from vheatir.checkpoint import CheckpointError, Task, save_weights
from vheatir.models.weights import read_tensors
from vheatir.options import OptionError, check_options, read_options

__all__ = ["export", "main", "trained_levels", "trained_task"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m vheatir.export``."""
    parser = ArgumentParser(prog="python -m vheatir.export", description="Export a training checkpoint.")
    parser.add_argument("-opt", type=Path, required=True, help="option file that the checkpoint was trained with")
    parser.add_argument("checkpoint", type=Path, help="net_g_*.pth")
    parser.add_argument("output", type=Path, help="weights file to write, *.safetensors")
    parser.add_argument("--licence", default="Apache-2.0", help="licence of the weights (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    try:
        export(parsed.opt, parsed.checkpoint, parsed.output, licence=parsed.licence)
    except (CheckpointError, OptionError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def export(option_file: Path, checkpoint: Path, output: Path, *, licence: str) -> None:
    """Write the averaged weights of a checkpoint, in half precision, with network and task in the header.

    Args:
        option_file: the training's option file: network, task and range of levels are taken from it.
        checkpoint: a ``net_g_*.pth`` of that training.
        output: weights file to write.
        licence: of the weights.

    Raises:
        OptionError: if the option file is no training file of this project's.
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if the checkpoint's tensors are not those of the option file's network.
        CheckpointError: if a weight is not finite in half precision.
    """
    options = read_options(option_file)
    check_options(options, is_train=True)
    network = VHeatIR(**network_arguments(options["network_g"]))
    try:
        network.load_state_dict(read_tensors(checkpoint, "params_ema"))
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} was not trained with {option_file}: {error}") from error
    dataset = options["datasets"]["train"]
    low, high = trained_levels(dataset["degradation"])
    save_weights(
        output,
        network,
        task=trained_task(dataset),
        level_min=low,
        level_max=high,
        training={"option_file": option_file.name, "checkpoint": checkpoint.name, "weights": "params_ema"},
        licence=licence,
    )


def trained_task(dataset: Mapping[str, Any]) -> Task:
    """Task of a network trained on ``dataset``, the section ``datasets.train`` of an option file."""
    gray = dataset["in_chans"] == 1
    if dataset["degradation"]["type"] == "noise":
        return "denoise-gray" if gray else "denoise-color"
    return "jpeg-gray" if gray else "jpeg-color"


def trained_levels(degradation: Mapping[str, Any]) -> tuple[float, float]:
    """Smallest and largest level that a training draws: of ``sigma`` or ``quality`` (a range), or of ``sigmas``."""
    key = "quality" if degradation["type"] == "jpeg" else "sigmas" if "sigmas" in degradation else "sigma"
    return min(degradation[key]), max(degradation[key])


if __name__ == "__main__":
    sys.exit(main())
