"""Weights that a test can make in a moment: a network of one block with small random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from vheatir.archs import VHeatIR
from vheatir.checkpoint import TASKS, LevelName, Task, save_weights

LEVELS: dict[str, tuple[LevelName, tuple[float, float]]] = {
    "denoise": ("sigma", (0.0, 55.0)),
    "jpeg": ("quality", (10.0, 95.0)),
}


def tiny_network(channels: int, *, seed: int = 0, offset: float = 0.0) -> VHeatIR:
    """A network whose output depends on image and level, and lies about ``offset`` above its input."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = VHeatIR(in_chans=channels, embed_dim=8, depths=(1,), frequency_resolution=4)
        torch.nn.init.normal_(net.conv_last.weight, std=0.01)
        torch.nn.init.constant_(net.get_parameter("conv_last.bias"), offset)
    return net


def save_tiny_weights(path: Path, task: Task, *, seed: int = 0, offset: float = 0.0) -> Path:
    """Write a weights file of a tiny network for the task."""
    name, levels = LEVELS[task.split("-")[0]]
    net = tiny_network(1 if task.endswith("gray") else 3, seed=seed, offset=offset)
    save_weights(path, net, task=task, ranges={name: levels}, training={"steps": 0}, licence="CC0-1.0")
    return path


def save_all_tasks(folder: Path) -> Path:
    """Fill a folder as ``vheatir/weights`` is: gray models brighten by 0.1, colour ones darken by 0.1."""
    folder.mkdir()
    for task in TASKS:
        offset = 0.1 if task.endswith("gray") else -0.1
        save_tiny_weights(folder / f"{task}.safetensors", task, offset=offset)
    return folder
