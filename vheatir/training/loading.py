"""Batches from the datasets of an option file: without end for training, image by image for validation."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from vheatir.data.dataset import DegradedImageDataset
from vheatir.data.device import DeviceBatches
from vheatir.data.sampler import EndlessSampler, ShuffledSampler
from vheatir.training.registry import build_dataset

__all__ = ["training_batches", "validation_loaders"]

Batches = Iterator[dict[str, Any]]

logger = logging.getLogger(__name__)


def training_batches(opt: Mapping[str, Any], iteration: int) -> Batches:
    """Batches without end, continuing after ``iteration`` steps."""
    section = opt["datasets"]["train"]
    dataset = build_dataset(section)
    logger.info(f"{len(dataset)} training images in {section['name']}.")
    # without a process for each, one process feeds all GPUs
    gpus = 1 if opt["dist"] else max(1, opt["num_gpu"])
    batch_size, workers = section["batch_size_per_gpu"] * gpus, section["num_worker_per_gpu"] * gpus
    if section.get("on_device", False):
        return DeviceBatches(
            dataset.source,
            section,
            dataset.degradation,
            device="cpu" if opt["num_gpu"] == 0 else "cuda",
            batch_size=batch_size,
            start=iteration,
            rank=opt["rank"],
        )
    numbers = EndlessSampler(
        start=iteration * batch_size * opt["world_size"], rank=opt["rank"], world_size=opt["world_size"]
    )
    is_endless = isinstance(dataset, DegradedImageDataset)
    loader: DataLoader[dict[str, Any]] = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=numbers if is_endless else ShuffledSampler(numbers, len(dataset), seed=opt["manual_seed"]),
        num_workers=workers,
        worker_init_fn=partial(_seed_worker, opt["manual_seed"] + workers * opt["rank"]),
        pin_memory=section.get("pin_memory", False),
        persistent_workers=section.get("persistent_workers", False),
    )
    batches = iter(loader)
    ahead = section.get("prefetch_mode") == "cpu"
    return _prepared_ahead(batches, section.get("num_prefetch_queue", 1)) if ahead else batches


def validation_loaders(opt: Mapping[str, Any]) -> list[DataLoader[dict[str, Any]]]:
    """The sets to validate with, an image at a time."""
    sections = [section for phase, section in opt["datasets"].items() if not phase.startswith("train")]
    return [
        DataLoader(build_dataset(section), batch_size=1, pin_memory=section.get("pin_memory", False))
        for section in sections
    ]


def _seed_worker(first_seed: int, worker: int) -> None:
    """For datasets that draw from the global generators, which forked processes would share; torch sees to its own."""
    np.random.seed(first_seed + worker)
    random.seed(first_seed + worker)


def _prepared_ahead(batches: Batches, count: int) -> Batches:
    """The same batches, up to ``count`` of them made by a thread before they are asked for."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, batches) for _ in range(count))
        while True:
            batch = waiting.popleft().result()
            waiting.append(thread.submit(next, batches))
            yield batch
