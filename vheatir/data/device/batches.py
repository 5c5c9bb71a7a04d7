"""``DeviceBatches``: training batches that are cut and degraded where the network runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vheatir.data.degradations import Degradation
from vheatir.data.device.degrade import degrade
from vheatir.data.device.images import DeviceImages
from vheatir.data.sources import ImageSource

__all__ = ["DeviceBatches"]


class DeviceBatches(Iterator[dict[str, Tensor]]):
    """Batches without end, drawn like those of a ``DegradedImageDataset`` but all at once, without a worker.

    Every draw of batch n comes from the seed, n and the process's number alone, so that a resumed training sees
    exactly what an unbroken one would have seen on a device of the same kind. The draws are other ones than the
    dataset's, from the same distributions.

    Args:
        source: the clean images; all of them stay in the device's memory, a byte a value.
        options: the dataset section; ``in_chans``, ``gt_size``, ``use_hflip``, ``use_rot`` and ``seed`` are read.
        degradation: what to draw the degradations from.
        device: where batches are made.
        batch_size: B.
        start: number of batches that were seen before.
        rank: number of this process.

    Batches are dicts: ``lq`` and ``gt``, float32 (B, in_chans, gt_size, gt_size), RGB; ``level``, float32 (B,).
    """

    def __init__(
        self,
        source: ImageSource,
        options: Mapping[str, Any],
        degradation: Degradation,
        *,
        device: str | torch.device,
        batch_size: int,
        start: int = 0,
        rank: int = 0,
    ) -> None:
        self._options = options
        self._degradation = degradation
        self._device = torch.device(device)
        self._images = DeviceImages(source, channels=int(options["in_chans"]), device=self._device)
        self._batch_size = batch_size
        self._number = start
        self._rank = rank

    def __next__(self) -> dict[str, Tensor]:
        generator = torch.Generator(self._device).manual_seed(self._seed())
        self._number += 1
        clean = self._images.crops(
            self._batch_size,
            self._options["gt_size"] + self._degradation.margin,
            flip=self._options["use_hflip"],
            rotate=self._options["use_rot"],
            generator=generator,
        )
        degraded, clean, level = degrade(self._degradation, clean, generator)
        return {"lq": degraded.float(), "gt": clean.float(), "level": level.float()}

    def _seed(self) -> int:
        words = (self._options["seed"], self._number, self._rank)
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))
