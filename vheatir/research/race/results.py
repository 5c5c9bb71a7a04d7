"""What a comparison found, as a file.

A comparison file is one JSON object: ``format`` ("vheatir-compare"), ``format_version`` (1), ``name``, ``minutes``
(length of a training, or null where the steps were given), ``clock`` (what these minutes are of, "wall" or
"processor" time), ``validate_every`` (seconds), ``missing`` (runs that were not finished) and ``runs``, each with
``entry``, ``task``, ``seed`` and its ``curve`` (as in a curve file).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vheatir.evaluation.record_file import RecordFormat
from vheatir.research.race.curve import CompareError, Curve

__all__ = ["COMPARISON_FILE", "Comparison", "RunResult", "Spread"]


@dataclass(frozen=True)
class RunResult:
    """One finished training."""

    entry: str
    task: str
    seed: int
    curve: Curve

    def psnr(self, validation: str, share: float) -> float:
        """PSNR in dB at the validation nearest to a share (0 to 1) of the training's time."""
        return self.curve.at(share * self.curve.points[-1].seconds).psnr[validation]


@dataclass(frozen=True)
class Spread:
    """A mean over seeds, and between what it lies."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more."""
        return cls(statistics.fmean(values), min(values), max(values))


@dataclass(frozen=True)
class Comparison:
    """Everything one comparison found; the module's text explains the fields."""

    name: str
    minutes: float | None
    validate_every: float
    runs: Sequence[RunResult]
    missing: Sequence[str]
    clock: str

    @property
    def validations(self) -> list[tuple[str, str]]:
        """Task and validation set, each once."""
        pairs = ((run.task, name) for run in self.runs for name in run.curve.points[-1].psnr)
        return list(dict.fromkeys(pairs))

    def of(self, entry: str, task: str) -> dict[int, RunResult]:
        """Runs of an entry on a task, by seed."""
        return {run.seed: run for run in self.runs if (run.entry, run.task) == (entry, task)}

    def entries(self, task: str) -> list[str]:
        """Entries with a finished run on a task."""
        return list(dict.fromkeys(run.entry for run in self.runs if run.task == task))


COMPARISON_FILE: Final = RecordFormat(Comparison, "vheatir-compare", 1, "comparison file", "run it again", CompareError)
