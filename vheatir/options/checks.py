"""Checks option files before anything runs: a wrong key is named together with the nearest known one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeGuard

from vheatir.options.errors import OptionError, hint, listed, section_name, unknown_key

__all__ = ["check_keys", "check_options", "check_pretraining_options"]


class _Keys(NamedTuple):
    """The keys of one section."""

    required: frozenset[str]
    optional: frozenset[str]


def _keys(required: str, optional: str = "") -> _Keys:
    return _Keys(frozenset(required.split()), frozenset(optional.split()))


_COMMON: Final = "name model_type num_gpu manual_seed datasets network_g path"
_TRAINING_FILE: Final = _keys(f"{_COMMON} train logger", "val dist_params find_unused_parameters")
_PRETRAINING_FILE: Final = _keys(f"{_COMMON} pretrain train logger", "val dist_params find_unused_parameters")
_TEST_FILE: Final = _keys(f"{_COMMON} val", "dist_params")

_PATH: Final = _keys("", "pretrain_network_g strict_load_g param_key_g resume_state")
_PRETRAINING_PATH: Final = _keys("", "pretrain_network_g resume_state")
_PRETRAIN: Final = _keys("sources decoder_depth visible_weight")
_TRAIN: Final = _keys(
    "optim_g scheduler total_iter pixel_opt",
    "ema_decay warmup_iter precision grad_clip accumulate compile level_weight",
)
_TRAINING_VAL: Final = _keys("val_freq save_img", "suffix metrics pbar tile tile_overlap")
_PRETRAINING_VAL: Final = _keys("val_freq save_img", "crop")
_TEST_VAL: Final = _keys("save_img suffix", "metrics pbar tile tile_overlap")
_LOGGER: Final = _keys("print_freq save_checkpoint_freq use_tb_logger", "save_checkpoint_minutes")
_DIST_PARAMS: Final = _keys("", "backend port")

_CLEAN_IMAGES: Final = "dataroot_gt dataroots_gt include_list exclude_list cache pin_memory"
_TRAINING_DATASET: Final = _keys(
    "name type in_chans degradation gt_size use_hflip use_rot seed batch_size_per_gpu num_worker_per_gpu",
    f"{_CLEAN_IMAGES} on_device prefetch_mode num_prefetch_queue persistent_workers",
)
_EVALUATION_DATASET: Final = _keys("name type in_chans degradation", f"{_CLEAN_IMAGES} tell gray crop")

# what a section may hold, for each value of its key ``type``
_OPTIMIZERS: Final = {
    **dict.fromkeys(("Adam", "AdamW"), _keys("type lr", "betas eps weight_decay amsgrad fused")),
    "Muon": _keys("type lr", "momentum betas eps weight_decay"),
}
_SCHEDULERS: Final = {
    "WarmupCosine": _keys("type", "minutes clock warmup_iter floor"),
    "MultiStepLR": _keys("type milestones", "gamma restarts restart_weights"),
    "MultiStepRestartLR": _keys("type milestones", "gamma restarts restart_weights"),
    "CosineAnnealingRestartLR": _keys("type periods", "restart_weights eta_min"),
}
_LOSSES: Final = {
    "CharbonnierLoss": _keys("type", "loss_weight reduction eps"),
    "PSNRLoss": _keys("type", "loss_weight eps"),
    "L1Loss": _keys("type", "loss_weight reduction"),
    "MSELoss": _keys("type", "loss_weight reduction"),
}
_METRICS: Final = dict.fromkeys(
    ("calculate_psnr", "calculate_ssim"), _keys("type crop_border", "input_order test_y_channel better")
)
_JPEG: Final = "log_quality double subsampling grid_phase studio_swing"
_SINGLE_DEGRADATIONS: Final = {"noise": _keys("type", "sigma sigmas"), "jpeg": _keys("type quality", _JPEG)}
_TRAINING_DEGRADATIONS: Final = {**_SINGLE_DEGRADATIONS, "mixture": _keys("type gray withheld parts")}
#: kinds of degradations in a mixture
_PARTS: Final = {
    "noise": _keys("type share", "sigma sigmas"),
    "jpeg": _keys("type share quality", _JPEG),
    "noise_jpeg": _keys("type share quality", f"sigma sigmas {_JPEG}"),
    **dict.fromkeys(("camera", "grain", "clean"), _keys("type share")),
}
_EVALUATION_DEGRADATIONS: Final = {
    "noise": _keys("type sigma"),
    "jpeg": _keys("type quality"),
    "camera": _keys("type"),
}

_CHOICES: Final[Mapping[str, tuple[str | None, ...]]] = {
    "precision": ("fp32", "bf16", "auto"),
    "prefetch_mode": (None, "cpu"),
    "tell": ("all", "none"),
}
#: keys whose text may look like a number
_TEXT_KEYS: Final = _keys(
    "name suffix subsampling dataroot_gt dataroots_gt include_list exclude_list pretrain_network_g resume_state"
).required


def check_options(options: Mapping[str, Any], *, is_train: bool) -> None:
    """Check every key of an option file.

    Args:
        options: the file's content.
        is_train: a training file, which needs the sections ``train`` and ``logger`` too.

    Raises:
        OptionError: at the first unknown or missing key, unknown ``type``, or number that YAML reads as text.
    """
    _check_keys("", options, _TRAINING_FILE if is_train else _TEST_FILE)
    _check_common(options, models=("RestorationModel", "PyramidModel"), path=_PATH, is_train=is_train)
    if not is_train or options.get("val") is not None:
        _check_validation(options, _TRAINING_VAL if is_train else _TEST_VAL)
    if not is_train and options["path"].get("pretrain_network_g") is None:
        raise OptionError("Missing key pretrain_network_g in the section path: it names the weights to score.")


def check_pretraining_options(options: Mapping[str, Any]) -> None:
    """Check every key of an option file of ``vheatir.pretrain``.

    Raises:
        OptionError: as :func:`check_options`, and for crops that cannot be cut into quarters.
    """
    _check_keys("", options, _PRETRAINING_FILE)
    _check_common(options, models=("QBHeatModel",), path=_PRETRAINING_PATH, is_train=True)
    _check_keys("pretrain", _section(options, "pretrain"), _PRETRAIN)
    _check_quarters("datasets.train.gt_size", options["datasets"]["train"]["gt_size"], options["network_g"])
    if options.get("val") is not None:
        _check_validation(options, _PRETRAINING_VAL)
        if options["val"].get("crop") is not None:
            _check_quarters("val.crop", options["val"]["crop"], options["network_g"])


def _check_common(options: Mapping[str, Any], *, models: Sequence[str], path: _Keys, is_train: bool) -> None:
    """Check the sections that every kind of file has."""
    if options["model_type"] not in models:
        raise OptionError(f"model_type is {' or '.join(models)}, not {options['model_type']}.")
    _check_keys("path", _section(options, "path"), path)
    if options.get("dist_params") is not None:
        _check_keys("dist_params", _section(options, "dist_params"), _DIST_PARAMS)
    _check_network(_section(options, "network_g"))
    for phase in _section(options, "datasets"):
        _check_dataset(options, phase, is_train=is_train)
    if is_train:
        _check_training(options)
        _check_mixture(options)


def _check_mixture(options: Mapping[str, Any]) -> None:
    """A mixture of degradations, a network of two levels and the model that trains it go together."""
    together = {
        "model_type: PyramidModel": options["model_type"] == "PyramidModel",
        "network_g.type: VHeatPyramid": options["network_g"]["type"] == "VHeatPyramid",
        "datasets.train.degradation.type: mixture": options["datasets"]["train"]["degradation"]["type"] == "mixture",
        "train.level_weight": "level_weight" in options["train"],
    }
    missing = [name for name, is_there in together.items() if not is_there]
    if missing and len(missing) < len(together):
        there = next(name for name, is_there in together.items() if is_there)
        raise OptionError(f"{there} needs {' and '.join(missing)} too.")


def _check_quarters(place: str, side: object, network: Mapping[str, Any]) -> None:
    """Each quarter of a crop is cut into the blocks of pixels that the network folds."""
    from vheatir.archs import VHeatIR

    downscale = network.get("downscale", inspect.signature(VHeatIR).parameters["downscale"].default)
    if not (isinstance(side, int) and side > 0 and side % (2 * downscale) == 0):
        raise OptionError(f"{place} is a multiple of {2 * downscale}, twice network_g.downscale, not {side}.")


def check_keys(place: str, content: object, *, required: str, optional: str = "") -> None:
    """Check the keys of a section of another kind of option file.

    Args:
        place: its name, for the message; empty for the file itself.
        content: the section.
        required: keys that it must have, separated by spaces.
        optional: keys that it may have.

    Raises:
        OptionError: if it is no mapping, or at the first unknown or missing key, or number that YAML reads as text.
    """
    if not isinstance(content, dict):
        raise OptionError(f"Missing section {place}: it must be a mapping of keys to values.")
    _check_keys(place, content, _keys(required, optional))


def _check_training(options: Mapping[str, Any]) -> None:
    if "train" not in options["datasets"]:
        raise OptionError("Missing section datasets.train: it says what to train on.")
    _check_keys("logger", _section(options, "logger"), _LOGGER)
    _check_keys("train", _section(options, "train"), _TRAIN)
    for key, known in (("optim_g", _OPTIMIZERS), ("scheduler", _SCHEDULERS), ("pixel_opt", _LOSSES)):
        _check_typed(f"train.{key}", _section(options, "train", key), known)


def _check_validation(options: Mapping[str, Any], keys: _Keys) -> None:
    _check_keys("val", _section(options, "val"), keys)
    if options["val"].get("metrics") is not None:
        for metric in _section(options, "val", "metrics"):
            _check_typed(f"val.metrics.{metric}", _section(options, "val", "metrics", metric), _METRICS)


def _check_network(network: Mapping[str, Any]) -> None:
    from vheatir.archs import VHeatIR, VHeatPyramid

    required = frozenset({"type", "in_chans"})
    arguments = {kind.__name__: frozenset(inspect.signature(kind).parameters) for kind in (VHeatIR, VHeatPyramid)}
    _check_typed("network_g", network, {name: _Keys(required, keys - required) for name, keys in arguments.items()})


def _check_dataset(options: Mapping[str, Any], phase: str, *, is_train: bool) -> None:
    phases = ("train", "val") if is_train else ("test", "val")
    training = is_train and phase == "train"
    if not training and str(phase).split("_")[0] not in set(phases) - {"train"}:  # val, val_2, test_set14, ...
        raise OptionError(unknown_key(phase, "datasets", phases))
    place, dataset = f"datasets.{phase}", _section(options, "datasets", phase)
    _check_typed(place, dataset, {"DegradedImageDataset": _TRAINING_DATASET if training else _EVALUATION_DATASET})
    if dataset.get("on_device", False) and dataset["degradation"].get("type") == "mixture":
        raise OptionError(f"{place}.on_device knows noise and jpeg, no mixture: leave it out.")
    if (dataset.get("dataroot_gt") is None) == (dataset.get("dataroots_gt") is None):
        raise OptionError(f"{place} needs either dataroot_gt (one folder) or dataroots_gt (a list of folders).")
    degradation = _section(options, "datasets", phase, "degradation")
    known = _TRAINING_DEGRADATIONS if training else _EVALUATION_DEGRADATIONS
    _check_typed(f"{place}.degradation", degradation, known)
    if degradation["type"] == "mixture":
        _check_parts(f"{place}.degradation.parts", degradation["parts"])
    else:
        _check_level(f"{place}.degradation", degradation, training=training)
    if degradation["type"] == "camera" and dataset.get("crop") is None:
        raise OptionError(f"{place} needs crop, the side of the photographs: a camera takes squares.")


def _check_parts(place: str, parts: object) -> None:
    if not isinstance(parts, list) or not parts:
        raise OptionError(f"{place} is a list of degradations, each with a type and a share.")
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            raise OptionError(f"{place}[{index}] is a mapping with a type and a share, not {part}.")
        _check_typed(f"{place}[{index}]", part, _PARTS)
        _check_level(f"{place}[{index}]", part, training=True)


def _check_level(place: str, degradation: Mapping[str, Any], *, training: bool) -> None:
    """Training draws levels, an evaluation has one."""
    if (
        training
        and degradation["type"] in ("noise", "noise_jpeg")
        and ("sigma" in degradation) == ("sigmas" in degradation)
    ):
        raise OptionError(f"{place} needs either sigma (lowest and highest) or sigmas (a list to choose from).")
    for key in degradation.keys() & {"sigma", "sigmas", "quality"}:
        level = degradation[key]
        if not training and not _is_number(level):
            raise OptionError(f"{place}.{key} is one number for validation and testing, not {level}.")
        if training and not _is_range(level) and not (key == "sigmas" and _islisted(level)):
            raise OptionError(f"{place}.{key} is a list of numbers for training, [lowest, highest], not {level}.")


def _check_typed(place: str, content: Mapping[str, Any], known: Mapping[str, _Keys]) -> None:
    """Check a section whose other keys depend on its ``type``."""
    if "type" not in content:
        raise OptionError(f"Missing key type in the section {place}: known are {listed(known)}.")
    kind = str(content["type"])
    if kind not in known:
        raise OptionError(f"Unknown type {kind} in the section {place}: {hint(kind, known)}")
    _check_keys(place, content, known[kind])


def _check_keys(place: str, content: Mapping[str, Any], keys: _Keys) -> None:
    known = keys.required | keys.optional
    for key, value in content.items():
        if key not in known:
            raise OptionError(unknown_key(key, place, known))
        _check_value(f"{place}.{key}".lstrip("."), key, value)
    for key in sorted(keys.required - set(content)):
        raise OptionError(f"Missing key {key} in {section_name(place)}.")


def _check_value(place: str, key: str, value: object) -> None:
    if key in _CHOICES and value not in _CHOICES[key]:
        choices = " or ".join("~" if choice is None else choice for choice in _CHOICES[key])
        raise OptionError(f"{place} is {choices}, not {value}.")
    if key in _TEXT_KEYS:
        return
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str) and _reads_as_number(part):
            raise OptionError(f"{place} is text, not a number: write !!float {part} instead of {part}.")


def _section(options: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The section below these keys."""
    section: Any = options
    for key in keys:
        section = section.get(key)
        if not isinstance(section, dict):
            place = ".".join(map(str, keys))
            raise OptionError(f"Missing section {place}: it must be a mapping of keys to values.")
    found: Mapping[str, Any] = section
    return found


def _is_range(value: object) -> bool:
    return _islisted(value) and len(value) == 2


def _islisted(value: object) -> TypeGuard[list[float]]:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
