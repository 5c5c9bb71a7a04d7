from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from training_options import change_options, mixture_options, training_options, write_options

from vheatir.nn import CONFIGS, VHeatIR, VHeatPyramid
from vheatir.training.options import OptionError, check_options, check_pretraining_options, force_options, read_options

OPTIONS = Path(__file__).parents[2] / "options"
OPTION_FILES = sorted(path for folder in ("train", "test") for path in (OPTIONS / folder).rglob("*.yml"))


def jpeg_options() -> dict[str, Any]:
    return training_options(
        datasets__train__degradation={"type": "jpeg", "quality": [10, 95]},
        datasets__val__degradation={"type": "jpeg", "quality": 10},
    )


def scoring_options() -> dict[str, Any]:
    """A file for ``vheatir test``."""
    options = training_options(path__pretrain_network_g="weights.pth", val={"save_img": False, "suffix": None})
    del options["train"], options["logger"]
    options["datasets"] = {"test_1": options["datasets"]["val"]}
    return options


def section(options: dict[str, Any], place: str) -> dict[str, Any]:
    for key in filter(None, place.split(".")):
        options = options[key]
    return options


SIGMA = "datasets.train.degradation.sigma"
PARTS = "datasets.train.degradation.parts"


def fails(options: dict[str, Any], message: str, *, is_train: bool = True) -> None:
    with pytest.raises(OptionError) as caught:
        check_options(options, is_train=is_train)
    assert str(caught.value) == message


# The files of this project


@pytest.mark.parametrize("path", OPTION_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_option_files(path: Path) -> None:
    options = read_options(path)
    if path.parent.name == "pretrain":
        check_pretraining_options(options)
    else:
        check_options(options, is_train=path.parent.name == "train")
    network = dict(options["network_g"])
    if network.pop("type") == "VHeatPyramid":
        assert "photo" in path.stem
        with torch.device("meta"):
            VHeatPyramid(**network)
        return
    with torch.device("meta"):
        made = VHeatIR(**network).config
    channels = 3 if "color" in path.stem or path.stem == "first_steps" else 1
    assert made.in_chans == channels
    assert {dataset["in_chans"] for dataset in options["datasets"].values()} == {channels}
    kind = {dataset["degradation"]["type"] for dataset in options["datasets"].values()}
    if "jpeg" in path.stem:
        assert kind == {"jpeg"}
    elif "denoise" in path.stem:
        assert kind == {"noise"}


def test_every_task_has_its_files() -> None:
    names = {f"{path.parent.name}/{path.stem}" for path in OPTION_FILES}
    tasks = [f"{task}_{channels}" for task in ("denoise", "jpeg") for channels in ("gray", "color")]
    assert {f"train/{name}_{task}" for name in CONFIGS for task in tasks} <= names
    assert {f"test/{task}" for task in tasks} <= names


def test_options_of_these_tests() -> None:
    check_options(training_options(), is_train=True)
    check_options(jpeg_options(), is_train=True)
    check_options(scoring_options(), is_train=False)


# Unknown and missing keys


@pytest.mark.parametrize(
    ("place", "wrong", "right"),
    [
        ("", "model_typ", "model_type"),
        ("", "dataset", "datasets"),
        ("path", "pretrain_network", "pretrain_network_g"),
        ("network_g", "embed_dims", "embed_dim"),
        ("network_g", "mlp_ration", "mlp_ratio"),
        ("datasets.train", "gt_sizes", "gt_size"),
        ("datasets.train", "data_root_gt", "dataroot_gt"),
        ("datasets.train", "batch_size", "batch_size_per_gpu"),
        ("datasets.train.degradation", "sigmaa", "sigma"),
        ("datasets.val", "include_lst", "include_list"),
        ("datasets.val.degradation", "sigme", "sigma"),
        ("train", "ema_decy", "ema_decay"),
        ("train", "gradclip", "grad_clip"),
        ("train.optim_g", "weight_deca", "weight_decay"),
        ("train.scheduler", "warm_up_iter", "warmup_iter"),
        ("train.scheduler", "minute", "minutes"),
        ("train.pixel_opt", "los_weight", "loss_weight"),
        ("val", "val_frequ", "val_freq"),
        ("val.metrics.psnr", "crop_boarder", "crop_border"),
        ("logger", "print_frq", "print_freq"),
    ],
)
def test_unknown_keys(place: str, wrong: str, right: str) -> None:
    options = training_options()
    section(options, place)[wrong] = 1
    where = f"the section {place}" if place else "the option file"
    fails(options, f"Unknown key {wrong} in {where}: did you mean {right}?")


def test_unknown_key_like_no_other() -> None:
    options = training_options(logger__xyz=1)
    fails(
        options,
        "Unknown key xyz in the section logger: known are "
        "print_freq, save_checkpoint_freq, save_checkpoint_minutes, use_tb_logger.",
    )


def test_keys_of_training_alone() -> None:
    """In validation they would have no effect."""
    options = jpeg_options()
    options["datasets"]["train"]["degradation"]["double"] = 0.5
    check_options(options, is_train=True)
    options["datasets"]["val"]["degradation"]["double"] = 0.5
    fails(options, "Unknown key double in the section datasets.val.degradation: known are quality, type.")
    with pytest.raises(OptionError, match=r"Unknown key gt_size in the section datasets\.val: "):
        check_options(training_options(datasets__val__gt_size=32), is_train=True)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("", "name"),
        ("", "num_gpu"),
        ("", "manual_seed"),
        ("network_g", "in_chans"),
        ("datasets.train", "gt_size"),
        ("datasets.train", "seed"),
        ("datasets.val", "in_chans"),
        ("datasets.val.degradation", "sigma"),
        ("train", "total_iter"),
        ("train.optim_g", "lr"),
        ("val", "val_freq"),
        ("val.metrics.psnr", "crop_border"),
        ("logger", "save_checkpoint_freq"),
    ],
)
def test_missing_keys(place: str, key: str) -> None:
    options = training_options()
    del section(options, place)[key]
    where = f"the section {place}" if place else "the option file"
    fails(options, f"Missing key {key} in {where}.")


@pytest.mark.parametrize(
    ("place", "key", "known"),
    [
        ("network_g", "network_g", "VHeatIR, VHeatPyramid"),
        ("datasets.train", "train", "DegradedImageDataset"),
        ("datasets.val.degradation", "degradation", "camera, jpeg, noise"),
        ("train.optim_g", "optim_g", "Adam, AdamW, Muon"),
        ("train.pixel_opt", "pixel_opt", "CharbonnierLoss, L1Loss, MSELoss, PSNRLoss"),
    ],
)
def test_missing_types(place: str, key: str, known: str) -> None:
    options = training_options()
    del section(options, place)["type"]
    fails(options, f"Missing key type in the section {place}: known are {known}.")
    assert place.endswith(key)


@pytest.mark.parametrize(
    ("place", "wrong", "right"),
    [
        ("network_g", "VHeatR", "VHeatIR"),
        ("datasets.train", "DegradedImagesDataset", "DegradedImageDataset"),
        ("datasets.train.degradation", "nois", "noise"),
        ("train.optim_g", "AdmaW", "AdamW"),
        ("train.scheduler", "WarmUpCosine", "WarmupCosine"),
        ("train.pixel_opt", "CharbonierLoss", "CharbonnierLoss"),
        ("val.metrics.psnr", "calculate_pnsr", "calculate_psnr"),
    ],
)
def test_unknown_types(place: str, wrong: str, right: str) -> None:
    options = training_options()
    section(options, place)["type"] = wrong
    fails(options, f"Unknown type {wrong} in the section {place}: did you mean {right}?")


def test_keys_of_another_type() -> None:
    options = training_options(train__pixel_opt={"type": "L1Loss", "eps": 1e-9})
    with pytest.raises(OptionError, match=r"Unknown key eps in the section train\.pixel_opt"):
        check_options(options, is_train=True)


@pytest.mark.parametrize(
    "place", ["network_g", "path", "train", "logger", "datasets", "train.scheduler", "val", "datasets.val"]
)
@pytest.mark.parametrize("content", [5, ["a"], "text"])
def test_sections_that_are_none(place: str, content: object) -> None:
    options = training_options()
    *outer, key = place.split(".")
    section(options, ".".join(outer))[key] = content
    fails(options, f"Missing section {place}: it must be a mapping of keys to values.")


def test_training_without_validation() -> None:
    check_options(training_options(val=None), is_train=True)
    options = training_options()
    del options["val"], options["datasets"]["val"]
    check_options(options, is_train=True)


def test_phases() -> None:
    options = training_options()
    options["datasets"]["trian"] = options["datasets"].pop("train")
    fails(options, "Unknown key trian in the section datasets: did you mean train?")
    options = training_options()
    del options["datasets"]["train"]
    fails(options, "Missing key train in the section datasets.")
    options = scoring_options()
    options["datasets"]["train"] = training_options()["datasets"]["train"]
    with pytest.raises(OptionError, match="Unknown key train in the section datasets"):
        check_options(options, is_train=False)
    options = training_options()
    options["datasets"]["val_2"] = options["datasets"]["val"]
    check_options(options, is_train=True)


def test_scoring_needs_weights() -> None:
    options = scoring_options()
    options["path"]["pretrain_network_g"] = None
    fails(
        options,
        "Missing key pretrain_network_g in the section path: it names the weights to score.",
        is_train=False,
    )


# Values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train__precision": "fp16"}, "train.precision is auto, bf16 or fp32, not fp16."),
        ({"datasets__train__prefetch_mode": "cuda"}, "datasets.train.prefetch_mode is cpu or ~, not cuda."),
        ({"model_type": "SRModel"}, "model_type is PyramidModel or RestorationModel, not SRModel."),
        ({"train__optim_g__lr": "2e-4"}, "train.optim_g.lr is text, not a number: write !!float 2e-4 instead of 2e-4."),
        (
            {"train__optim_g__betas": [0.9, "1e-3"]},
            "train.optim_g.betas is text, not a number: write !!float 1e-3 instead of 1e-3.",
        ),
        (
            {"datasets__train__degradation__sigma": 25},
            f"{SIGMA} is a list of 2 numbers from 0 to 255 for training, [lowest, highest], not 25.",
        ),
        (
            {"datasets__train__degradation__sigma": [0, 25, 55]},
            f"{SIGMA} is a list of 2 numbers from 0 to 255 for training, [lowest, highest], not [0, 25, 55].",
        ),
        (
            {"datasets__val__degradation__sigma": [0, 55]},
            "datasets.val.degradation.sigma is a number from 0 to 255 for validation and testing, not [0, 55].",
        ),
        (
            {"datasets__train__degradation": {"type": "noise"}},
            "datasets.train.degradation needs either sigma (lowest and highest) or sigmas (a list to choose from).",
        ),
        (
            {"datasets__train__dataroots_gt": ["more"]},
            "datasets.train needs either dataroot_gt (one folder) or dataroots_gt (a list of folders).",
        ),
        (
            {"datasets__val__dataroot_gt": None},
            "datasets.val needs either dataroot_gt (one folder) or dataroots_gt (a list of folders).",
        ),
    ],
)
def test_values(change: dict[str, Any], message: str) -> None:
    fails(training_options(**change), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train__total_iter": 0}, "train.total_iter is a whole number of 1 or more, not 0."),
        ({"train__total_iter": 1.5}, "train.total_iter is a whole number of 1 or more, not 1.5."),
        ({"train__ema_decay": 1.1}, "train.ema_decay is a number from 0 to 1, not 1.1."),
        ({"train__grad_clip": 0}, "train.grad_clip is a number above 0, or ~, not 0."),
        ({"train__scheduler__clock": "sun"}, "train.scheduler.clock is processor or wall, not sun."),
        (
            {"train__optim_g__betas": [0.9, 1]},
            "train.optim_g.betas is a list of 2 numbers of 0 or more and less than 1, not [0.9, 1].",
        ),
        ({"network_g__embed_dim": True}, "network_g.embed_dim is a whole number, not true."),
        ({"network_g__depths": 3}, "network_g.depths is a list of whole numbers, not 3."),
        ({"network_g__resi_connection": None}, "network_g.resi_connection is 1conv, 3conv or identity, not ~."),
        ({"network_g__window": "8"}, "network_g.window is text, not a number: write !!float 8 instead of 8."),
        ({"datasets__train__in_chans": 2}, "datasets.train.in_chans is 1 or 3, not 2."),
        ({"datasets__train__cache": "yes"}, "datasets.train.cache is true or false, not yes."),
        ({"datasets__train__dataroot_gt": 5}, "datasets.train.dataroot_gt is text or ~, not 5."),
        ({"num_gpu": -1}, "num_gpu is auto, or a whole number of 0 or more, not -1."),
        ({"name": 2024}, "name is text, not 2024."),
        ({"val__metrics__psnr": 5}, "Missing section val.metrics.psnr: it must be a mapping of keys to values."),
        ({"datasets__val": None}, "Missing section datasets.val: it must be a mapping of keys to values."),
    ],
)
def test_types_and_ranges(change: dict[str, Any], message: str) -> None:
    fails(training_options(**change), message)


@pytest.mark.parametrize(
    "change",
    [
        {"val__val_freq": 5e3, "logger__save_checkpoint_freq": 5e3, "train__total_iter": 1e6},  # !!float 5e3
        {"train__warmup_iter": -1},  # no warm up
        {"manual_seed": None, "train__grad_clip": None, "train__scheduler__minutes": None},
        {"train__optim_g__lr": 1, "network_g__img_range": 255},
        {"datasets__train__degradation": {"type": "jpeg", "quality": [10, 95], "subsampling": [420, "444"]}},
    ],
)
def test_what_basicsr_takes_is_taken(change: dict[str, Any]) -> None:
    check_options(training_options(**change), is_train=True)


def test_lists_of_levels() -> None:
    check_options(
        training_options(datasets__train__degradation={"type": "noise", "sigmas": [15, 25, 50]}), is_train=True
    )


def test_names_may_look_like_numbers() -> None:
    check_options(training_options(name="2024", datasets__train__dataroot_gt="2024"), is_train=True)


# Files


def test_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "options.yml"
    with pytest.raises(OptionError, match=r"options\.yml does not exist"):
        read_options(path)
    with pytest.raises(OptionError, match="does not exist"):
        read_options(tmp_path)
    for content in (b"name: [1, 2", b"a: b: c", b"name: \xff\xfe", b"run: !!python/object/apply:os.getcwd []"):
        path.write_bytes(content)
        with pytest.raises(OptionError, match=r"options\.yml is not valid YAML: ") as caught:
            read_options(path)
        assert "\n" not in str(caught.value)
    for content in (b"", b"just text", b"- a\n- b"):
        path.write_bytes(content)
        with pytest.raises(OptionError, match=r"options\.yml holds no options"):
            read_options(path)


def test_reading(tmp_path: Path) -> None:
    assert read_options(write_options(tmp_path / "o.yml", training_options())) == training_options()
    (tmp_path / "float.yml").write_text("lr: !!float 2e-4")
    assert read_options(tmp_path / "float.yml") == {"lr": 2e-4}
    assert yaml.safe_load("lr: 2e-4") == {"lr": "2e-4"}  # what the check of numbers is for


# --force_yml


def test_forced_options() -> None:
    options = training_options()
    forced = force_options(
        options, ["train:optim_g:lr=!!float 2e-4", "name = other", "datasets:train:degradation:sigma=[0, 15]"]
    )
    assert forced["train"]["optim_g"]["lr"] == 2e-4
    assert forced["name"] == "other"
    assert forced["datasets"]["train"]["degradation"]["sigma"] == [0, 15]
    assert options == training_options()
    check_options(forced, is_train=True)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("train:ema_decy=0.9", "Unknown key ema_decy in the section train: did you mean ema_decay?"),
        ("ema_decay=0.9", "Unknown key ema_decay in the option file: "),
        (
            "trian:ema_decay=0.9",
            "--force_yml trian:ema_decay=0.9: Unknown key trian in the option file: did you mean train?",
        ),
        (
            "train:optim:lr=1",
            "--force_yml train:optim:lr=1: Unknown key optim in the section train: did you mean optim_g?",
        ),
        ("train:optim_g:lr=1e-3", "train.optim_g.lr is text, not a number: write !!float 1e-3 instead of 1e-3."),
        ("train:total_iter", "--force_yml takes section:key=value with one =, not train:total_iter."),
        ("name=a=b", "--force_yml takes section:key=value with one =, not name=a=b."),
        ("datasets:train:dataroots_gt=[a", "--force_yml datasets:train:dataroots_gt=[a: the value is no YAML, which"),
    ],
)
def test_wrong_forced_options(entry: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        check_options(force_options(training_options(), [entry]), is_train=True)


# Mixtures


def test_options_of_a_mixture() -> None:
    check_options(mixture_options(), is_train=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "RestorationModel"},
            "network_g.type: VHeatPyramid needs model_type: PyramidModel too.",
        ),
        (
            {"network_g": {"type": "VHeatIR", "in_chans": 3}},
            "model_type: PyramidModel needs network_g.type: VHeatPyramid too.",
        ),
        (
            {"datasets__train__degradation": {"type": "noise", "sigma": [0, 55]}},
            "model_type: PyramidModel needs datasets.train.degradation.type: mixture too.",
        ),
        (
            {"datasets__train__degradation__parts": []},
            f"{PARTS} is a list of degradations, each with a type and a share, not [].",
        ),
        (
            {"datasets__train__degradation__parts": [3]},
            f"Missing section {PARTS}[0]: it must be a mapping of keys to values.",
        ),
        (
            {"datasets__train__degradation__parts": [{"type": "camra", "share": 1}]},
            f"Unknown type camra in the section {PARTS}[0]: did you mean camera?",
        ),
        (
            {"datasets__train__degradation__parts": [{"type": "camera"}]},
            f"Missing key share in the section {PARTS}[0].",
        ),
        (
            {"datasets__train__degradation__parts": [{"type": "noise_jpeg", "share": 1, "quality": [10, 95]}]},
            f"{PARTS}[0] needs either sigma (lowest and highest) or sigmas (a list to choose from).",
        ),
        (
            {"datasets__val__degradation": {"type": "camera"}},
            "datasets.val needs crop, the side of the photographs: a camera takes squares.",
        ),
        ({"datasets__val__tell": "some"}, "datasets.val.tell is all, none or ~, not some."),
        (
            {"datasets__train__on_device": True},
            "datasets.train.on_device knows noise and jpeg, no mixture: leave it out.",
        ),
    ],
)
def test_wrong_options_of_a_mixture(change: dict[str, Any], message: str) -> None:
    fails(change_options(mixture_options(), change), message)


def test_a_level_weight_needs_levels_to_weigh() -> None:
    options = training_options(train__level_weight=0.1)
    with pytest.raises(OptionError, match=r"train\.level_weight needs model_type: PyramidModel and network_g\.type"):
        check_options(options, is_train=True)
