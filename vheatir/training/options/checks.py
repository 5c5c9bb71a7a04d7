"""Checks option files before anything runs: their structure, and what of it goes together.

msgspec, and the classes whose arguments are options, are imported only where something is checked: a command can say
what is not installed, and its help comes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vheatir.training.options.errors import OptionError

__all__ = ["check_comparison_options", "check_options", "check_pretraining_options"]

Options = Mapping[str, Any]

#: types that a test file may name
_SCORED: Final = ("VHeatIR", "VHeatPyramid", "DegradedImageDataset", "calculate_psnr", "calculate_ssim")


def check_options(options: Options, *, is_train: bool) -> None:
    """Check every key and value of an option file.

    Args:
        options: the file's content.
        is_train: a training file, which needs the sections ``train`` and ``logger`` too.

    Raises:
        OptionError: at the first unknown or missing key, unknown ``type``, or value of another type or range.
    """
    from vheatir.training.options.schema import TestFile, TrainingFile
    from vheatir.training.options.structure import check_structure

    check_structure(options, TrainingFile if is_train else TestFile)
    _check_datasets(options["datasets"])
    if is_train:
        _check_mixture(options)
        return
    _check_own(options)
    if options["path"].get("pretrain_network_g") is None:
        raise OptionError("Missing key pretrain_network_g in the section path: it names the weights to score.")


def check_pretraining_options(options: Options) -> None:
    """Check every key and value of an option file of ``vheatir pretrain``.

    Raises:
        OptionError: as :func:`check_options`, and for crops that cannot be cut into quarters.
    """
    from vheatir.training.options.schema import PretrainingFile
    from vheatir.training.options.structure import check_structure

    check_structure(options, PretrainingFile)
    _check_datasets(options["datasets"])
    _check_mixture(options)
    _check_quarters("datasets.train.gt_size", options["datasets"]["train"]["gt_size"], options["network_g"])
    crop = (options.get("val") or {}).get("crop")
    if crop is not None:
        _check_quarters("val.crop", crop, options["network_g"])


def check_comparison_options(options: Options) -> None:
    """Check the keys and values of an option file of ``vheatir race`` that are no part of its trainings.

    Raises:
        OptionError: as :func:`check_options`.
    """
    from vheatir.training.options.schema import ComparisonFile
    from vheatir.training.options.structure import check_structure

    check_structure(options, ComparisonFile)


def _check_own(options: Options) -> None:
    """Scores are those of the benchmark, which knows this project's classes."""
    metrics = (options["val"].get("metrics") or {}).values()
    for section in (options["network_g"], *options["datasets"].values(), *metrics):
        if section["type"] not in _SCORED:
            raise OptionError(f"{section['type']} is BasicSR's and cannot be scored: known are {', '.join(_SCORED)}.")


def _check_datasets(datasets: Options) -> None:
    """What goes together in the sections of datasets; BasicSR's check themselves."""
    for phase, dataset in datasets.items():
        if dataset["type"] == "DegradedImageDataset":
            _check_dataset(f"datasets.{phase}", dataset, training=phase == "train")


def _check_dataset(place: str, dataset: Options, *, training: bool) -> None:
    degradation = dataset["degradation"]
    if dataset.get("on_device", False) and degradation["type"] not in ("noise", "jpeg"):
        raise OptionError(f"{place}.on_device knows noise and jpeg, no {degradation['type']}: leave it out.")
    if (dataset.get("dataroot_gt") is None) == (dataset.get("dataroots_gt") is None):
        raise OptionError(f"{place} needs either dataroot_gt (one folder) or dataroots_gt (a list of folders).")
    if degradation["type"] == "camera" and dataset.get("crop") is None:
        raise OptionError(f"{place} needs crop, the side of the photographs: a camera takes squares.")
    if training:
        _check_levels(f"{place}.degradation", degradation)
        for index, part in enumerate(degradation.get("parts", [])):
            _check_levels(f"{place}.degradation.parts[{index}]", part)


def _check_levels(place: str, degradation: Options) -> None:
    """Noise is drawn from a range or from a list."""
    if degradation["type"] in ("noise", "noise_jpeg") and ("sigma" in degradation) == ("sigmas" in degradation):
        raise OptionError(f"{place} needs either sigma (lowest and highest) or sigmas (a list to choose from).")


def _check_mixture(options: Options) -> None:
    """A mixture of degradations, a network of two levels and the model that trains it go together."""
    degradation = options["datasets"]["train"].get("degradation", {})
    together = {
        "model_type: PyramidModel": options["model_type"] == "PyramidModel",
        "network_g.type: VHeatPyramid": options["network_g"]["type"] == "VHeatPyramid",
        "datasets.train.degradation.type: mixture": degradation.get("type") == "mixture",
        "train.level_weight": "level_weight" in options["train"],
    }
    missing = [name for name, is_there in together.items() if not is_there]
    if missing and len(missing) < len(together):
        there = next(name for name, is_there in together.items() if is_there)
        raise OptionError(f"{there} needs {' and '.join(missing)} too.")


def _check_quarters(place: str, side: int, network: Options) -> None:
    """Each quarter of a crop is cut into the blocks of pixels that the network folds."""
    from vheatir.nn import VHeatIRConfig

    downscale = network.get("downscale", VHeatIRConfig.downscale)
    if side % (2 * downscale) != 0:
        raise OptionError(f"{place} is a multiple of {2 * downscale}, twice network_g.downscale, not {side}.")
