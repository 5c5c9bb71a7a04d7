"""A comparison as figures: PSNR against the time of training, a figure a task, a panel a validation set."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from vheatir.evaluation.environment import describe_environments
from vheatir.evaluation.plots import Line, plot_lines
from vheatir.research.race.results import Comparison, RunResult

__all__ = ["line_of", "plot_comparison"]


def plot_comparison(comparison: Comparison, folder: Path, *, suffix: str = "png") -> list[Path]:
    """Write ``<name>_<task>.<suffix>`` for every task.

    Args:
        comparison: with one finished run or more.
        folder: an existing folder.
        suffix: "png", "pdf" or "svg".

    Returns:
        The files.

    Raises:
        ResultError: if matplotlib is not installed.
        OSError: if a figure cannot be written.
    """
    written = []
    for task in dict.fromkeys(task for task, _ in comparison.validations):
        panels = {
            validation: {entry: line_of(list(comparison.of(entry, task).values()), validation) for entry in entries}
            for name, validation in comparison.validations
            if name == task and (entries := comparison.entries(task))
        }
        runs = [run for run in comparison.runs if run.task == task]
        path = folder / f"{comparison.name}_{task}.{suffix}"
        plot_lines(
            path,
            panels,
            title=f"{comparison.name}, {task}: {_what_lines_are(comparison, task)}",
            axis="minutes of training",
            foot=describe_environments(run.curve.environment for run in runs),
        )
        written.append(path)
    return written


def _what_lines_are(comparison: Comparison, task: str) -> str:
    counts = [len(comparison.of(entry, task)) for entry in comparison.entries(task)]
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "one seed"
    return f"mean of {most if fewest == most else f'{fewest} to {most}'} seeds, and range"


def line_of(runs: Sequence[RunResult], validation: str) -> Line:
    """Validation by validation of the run that has the fewest, beside those of the others at nearly the same time."""
    fewest = min((run.curve.points for run in runs), key=len)
    rows = [[run.curve.at(point.seconds) for run in runs] for point in fewest]
    scores = [[point.psnr[validation] for point in row] for row in rows]
    return Line(
        x=[statistics.fmean(point.seconds for point in row) / 60 for row in rows],
        y=[statistics.fmean(values) for values in scores],
        low=[min(values) for values in scores],
        high=[max(values) for values in scores],
    )
