"""Endless samplers that can begin anywhere, so that a resumed training continues where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from torch.utils.data import Sampler

__all__ = ["EndlessSampler", "ShuffledSampler"]


class EndlessSampler(Sampler[int]):
    """Numbers ``start + rank, start + rank + world_size, ...`` without end.

    Args:
        start: number of items that all processes together have seen before.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, *, start: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[int]:
        return count(self.start + self.rank, self.world_size)


class ShuffledSampler(Sampler[int]):
    """Items of a finite dataset, all of them again and again, each time in another order.

    Args:
        numbers: of the items in the endless sequence.
        length: number of items of the dataset.
        seed: of the orders.
    """

    def __init__(self, numbers: EndlessSampler, length: int, *, seed: int) -> None:
        self.numbers = numbers
        self.length = length
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        latest = -1
        for number in self.numbers:
            epoch, place = divmod(number, self.length)
            if epoch != latest:
                order, latest = np.random.default_rng((self.seed, epoch)).permutation(self.length), epoch
            yield int(order[place])
