"""Weights that a test can make in a moment: networks of a few blocks with small random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from vheatir.nn import VHeatIR, VHeatPyramid
from vheatir.weights.file import MODELS, ModelName, Ranges, save_weights


def tiny_network(channels: int, *, seed: int = 0, offset: float = 0.0) -> VHeatIR:
    """A network whose output depends on image and level, and lies about ``offset`` above its input."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = VHeatIR(in_chans=channels, embed_dim=8, depths=(1,), frequency_resolution=4)
        torch.nn.init.normal_(net.conv_last.weight, std=0.01)
        torch.nn.init.constant_(net.get_parameter("conv_last.bias"), offset)
    return net


def tiny_pyramid(*, seed: int = 0, offset: float = 0.0) -> VHeatPyramid:
    """The same on a pyramid; ``offset`` where the levels are strong."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = VHeatPyramid(widths=(8, 12, 16), depths=(1, 1, 1, 1, 1), frequency_resolution=4, estimator_width=8)
        torch.nn.init.normal_(net.conv_last.weight, std=0.01)
        torch.nn.init.constant_(net.get_parameter("conv_last.bias"), offset)
    return net


def trained_ranges(task: ModelName) -> Ranges:
    """Levels that weights of a task could have been trained for."""
    sigma, quality = (0.0, 55.0), (10.0, 95.0)
    if task == "photo":
        return {"sigma": sigma, "quality": quality}
    return {"sigma": sigma} if task.startswith("denoise") else {"quality": quality}


def save_tiny_weights(path: Path, task: ModelName, *, seed: int = 0, offset: float = 0.0) -> Path:
    """Write a weights file of a tiny network for the task."""
    if task == "photo":
        net: VHeatIR | VHeatPyramid = tiny_pyramid(seed=seed, offset=offset)
    else:
        net = tiny_network(1 if task.endswith("gray") else 3, seed=seed, offset=offset)
    save_weights(path, net, name=task, ranges=trained_ranges(task), training={"steps": 0}, licence="CC0-1.0")
    return path


def save_all_tasks(folder: Path) -> Path:
    """Fill a folder as ``vheatir/weights`` is: gray models brighten by 0.1, all others darken by 0.1."""
    folder.mkdir()
    for task in MODELS:
        offset = 0.1 if task.endswith("gray") else -0.1
        save_tiny_weights(folder / f"{task}.safetensors", task, offset=offset)
    return folder
