"""Timing in turns, by a clock that the calls themselves move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vheatir.speed.timing import Ratio, Timing, compare, time_interleaved


class Clock:
    """Time that passes only while calls work: ten times as much in those whose numbers are in ``slow``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.slow = range(0)

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.now += seconds * (10 if len(self.calls) in self.slow else 1)
            self.calls.append(name)

        return call


def test_competitors_take_turns_and_each_begins_a_round() -> None:
    clock = Clock()
    time_interleaved({name: clock.work(name, 1) for name in "abc"}, rounds=3, limit=100, clock=clock)
    assert "".join(clock.calls) == "abcabc" + "abc" + "bca" + "cab"


def test_a_slow_phase_of_the_machine_leaves_the_ratios_alone() -> None:
    clock = Clock()
    clock.slow = range(6, 8)  # after two calls of each, the second round of three
    calls = {"ours": clock.work("ours", 2), "other": clock.work("other", 3)}
    timings = time_interleaved(calls, rounds=3, limit=100, clock=clock)
    assert timings["ours"].seconds == (2.0, 20.0, 2.0)
    assert timings["other"].seconds == (3.0, 30.0, 3.0)
    assert compare(timings["other"], timings["ours"]) == Ratio(1.5, 1.5, 1.5, 3)


def test_short_calls_are_repeated_and_their_mean_is_taken() -> None:
    clock = Clock()
    timings = time_interleaved({"a": clock.work("a", 0.25)}, rounds=2, limit=100, shortest=1.0, clock=clock)
    assert timings["a"].seconds == (0.25, 0.25)
    assert len(clock.calls) == 2 + 2 * 4


def test_the_first_call_is_not_counted_where_there_is_another() -> None:
    clock = Clock()
    seconds = iter([9.0, 2.0, 2.0, 4.0])

    def call() -> None:
        clock.now += next(seconds)

    timing = time_interleaved({"a": call}, rounds=2, limit=100, clock=clock)["a"]
    assert timing == Timing((2.0, 4.0), cold=False)
    assert timing.median == 3.0


def test_a_competitor_stops_at_its_limit_and_the_others_go_on() -> None:
    clock = Clock()
    calls = {"slow": clock.work("slow", 10), "quick": clock.work("quick", 1)}
    timings = time_interleaved(calls, rounds=4, limit=29, clock=clock)
    assert timings["slow"].seconds == (10.0, None, None, None)
    assert timings["quick"].seconds == (1.0,) * 4
    assert clock.calls.count("slow") == 2


def test_no_time_for_a_second_call_keeps_the_first() -> None:
    clock = Clock()
    timing = time_interleaved({"a": clock.work("a", 60)}, rounds=3, limit=100, clock=clock)["a"]
    assert timing == Timing((60.0, None, None), cold=True)
    assert clock.calls == ["a"]


def test_ratios_are_taken_round_by_round() -> None:
    numerator, denominator = Timing((8.0, 20.0, 6.0, None)), Timing((2.0, 4.0, 6.0, 1.0))
    assert compare(numerator, denominator) == Ratio(4.0, 1.0, 5.0, 3)


def test_ratios_without_a_common_round_are_of_medians() -> None:
    assert compare(Timing((8.0, None, None)), Timing((None, 2.0, 4.0))) == Ratio(8 / 3, 8 / 3, 8 / 3, 1)


@pytest.mark.parametrize("rounds", [1, 2])
def test_calls_that_take_no_time_do_not_divide_by_it(rounds: int) -> None:
    timing = time_interleaved({"a": lambda: None}, rounds=rounds, limit=1, shortest=1, clock=lambda: 0.0)["a"]
    assert timing.seconds == (0.0,) * rounds
