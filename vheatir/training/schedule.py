"""Learning rates: a warm-up and a half cosine, over iterations or over time; steps; cosines one after the other."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Literal, get_args

import torch.distributed as dist
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vheatir.training.distributed import is_distributed

__all__ = ["ClockName", "CosineAnnealingRestartLR", "MultiStepRestartLR", "WarmupCosine", "warmup_cosine_factor"]

ClockName = Literal["wall", "processor"]


def warmup_cosine_factor(iteration: int, progress: float, *, warmup_iter: int, floor: float) -> float:
    """Factor of the base learning rate.

    ``min(1, iteration / warmup_iter) * (floor + (1 - floor) (1 + cos(pi progress)) / 2)``

    Args:
        iteration: number of the step to come, from 1.
        progress: share of the training that is over, 0 to 1; more counts as 1.
        warmup_iter: steps of the linear warm-up, 0 for none.
        floor: final factor.
    """
    warmup = min(1.0, iteration / warmup_iter) if warmup_iter > 0 else 1.0
    cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return warmup * (floor + (1 - floor) * cosine)


class WarmupCosine:
    """Sets an optimizer's learning rates by :func:`warmup_cosine_factor`.

    Args:
        optimizer: its learning rates at this moment are the base rates.
        total_iter: length of the training in steps.
        minutes: length of the training in minutes instead, validation and saving included unless they are done while
            the clock is :meth:`paused`; the time until a checkpoint is part of the saved state. In distributed training
            the clock is that of the first process.
        clock: which time ``minutes`` are of: ``"wall"``, or ``"processor"`` for what this process computed, all its
            threads together: whatever else the machine does, or a pause, then takes nothing away. Not for a GPU.
        warmup_iter: steps of the warm-up.
        floor: final factor of the base rates.

    Raises:
        ValueError: if there is no such clock.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total_iter: int,
        minutes: float | None = None,
        clock: ClockName = "wall",
        warmup_iter: int = 0,
        floor: float = 0.0,
    ) -> None:
        if clock not in get_args(ClockName):
            raise ValueError(f"train.scheduler.clock is one of {', '.join(get_args(ClockName))}, not {clock!r}.")
        self._optimizer = optimizer
        self._total_iter = total_iter
        self._seconds = None if minutes is None else 60 * minutes
        self._warmup_iter = warmup_iter
        self._floor = floor
        self._iteration = 1
        self._elapsed = 0.0  # seconds at the latest step, earlier runs included
        self._clock = clock
        self._started_at = self._now()
        self._paused_at: float | None = None
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        self._apply()

    @property
    def progress(self) -> float:
        """Share of the training that is over, 0 to 1."""
        if self._seconds is not None:
            return min(1.0, self._elapsed / self._seconds)
        return min(1.0, (self._iteration - 1) / self._total_iter)

    @property
    def out_of_time(self) -> bool:
        """True once a budget of time is used up."""
        return self._seconds is not None and self._elapsed >= self._seconds

    @property
    def seconds(self) -> float:
        """Seconds of training until now, earlier runs included, pauses not."""
        return (self._now() if self._paused_at is None else self._paused_at) - self._started_at

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock while the block runs."""
        self._paused_at = self._now()
        try:
            yield
        finally:
            self._started_at += self._now() - self._paused_at
            self._paused_at = None

    def step(self) -> None:
        """Go on to the next iteration."""
        self._iteration += 1
        if self._seconds is not None:
            self._elapsed = _of_first_process(self.seconds)
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        return {"iteration": self._iteration, "elapsed": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._iteration = int(state["iteration"])
        self._elapsed = float(state["elapsed"])
        self._started_at = self._now() - self._elapsed
        self._apply()

    def _now(self) -> float:
        return time.process_time() if self._clock == "processor" else time.monotonic()

    def _apply(self) -> None:
        factor = warmup_cosine_factor(self._iteration, self.progress, warmup_iter=self._warmup_iter, floor=self._floor)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


class MultiStepRestartLR(LRScheduler):
    """Steps: the base rate times the latest restart's weight, times `gamma` for each milestone since.

    Args:
        optimizer: its learning rates at this moment are the base rates.
        milestones: steps of training at which the rate falls.
        gamma: factor by which it falls.
        restarts: steps at which the rate starts anew.
        restart_weights: factor of the rate at each restart.

    Raises:
        ValueError: if there is not one weight for each restart.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        restarts: Sequence[int] = (0,),
        restart_weights: Sequence[float] = (1.0,),
    ) -> None:
        if len(restarts) != len(restart_weights):
            raise ValueError(f"restart_weights has one number for each of the {len(restarts)} restarts.")
        self.milestones = Counter(milestones)
        self.gamma = gamma
        self.restarts = restarts
        self.restart_weights = restart_weights
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        step = self.last_epoch
        begun = [pair for pair in zip(self.restarts, self.restart_weights, strict=True) if pair[0] <= step]
        restart, weight = max(begun, default=(-1, 1.0))
        falls = sum(count for milestone, count in self.milestones.items() if restart < milestone <= step)
        return [rate * weight * self.gamma**falls for rate in self.base_lrs]


class CosineAnnealingRestartLR(LRScheduler):
    """Half cosines, one after the other.

    Args:
        optimizer: its learning rates at this moment are the base rates.
        periods: steps of each cosine.
        restart_weights: factor of the rate for each cosine.
        eta_min: rate at the end of each cosine.

    Raises:
        ValueError: if there is not one weight for each period.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        periods: Sequence[int],
        restart_weights: Sequence[float] = (1.0,),
        eta_min: float = 0.0,
    ) -> None:
        if len(periods) != len(restart_weights):
            raise ValueError(f"restart_weights has one number for each of the {len(periods)} periods.")
        self.periods = periods
        self.restart_weights = restart_weights
        self.eta_min = eta_min
        self.cumulative_period = list(accumulate(periods))
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        index = min(bisect_left(self.cumulative_period, self.last_epoch), len(self.periods) - 1)
        over = self.last_epoch - (self.cumulative_period[index] - self.periods[index])
        cosine = (1 + math.cos(math.pi * min(1.0, over / self.periods[index]))) / 2
        weight = self.restart_weights[index]
        return [self.eta_min + weight * (rate - self.eta_min) * cosine for rate in self.base_lrs]


def _of_first_process(seconds: float) -> float:
    """One clock for all processes: they must agree on the learning rate and on the last step."""
    if not is_distributed():
        return seconds
    clock = [seconds]
    dist.broadcast_object_list(clock, src=0)
    return clock[0]
