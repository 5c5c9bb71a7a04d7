"""The option files that come with the project: files of one family say the same but for what the tables here name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from vheatir.nn import CONFIGS, VHeatIR, VHeatIRConfig, configuration, network_arguments
from vheatir.training.options import read_options

TRAIN: Final = Path(__file__).parents[2] / "options" / "train"
_NAME: Final = re.compile(r"(?P<before>\w+)_(?P<task>denoise|jpeg)_(?P<channels>gray|color)(?P<after>_\w+)?")

#: keys by which the files of two tasks, or for gray and for colour, always may differ
TASK_KEYS: Final = {"name", "datasets.train.degradation", "datasets.val.name", "datasets.val.degradation"}
CHANNEL_KEYS: Final = {"datasets.train.in_chans", "datasets.val.in_chans", "network_g.in_chans"}
#: a second stage begins where its own first stage ended, and has a length of its own
_STAGE: Final = {"train.scheduler.minutes", "path.pretrain_network_g"}
#: keys by which a file differs beyond that from the gray denoising file of its family
OWN_KEYS: Final[Mapping[str, set[str]]] = {
    "fast_denoise_color": {"val.val_freq"},
    "fast_jpeg_color": {"val.val_freq"},
    "fast_denoise_color_stage2": _STAGE,
    "fast_jpeg_color_stage2": _STAGE,
    # the first stage's crops and loss: only its rate differs
    "fast_jpeg_gray_stage2": _STAGE
    | {
        "datasets.train.gt_size",
        "datasets.train.batch_size_per_gpu",
        "train.pixel_opt.type",
        "train.pixel_opt.loss_weight",
        "train.pixel_opt.reduction",
        "train.pixel_opt.eps",
    },
    # SwinIR's, as their headers say
    "paper_jpeg_gray": {"network_g.img_range", "datasets.train.gt_size"},
    "paper_jpeg_color": {"network_g.img_range", "datasets.train.gt_size"},
}

_JPEG: Final = {"type": "jpeg", "quality": [10, 95], "log_quality": True, "double": 0.2, "grid_phase": True}
#: what every model is trained for that serves all levels
DEGRADATIONS: Final[Mapping[tuple[str, str], dict[str, Any]]] = {
    ("denoise", "gray"): {"type": "noise", "sigma": [0, 55]},
    ("denoise", "color"): {"type": "noise", "sigma": [0, 55]},
    ("jpeg", "gray"): _JPEG | {"studio_swing": 0.5},
    ("jpeg", "color"): _JPEG | {"subsampling": ["420", "444"]},
}
#: files with a degradation of their own: more 4:2:0, as the header says
OWN_DEGRADATIONS: Final = {
    "fast_jpeg_color_stage2": DEGRADATIONS["jpeg", "color"] | {"subsampling": ["420", "420", "444"]}
}


@cache  # YAML takes its time, and these tests only read
def content(path: Path) -> dict[str, Any]:
    return read_options(path)


def _families() -> dict[str, dict[tuple[str, str], Path]]:
    """The training files of each family, by task and channels."""
    families: dict[str, dict[tuple[str, str], Path]] = {}
    for path in sorted(TRAIN.glob("*.yml")):
        if name := _NAME.fullmatch(path.stem):
            family = families.setdefault(name["before"] + (name["after"] or ""), {})
            family[name["task"], name["channels"]] = path
    return families


FAMILIES: Final = _families()
FILES: Final = [path for family in FAMILIES.values() for path in family.values()]


def flat(options: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its sections; what a degradation is made of counts as one value."""
    for key, value in options.items():
        if isinstance(value, dict) and key != "degradation":
            yield from flat(value, f"{place}{key}.")
        else:
            yield place + key, value


def differing(one: Path, other: Path) -> set[str]:
    """Keys that two files set to different values, or that only one of them has."""
    first, second = (dict(flat(content(path))) for path in (one, other))
    return {key for key in first.keys() | second.keys() if first.get(key, ...) != second.get(key, ...)}


def made(network: Mapping[str, Any]) -> VHeatIRConfig:
    """All options of a network, defaults among them."""
    with torch.device("meta"):
        return VHeatIR(**network_arguments(network)).config


def stem(path: Path) -> str:
    return path.stem


def test_there_are_families_of_every_network() -> None:
    names = {family.removeprefix("gpu_").split("_")[0] for family in FAMILIES}
    assert names == set(CONFIGS)
    assert all(("denoise", "gray") in family for family in FAMILIES.values())


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_a_file_differs_from_its_family_in_what_the_table_names(path: Path) -> None:
    family = next(family for family in FAMILIES.values() if path in family.values())
    found = differing(path, family["denoise", "gray"])
    assert found - TASK_KEYS - CHANNEL_KEYS == OWN_KEYS.get(path.stem, set())
    assert ("network_g.in_chans" in found) == ("color" in path.stem)


def test_the_tables_name_no_other_file() -> None:
    assert OWN_KEYS.keys() | OWN_DEGRADATIONS.keys() <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", [path for path in FILES if "paper" not in path.stem], ids=stem)
def test_every_family_trains_for_the_same_degradations(path: Path) -> None:
    name = _NAME.fullmatch(path.stem)
    assert name is not None
    expected = OWN_DEGRADATIONS.get(path.stem, DEGRADATIONS[name["task"], name["channels"]])
    assert content(path)["datasets"]["train"]["degradation"] == expected


@pytest.mark.parametrize("path", [path for path in FILES if "paper" in path.stem], ids=stem)
def test_the_published_recipe_trains_and_validates_at_one_level(path: Path) -> None:
    training, validation = (content(path)["datasets"][phase]["degradation"] for phase in ("train", "val"))
    key = "quality" if "jpeg" in path.stem else "sigma"
    assert training[key] == [validation[key], validation[key]]


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_a_file_builds_the_network_that_its_family_is_named_after(path: Path) -> None:
    """So that what is measured of a named configuration holds for what these files train."""
    name = path.stem.removeprefix("gpu_").split("_")[0]
    channels = 3 if "color" in path.stem else 1
    own: dict[str, Any] = {"img_range": 255.0} if "network_g.img_range" in OWN_KEYS.get(path.stem, ()) else {}
    assert made(content(path)["network_g"]) == replace(configuration(name, channels), **own)


def test_pretraining_prepares_the_network_that_ships() -> None:
    options = content(TRAIN.parent / "pretrain" / "qbheat_fast.yml")
    assert made(options["network_g"]) == configuration("fast", 1)


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_files_are_named_after_themselves(path: Path) -> None:
    """The name is the experiment's folder; two files of one name would write into each other's."""
    assert content(path)["name"] == path.stem


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in OWN_KEYS], ids=stem)
def test_a_network_of_its_own_is_named_in_the_header(path: Path) -> None:
    header = path.read_text(encoding="utf-8").split("\nname:")[0]
    own = {key for key in OWN_KEYS[path.stem] if key.startswith("network_g.")}
    assert all(key.removeprefix("network_g.") in header for key in own)


def test_a_section_gives_its_arguments_and_nothing_else() -> None:
    section = {"type": "VHeatIR", "in_chans": 1, "depths": [1]}
    assert network_arguments(section) == {"in_chans": 1, "depths": [1]}
    assert section["type"] == "VHeatIR"  # left as it is
