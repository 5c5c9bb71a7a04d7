from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from vheatir.training.schedule import WarmupCosine, warmup_cosine_factor


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now / 4  # as if three quarters of the machine went to others


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(time, "process_time", clock.process_time)
    return clock


def optimizer(*rates: float) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize(
    ("iteration", "progress", "factor"),
    [
        (1, 0.0, 0.25),  # 1/4 of the warm-up, (1 + cos 0)/2 = 1
        (3, 0.2, 0.75 * (0.1 + 0.9 * 0.9045085)),  # cos 36° = 0.8090170
        (4, 0.0, 1.0),
        (50, 0.5, 0.55),
        (99, 1.0, 0.1),
        (99, 1.7, 0.1),
    ],
)
def test_factor_by_hand(iteration: int, progress: float, factor: float) -> None:
    assert warmup_cosine_factor(iteration, progress, warmup_iter=4, floor=0.1) == pytest.approx(factor, rel=1e-6)


def test_no_warm_up() -> None:
    assert warmup_cosine_factor(1, 0.0, warmup_iter=0, floor=0.0) == 1.0


def test_schedule_by_iterations() -> None:
    sgd = optimizer(2.0, 0.4)
    schedule = WarmupCosine(sgd, total_iter=10, warmup_iter=4, floor=0.1)
    assert rates(sgd) == pytest.approx([0.5, 0.1])
    for _ in range(5):
        schedule.step()
    assert rates(sgd) == pytest.approx([1.1, 0.22])  # step 6 of 10 begins in the middle
    for _ in range(4):
        schedule.step()
    assert rates(sgd)[0] == pytest.approx(2 * (0.1 + 0.9 * 0.0244717), rel=1e-5)  # cos 162° = -0.9510565
    assert not schedule.out_of_time


def test_schedule_by_the_clock(clock: Clock) -> None:
    sgd = optimizer(2.0)
    schedule = WarmupCosine(sgd, total_iter=10**6, minutes=10, floor=0.1)
    for minute, rate in ((0, 2.0), (5, 1.1), (9.99, 0.2)):
        clock.now = 1000 + 60 * minute
        schedule.step()
        assert rates(sgd)[0] == pytest.approx(rate, rel=1e-3)
        assert not schedule.out_of_time
    clock.now = 1000 + 60 * 10
    schedule.step()
    assert schedule.out_of_time
    assert schedule.progress == 1.0
    assert rates(sgd)[0] == pytest.approx(0.2)


def test_clock_and_last_step_agree(clock: Clock) -> None:
    """Time that passes after a step (saving, validating) counts at the next step, not in between."""
    sgd = optimizer(1.0)
    schedule = WarmupCosine(sgd, total_iter=10**6, minutes=1)
    schedule.step()
    clock.now += 3600
    assert not schedule.out_of_time
    schedule.step()
    assert schedule.out_of_time


def test_processes_go_by_the_first_ones_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else their learning rates drift apart, and one waits for gradients of another that has finished."""

    def broadcast(values: list[float], src: int) -> None:
        assert (values, src) == ([120.0], 0)
        values[0] = 300.0

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)
    sgd = optimizer(2.0)
    schedule = WarmupCosine(sgd, total_iter=10**6, minutes=10)
    clock.now += 120
    schedule.step()
    assert schedule.progress == pytest.approx(0.5)
    assert rates(sgd)[0] == pytest.approx(1.0)


def test_resuming_by_the_clock_leaves_the_pause_out(clock: Clock) -> None:
    first = WarmupCosine(optimizer(2.0), total_iter=10**6, minutes=10, warmup_iter=3)
    clock.now += 120
    first.step()
    clock.now += 60
    state = first.state_dict()
    clock.now += 10**6  # a night without power

    sgd = optimizer(2.0)
    second = WarmupCosine(sgd, total_iter=10**6, minutes=10, warmup_iter=3)
    second.load_state_dict(state)
    assert second.progress == pytest.approx(0.3)
    clock.now += 120
    second.step()
    assert second.progress == pytest.approx(0.5)
    assert rates(sgd)[0] == pytest.approx(1.0)  # third step: the warm-up is over, half way down


def test_resuming_by_iterations_continues_the_rates() -> None:
    unbroken, broken = optimizer(2.0), optimizer(2.0)
    schedule = WarmupCosine(unbroken, total_iter=8, warmup_iter=5)
    for _ in range(3):
        schedule.step()
    resumed = WarmupCosine(broken, total_iter=8, warmup_iter=5)
    broken.load_state_dict(unbroken.state_dict())  # as BasicSR does: the optimizer first, with its current rate
    resumed.load_state_dict(schedule.state_dict())
    for _ in range(4):
        schedule.step()
        resumed.step()
        assert rates(broken) == rates(unbroken)
    assert rates(unbroken)[0] == pytest.approx(2.0 * 0.0380602, rel=1e-5)  # step 8: (1 + cos 157.5°)/2


def test_the_clock_stands_still_while_it_is_paused(clock: Clock) -> None:
    """30 s of training, a pause of 100 s, 20 s of training; what is saved within the pause knows 30 s."""
    schedule = WarmupCosine(optimizer(1.0), total_iter=1, minutes=1)
    clock.now += 30
    with schedule.paused():
        clock.now += 100
        assert schedule.seconds == pytest.approx(30)
        saved = schedule.state_dict()
    clock.now += 20
    schedule.step()
    assert schedule.seconds == pytest.approx(50)
    assert schedule.progress == pytest.approx(50 / 60)
    assert not schedule.out_of_time
    resumed = WarmupCosine(optimizer(1.0), total_iter=1, minutes=1)
    resumed.load_state_dict(saved)
    clock.now += 5
    assert resumed.seconds == pytest.approx(35)


def test_processor_time(clock: Clock) -> None:
    schedule = WarmupCosine(optimizer(1.0), total_iter=1, minutes=1, clock="processor")
    clock.now += 120
    schedule.step()
    assert schedule.seconds == pytest.approx(30)
    assert schedule.progress == pytest.approx(0.5)
    with schedule.paused():
        clock.now += 400
    assert schedule.seconds == pytest.approx(30)
    resumed = WarmupCosine(optimizer(1.0), total_iter=1, minutes=1, clock="processor")
    resumed.load_state_dict(schedule.state_dict())
    clock.now += 120
    resumed.step()
    assert resumed.out_of_time


def test_a_clock_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="clock is one of wall, processor, not 'sun'"):
        WarmupCosine(optimizer(1.0), total_iter=1, clock="sun")  # type: ignore[arg-type]
