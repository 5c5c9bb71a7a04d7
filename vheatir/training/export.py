"""Turns a training checkpoint into a weights file that ``load_model`` and ``vheatir restore`` read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vheatir.nn import NETWORKS, network_arguments
from vheatir.training.checkpoint import read_tensors
from vheatir.training.options import OptionError, check_options, read_options
from vheatir.weights.file import LevelName, ModelName, Ranges, save_weights

__all__ = ["export", "trained_model", "trained_ranges"]


def export(option_file: Path, checkpoint: Path, output: Path, *, licence: str) -> None:
    """Write the averaged weights of a checkpoint, in half precision, with network and task in the header.

    Args:
        option_file: the training's option file: network, model and range of levels are taken from it.
        checkpoint: a ``net_g_*.pth`` of that training.
        output: weights file to write.
        licence: of the weights.

    Raises:
        OptionError: if the option file is no training file of this project's.
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if the checkpoint's tensors are not those of the option file's network.
        WeightsError: if a weight is not finite in half precision.
    """
    options = read_options(option_file)
    check_options(options, is_train=True)
    network = NETWORKS[options["network_g"]["type"]](**network_arguments(options["network_g"]))
    try:
        network.load_state_dict(read_tensors(checkpoint, "params_ema"))
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} was not trained with {option_file}: {error}") from error
    dataset = options["datasets"]["train"]
    save_weights(
        output,
        network,
        name=trained_model(dataset),
        ranges=trained_ranges(dataset["degradation"]),
        training={"option_file": option_file.name, "checkpoint": checkpoint.name, "weights": "params_ema"},
        licence=licence,
    )


def trained_model(dataset: Mapping[str, Any]) -> ModelName:
    """Name of the model that is trained on ``dataset``, the section ``datasets.train`` of an option file.

    Raises:
        OptionError: if no model is for its degradation.
    """
    gray, kind = dataset["in_chans"] == 1, dataset["degradation"]["type"]
    match kind:
        case "mixture":
            return "photo"
        case "noise":
            return "denoise-gray" if gray else "denoise-color"
        case "jpeg":
            return "jpeg-gray" if gray else "jpeg-color"
    raise OptionError(f"No task of vheatir restore removes {kind}, so that nothing could use the weights file.")


def trained_ranges(degradation: Mapping[str, Any]) -> Ranges:
    """Smallest and largest levels that a ``degradation`` section draws, a mixture's parts all together."""
    parts = degradation["parts"] if degradation["type"] == "mixture" else [degradation]
    sigmas = [sigma for part in parts for sigma in part.get("sigma", part.get("sigmas", []))]
    qualities = [quality for part in parts for quality in part.get("quality", [])]
    found: dict[LevelName, list[float]] = {"sigma": sigmas, "quality": qualities}
    return {name: (min(values), max(values)) for name, values in found.items() if values}
