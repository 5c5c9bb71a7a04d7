"""Tiny trainings for the tests: a few photos in a folder, and option files for a network of some thousand weights."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from skimage import data

needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="basicsr is not installed")

TINY_NETWORK: dict[str, Any] = {
    "type": "VHeatIR",
    "in_chans": 1,
    "embed_dim": 8,
    "depths": [1],
    "frequency_resolution": 4,
}

TINY_PYRAMID: dict[str, Any] = {
    "widths": [8, 8],
    "depths": [1, 1, 1],
    "mixers": ["identity", "heat"],
    "heat_ratios": [1.0, 0.5],
    "frequency_resolution": 4,
    "estimator_width": 4,
}

_OPTIONS: dict[str, Any] = {
    "name": "tiny",
    "model_type": "RestorationModel",
    "num_gpu": 0,
    "manual_seed": 0,
    "datasets": {
        "train": {
            "name": "train",
            "type": "DegradedImageDataset",
            "dataroot_gt": "photos",
            "in_chans": 1,
            "degradation": {"type": "noise", "sigma": [0, 55]},
            "cache": True,
            "gt_size": 16,
            "use_hflip": True,
            "use_rot": True,
            "seed": 0,
            "batch_size_per_gpu": 4,
            "num_worker_per_gpu": 0,
        },
        "val": {
            "name": "validation",
            "type": "DegradedImageDataset",
            "dataroot_gt": "photos",
            "in_chans": 1,
            "degradation": {"type": "noise", "sigma": 25},
        },
    },
    "network_g": TINY_NETWORK,
    "path": {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None},
    "train": {
        "ema_decay": 0.5,
        "optim_g": {"type": "Adam", "lr": 0.01},
        "scheduler": {"type": "WarmupCosine", "warmup_iter": 2},
        "total_iter": 8,
        "pixel_opt": {"type": "CharbonnierLoss", "eps": 1e-9},
    },
    "val": {
        "val_freq": 4,
        "save_img": False,
        "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
    },
    "logger": {"print_freq": 1, "save_checkpoint_freq": 4, "use_tb_logger": False},
}


def training_options(**changes: Any) -> dict[str, Any]:
    """Options of a training of 8 steps; a change is named by its keys, joined by two underscores."""
    options = copy.deepcopy(_OPTIONS)
    return change_options(options, changes)


def mixture_options(**changes: Any) -> dict[str, Any]:
    """Options of a training of a tiny pyramid on a mixture of degradations."""
    parts = [
        {"type": "noise", "share": 1, "sigma": [0, 55]},
        {"type": "jpeg", "share": 1, "quality": [10, 95]},
        {"type": "noise_jpeg", "share": 1, "sigmas": [5, 15], "quality": [30, 95]},
        {"type": "camera", "share": 1},
        {"type": "grain", "share": 1},
        {"type": "clean", "share": 1},
    ]
    options = training_options(
        model_type="PyramidModel",
        network_g={"type": "VHeatPyramid", "in_chans": 3} | TINY_PYRAMID,
        datasets__train__in_chans=3,
        datasets__train__degradation={"type": "mixture", "gray": 0.4, "withheld": 0.4, "parts": parts},
        datasets__val__in_chans=3,
        datasets__val__tell="all",
        train__level_weight=0.1,
    )
    return change_options(options, changes)


def change_options(options: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set keys of the options, each named by its sections and itself, joined by two underscores; returns them."""
    for path, value in changes.items():
        *sections, key = path.split("__")
        section = options
        for name in sections:
            section = section[name]
        section[key] = value
    return options


def model_options(root: Path, **changes: Any) -> dict[str, Any]:
    """The same as a model gets them, with the folders below ``root``."""
    options = training_options(**changes) | {"dist": False, "rank": 0, "world_size": 1}
    for folder in ("models", "training_states", "visualization"):
        options["path"][folder] = str(root / folder)
        (root / folder).mkdir(exist_ok=True)
    return options


def write_options(path: Path, options: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(options, sort_keys=False))
    return path


def photos() -> dict[str, NDArray[np.uint8]]:
    """Photos inside scikit-image by name, RGB or gray."""
    return {
        "astronaut": data.astronaut(),
        "camera": data.camera(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "rocket": data.rocket(),
    }


def write_photos(folder: Path, names: tuple[str, ...], *, side: int | None = None) -> Path:
    """Write photos as PNG files, or the square of ``side`` pixels in their middle."""
    folder.mkdir(parents=True)
    for name in names:
        image = photos()[name]
        if side is not None:
            top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
            image = image[top : top + side, left : left + side]
        write_image(folder / f"{name}.png", image)
    return folder


def write_image(path: Path, image: NDArray[Any], options: tuple[int, ...] = ()) -> Path:
    """Write a gray or RGB image in the format of the suffix."""
    stored = image if image.ndim == 2 else image[..., ::-1]
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored), list(options))
    return path
