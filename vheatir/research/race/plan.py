"""From one option file to the trainings of a comparison.

The file has a section ``common``, a training option file without what differs between runs; ``entries``, named changes
of ``network_g``; ``tasks``, named degradations to train on and to validate with; ``seeds``; and ``validate_every``,
seconds of training between validations. Every entry is trained on every task with every seed. Item g of a training's
data depends on the seed and g alone, so all entries see the same crops with the same noise in the same order.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vheatir.nn import VHeatIR, network_arguments
from vheatir.training.options import OptionError, check_comparison_options, check_options, read_options

__all__ = ["Plan", "PlannedRun", "read_plan"]

_FILLED_IN = "filled in for every run; take it out"


@dataclass(frozen=True)
class PlannedRun:
    """One training.

    Attributes:
        entry: name of the changed network.
        task: name of the task.
        seed: of weights and data.
        options: its training option file.
    """

    entry: str
    task: str
    seed: int
    options: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """Name of its files."""
        return f"{self.entry}_{self.task}_{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A whole comparison.

    Attributes:
        name: of the comparison.
        validate_every: seconds of training between validations.
        runs: all trainings; those of one task and seed stand together, so that an interrupted comparison is fair.
    """

    name: str
    validate_every: float
    runs: Sequence[PlannedRun]

    @property
    def minutes(self) -> float | None:
        """Length of a training in minutes, or None where the steps are given."""
        minutes: float | None = self.runs[0].options["train"]["scheduler"].get("minutes")
        return minutes

    @property
    def clock(self) -> str:
        """Whose minutes these are: of the wall, or of the processor."""
        return str(self.runs[0].options["train"]["scheduler"].get("clock", "wall"))

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        """Arguments of :class:`vheatir.nn.VHeatIR` by entry."""
        sections = {run.entry: run.options["network_g"] for run in self.runs}
        return {entry: network_arguments(section) for entry, section in sections.items()}


def read_plan(path: Path) -> Plan:
    """Read and check the option file of a comparison.

    Raises:
        OptionError: naming the file or the key that is wrong, of the comparison or of a training.
    """
    options = read_options(path)
    check_comparison_options(options)
    if not str(options["name"]).replace("-", "").replace("_", "").isalnum():
        raise OptionError(f"name is made of letters, digits, hyphens and underscores, not {options['name']}.")
    _check_common(options["common"])
    _check_names("entries", options["entries"])
    _check_names("tasks", options["tasks"])
    for name, task in options["tasks"].items():
        _check_names(f"tasks.{name}.validate", task["validate"])
    runs = [
        PlannedRun(entry, task, seed, _training_options(options, entry, task, seed))
        for seed in dict.fromkeys(options["seeds"])
        for task in options["tasks"]
        for entry in options["entries"]
    ]
    for run in runs:
        _check_run(run)
    for run in {run.entry: run for run in runs}.values():
        _check_network(run)
    return Plan(str(options["name"]), float(options["validate_every"]), runs)


def _check_common(common: Mapping[str, Any]) -> None:
    for place, section in common["datasets"].items():
        for key in ("name", "degradation", "seed"):
            if key in section:
                raise OptionError(f"common.datasets.{place}.{key} is {_FILLED_IN}.")
    if common["train"]["scheduler"]["type"] != "WarmupCosine":
        raise OptionError("common.train.scheduler is of type WarmupCosine, whose clock can be stopped for validation.")


def _check_names(place: str, section: Mapping[object, Any]) -> None:
    if not section:
        raise OptionError(f"Missing section {place}: it must be a mapping of names to options.")
    for name in section:
        if not isinstance(name, str) or not name.replace("-", "").replace(".", "").isalnum():
            raise OptionError(f"{place}: a name is made of letters, digits, hyphens and points, not {name}.")


def _training_options(options: Mapping[str, Any], entry: str, task: str, seed: int) -> dict[str, Any]:
    """The training option file of one run."""
    made: dict[str, Any] = copy.deepcopy(options["common"])
    changes = options["entries"][entry] or {}
    if not isinstance(changes, dict):
        raise OptionError(f"entries.{entry} is a mapping of the network's arguments to values.")
    made["network_g"] |= changes
    datasets = {"train": made["datasets"]["train"] | _named("train", options["tasks"][task]["degradation"])}
    datasets["train"]["seed"] = seed
    for name, degradation in options["tasks"][task]["validate"].items():
        datasets[f"val_{name}"] = made["datasets"]["val"] | _named(name, degradation)
    total_iter = made["train"]["total_iter"]
    return made | {
        "name": f"compare_{options['name']}_{entry}_{task}_{seed}",
        "manual_seed": seed,
        "datasets": datasets,
        "val": {
            "val_freq": total_iter,
            "save_img": False,
            "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
        },
        "logger": {"print_freq": 1000, "save_checkpoint_freq": total_iter, "use_tb_logger": False},
    }


def _named(name: str, degradation: object) -> dict[str, Any]:
    return {"name": name, "degradation": copy.deepcopy(degradation)}


def _check_run(run: PlannedRun) -> None:
    """Check a training's options, so that nothing runs before all of them are known to be right."""
    try:
        check_options(run.options, is_train=True)
    except OptionError as error:
        raise OptionError(f"Entry {run.entry}, task {run.task}: {error}") from error


def _check_network(run: PlannedRun) -> None:
    """Build an entry's network, whose constructor knows the ranges of its arguments."""
    try:
        with torch.device("meta"):
            VHeatIR(**network_arguments(run.options["network_g"]))
    except (TypeError, ValueError) as error:
        raise OptionError(f"Entry {run.entry}: {error}") from error
