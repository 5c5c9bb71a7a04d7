"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from vheatir.evaluation.environment import describe_environments
from vheatir.research.race.results import COMPARISON_FILE, Comparison, RunResult, Spread

__all__ = ["markdown", "race_table"]

#: of the training's time, by what the table calls them
_SHARES: Final = {"after 1/3": 1 / 3, "after 2/3": 2 / 3, "at the end": 1.0}


def markdown(comparison: Comparison) -> str:
    """Lay out a comparison: conditions, then a table for each task and validation set."""
    if not comparison.runs:
        return "No training is finished yet.\n"
    parts = [_conditions(comparison)]
    parts += [_section(comparison, task, name) for task, name in comparison.validations]
    if comparison.missing:
        parts.append(f"Not finished, and not in the tables: {', '.join(comparison.missing)}.")
    return "\n\n".join(parts) + "\n"


def race_table(file: Path) -> str:
    """A comparison's file as Markdown, for pages.

    Raises:
        CompareError: if it cannot be used.
    """
    return markdown(COMPARISON_FILE.read(file))


def _conditions(comparison: Comparison) -> str:
    environments = describe_environments(run.curve.environment for run in comparison.runs)
    length = "the same number of steps"
    if comparison.minutes is not None:
        kind = "processor time" if comparison.clock == "processor" else "training"
        length = f"{comparison.minutes:g} minutes of {kind}"
    return (
        f"Machine: {'; '.join(environments)}.\n\n"
        f"Every training had {length} (validation and saving not counted) and the same data in the same order. "
        "PSNR in dB on the validation split, by the averaged weights: mean over the seeds (smallest – largest), at the "
        "validation nearest to that share of the time."
    )


def _section(comparison: Comparison, task: str, validation: str) -> str:
    entries = comparison.entries(task)
    heading = ["", "parameters", "seeds", "steps", "seconds", *_SHARES, f"end less `{entries[0]}`"]
    lines = [_line(heading), "|---" * len(heading) + "|"]
    for entry in entries:
        runs = comparison.of(entry, task)
        cells = [f"`{entry}`", f"{next(iter(runs.values())).curve.parameters / 1e6:.3f} M"]
        cells += [", ".join(map(str, sorted(runs)))]
        cells += [_mean(runs.values(), lambda run: run.curve.points[-1].iteration)]
        cells += [_mean(runs.values(), lambda run: run.curve.points[-1].seconds)]
        cells += [_psnr([run.psnr(validation, share) for run in runs.values()]) for share in _SHARES.values()]
        cells.append("" if entry == entries[0] else _difference(comparison, task, validation, entry, entries[0]))
        lines.append(_line(cells))
    return f"### {task}, validated at {validation}\n\n" + "\n".join(lines)


def _difference(comparison: Comparison, task: str, validation: str, entry: str, other: str) -> str:
    """At the end, seed by seed, of the seeds that both have."""
    ours, theirs = comparison.of(entry, task), comparison.of(other, task)
    values = [ours[seed].psnr(validation, 1) - theirs[seed].psnr(validation, 1) for seed in ours if seed in theirs]
    return _psnr(values, sign="+") if values else "–"


def _psnr(values: Sequence[float], sign: str = "") -> str:
    spread = Spread.of(values)
    mean, low, high = (f"{value:{sign}.2f}" for value in (spread.mean, spread.low, spread.high))
    return mean if len(values) == 1 else f"{mean} ({low} – {high})"


def _mean(runs: Iterable[RunResult], value: Callable[[RunResult], float]) -> str:
    return f"{Spread.of([value(run) for run in runs]).mean:,.0f}"


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
