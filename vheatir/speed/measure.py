"""The measurement behind ``vheatir speed``: sizes ascending, competitors in turns at each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from vheatir.inference.memory import free_bytes
from vheatir.nn.complexity import count_multiply_adds, count_parameters
from vheatir.speed.process import ProcessCost, run_process
from vheatir.speed.reference import CostError
from vheatir.speed.report import Cell
from vheatir.speed.rows import CHANNELS, ROWS, Call, NetworkRow
from vheatir.speed.timing import Timing, time_interleaved

__all__ = ["Plan", "measure_sizes"]

logger = logging.getLogger(__name__)

#: short calls are repeated for as many seconds
_SHORTEST: Final = 0.2
#: share of the free memory that a cell may be expected to need
_SHARE_OF_MEMORY: Final = 0.8
#: seconds that starting Python and importing may take on a busy machine, beside what a row's limit allows
_LONGEST_START: Final = 300.0
_OPERATOR: Final = ("heat", "heat-dense")


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        rows: names of competitors.
        sizes: sides of the images in pixels.
        rounds: measurements of each call.
        processes: measurements of each whole process.
        limit: seconds for one cell's calls, and again for its processes.
        threads: torch's.
        device: where it computes.
    """

    rows: Sequence[str]
    sizes: Sequence[int]
    rounds: int
    processes: int
    limit: float
    threads: int
    device: torch.device


def measure_sizes(plan: Plan) -> Iterator[list[Cell]]:
    """Measure, and yield the cells of each size as it is finished, from the smallest on.

    What a cell costs is foretold from the size before, in proportion to the pixels; one that would take more than the
    limit or the free memory is skipped, and says so.

    Raises:
        CostError: if a competitor needs a package that is not installed.
    """
    for row in plan.rows:
        ROWS[row].prepare()
    torch.set_num_threads(plan.threads)
    before: dict[str, Cell] = {}
    for size in sorted(set(plan.sizes)):
        cells = _measure_size(plan, size, before)
        before |= {cell.row: cell for cell in cells}
        yield cells


def _measure_size(plan: Plan, size: int, before: dict[str, Cell]) -> list[Cell]:
    reasons = {row: _reason(before.get(row), size, plan) for row in plan.rows}
    rows = [row for row in plan.rows if reasons[row] is None]
    costs = _Processes(plan, size, rows)
    for row, failure in costs.failures.items():
        reasons[row] = failure
    alive = [row for row in rows if row not in costs.failures]
    calls = {row: ROWS[row].build(size, plan.device) for row in alive}
    differences = _differences(calls)
    timings = time_interleaved(
        {row: _finished(call, plan.device) for row, call in calls.items()},
        rounds=plan.rounds,
        limit=plan.limit,
        shortest=_SHORTEST,
    )
    cells = []
    for row in plan.rows:
        parameters, multiply_adds = _counts(row, size)
        cell = Cell(
            row=row,
            title=ROWS[row].title,
            size=size,
            parameters=parameters,
            multiply_adds=multiply_adds,
            call=timings.get(row),
            process=costs.timings.get(row),
            peak_bytes=costs.peaks.get(row),
            difference=differences.get(row),
            skipped=reasons[row],
        )
        logger.info("%s at %d: %s", row, size, cell.skipped or f"{cell.seconds_per_megapixel:.3g} s a megapixel")
        cells.append(cell)
    return cells


class _Processes:
    """Whole processes of the competitors at one size, in turns."""

    def __init__(self, plan: Plan, size: int, rows: Sequence[str]) -> None:
        self.peaks: dict[str, int] = {}
        self.failures: dict[str, str] = {}

        def run(row: str) -> None:
            if row in self.failures:
                return
            try:
                timeout = plan.limit + _LONGEST_START
                cost = run_process(row, size, threads=plan.threads, device=plan.device, timeout=timeout)
                self._keep(row, cost)
            except CostError as error:
                self.failures[row] = str(error)

        calls: dict[str, Callable[[], object]] = {row: _bound(run, row) for row in rows}
        timings = time_interleaved(calls, rounds=plan.processes, limit=plan.limit)
        self.timings: dict[str, Timing] = {row: timings[row] for row in rows if row not in self.failures}

    def _keep(self, row: str, cost: ProcessCost) -> None:
        if cost.peak_bytes is not None:
            self.peaks[row] = max(cost.peak_bytes, self.peaks.get(row, 0))


def _bound(run: Callable[[str], None], row: str) -> Callable[[], None]:
    return lambda: run(row)


def _finished(call: Call, device: torch.device) -> Callable[[], object]:
    """The call, and on CUDA the wait for its end."""
    if device.type != "cuda":
        return call

    def waited() -> None:
        call()
        torch.cuda.synchronize(device)

    return waited


def _reason(before: Cell | None, size: int, plan: Plan) -> str | None:
    """Why a cell is not worth starting, from the same competitor at the size before."""
    if before is None:
        return None
    if before.skipped is not None:
        return f"not tried, because it was not measured at {before.size}²"
    growth = size**2 / before.size**2
    assert before.call is not None  # what is not skipped is measured
    if before.call.median * growth > plan.limit:
        return f"more than {plan.limit:.0f} s a call expected"
    free = free_bytes(plan.device)
    if before.peak_bytes is not None and before.peak_bytes * growth > free * _SHARE_OF_MEMORY:
        return f"more than {before.peak_bytes * growth / 1e9:.0f} GB of memory expected, {free / 1e9:.0f} GB free"
    return None


def _differences(calls: dict[str, Call]) -> dict[str, float]:
    """Largest difference of the operator to the dense products, as a share of their largest value."""
    ours, dense = _OPERATOR
    if ours not in calls or dense not in calls:
        return {}
    expected = calls[dense]()
    difference = (calls[ours]() - expected).abs().max() / expected.abs().max()
    return {ours: float(difference)}


def _counts(row: str, size: int) -> tuple[int | None, int | None]:
    """Parameters and multiply-adds of a network; tiles and the lone operator have none of their own."""
    competitor = ROWS[row]
    if not isinstance(competitor, NetworkRow):
        return None, None
    network = competitor.make().eval()
    with torch.device("meta"):
        image, level = torch.empty(1, CHANNELS, size, size), torch.tensor([competitor.levels])
    return count_parameters(network), count_multiply_adds(network, image, level)
