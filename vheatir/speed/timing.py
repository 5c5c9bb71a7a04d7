"""Timing competitors in turns, so that what slows the machine down for a while slows all of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Ratio", "Timing", "compare", "time_interleaved"]


@dataclass(frozen=True)
class Timing:
    """Seconds of one competitor.

    Attributes:
        seconds: of one call in each round; None in rounds that it had no time for.
        cold: its only call was also its first, the one that builds caches.
    """

    seconds: tuple[float | None, ...]
    cold: bool = False

    @property
    def median(self) -> float:
        """Median over the rounds that were measured."""
        return statistics.median(self.measured)

    @property
    def measured(self) -> list[float]:
        """Seconds of the rounds that were measured; at least one."""
        return [value for value in self.seconds if value is not None]


@dataclass(frozen=True)
class Ratio:
    """How many times as much one value is as another, round by round.

    Attributes:
        median: of the rounds in which both were measured.
        low: smallest of them.
        high: largest of them.
        rounds: their number.
    """

    median: float
    low: float
    high: float
    rounds: int


def time_interleaved(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    limit: float,
    shortest: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time calls in turns: every round calls each competitor, and begins with another one than the round before.

    A competitor is called once or twice before the rounds, to fill its caches and to learn how long it takes. One that
    has no time for a second call keeps the seconds of that first one.

    Args:
        calls: competitors by name.
        rounds: times that each is measured, where ``limit`` allows it.
        limit: seconds that one competitor may take altogether; its first call is made in any case.
        shortest: seconds that a measurement should last; short calls are repeated for as long, and their mean taken.
        clock: gives the time in seconds.
    """
    first = {name: _elapsed(call, 1, clock) for name, call in calls.items()}
    again = {name: _elapsed(call, 1, clock) for name, call in calls.items() if 3 * first[name] <= limit}
    expected = first | again
    spent = {name: first[name] + again.get(name, 0.0) for name in calls}
    repeats = {name: _repeats(expected[name], shortest) for name in calls}
    measured: dict[str, list[float | None]] = {name: [] for name in calls}
    names = list(calls)
    for index in range(rounds):
        turn = index % max(1, len(names))
        for name in names[turn:] + names[:turn]:
            if spent[name] + expected[name] * repeats[name] > limit:
                measured[name].append(None)
                continue
            seconds = _elapsed(calls[name], repeats[name], clock)
            spent[name] += seconds
            measured[name].append(seconds / repeats[name])
    return {name: _timing(measured[name], first[name]) for name in names}


def compare(numerator: Timing, denominator: Timing) -> Ratio:
    """Divide two timings of one run, round by round; where no round has both, median by median."""
    pairs = zip(numerator.seconds, denominator.seconds, strict=True)
    ratios = [above / below for above, below in pairs if above is not None and below is not None]
    ratios = ratios or [numerator.median / denominator.median]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def _elapsed(call: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return clock() - start


def _repeats(seconds: float, shortest: float) -> int:
    return max(1, math.ceil(shortest / seconds)) if seconds > 0 else 1


def _timing(seconds: list[float | None], first: float) -> Timing:
    if any(value is not None for value in seconds):
        return Timing(tuple(seconds))
    return Timing((first, *(None for _ in seconds[1:])), cold=True)
