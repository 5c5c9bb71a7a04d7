"""An endless sampler that can begin anywhere, so that a resumed training continues where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from torch.utils.data import Sampler

__all__ = ["EndlessSampler"]


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
