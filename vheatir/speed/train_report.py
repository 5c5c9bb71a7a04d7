"""Measured training steps: their file, and the table made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vheatir.evaluation.environment import Environment
from vheatir.evaluation.record_file import RecordFormat
from vheatir.speed.report import SpeedFileError
from vheatir.speed.timing import Timing, compare

__all__ = ["TRAIN_SPEED_FILE", "TrainSpeedReport", "markdown"]


@dataclass(frozen=True)
class TrainSpeedReport:
    """Seconds of a training step.

    Attributes:
        environment: where it was measured.
        batch: crops in a step.
        crop: side of a crop in pixels.
        precision: "fp32" or "bf16", of the network.
        optimizer: its name.
        compile: whether the networks were compiled.
        timings: by network, in order; the others are compared with the first.
    """

    environment: Environment
    batch: int
    crop: int
    precision: str
    optimizer: str
    compile: bool
    timings: Mapping[str, Timing]

    @property
    def megapixels(self) -> float:
        """Of the crops of one step."""
        return self.batch * self.crop**2 / 1e6


TRAIN_SPEED_FILE: Final = RecordFormat(
    TrainSpeedReport, "vheatir-train-speed", 2, "file of training speed", "measure again", SpeedFileError
)


def markdown(report: TrainSpeedReport) -> str:
    """Lay out the measurements; the last column is how many times as long as the first row each one takes."""
    compiled = ", compiled" if report.compile else ""
    first = next(iter(report.timings))
    what = f"Training steps on {report.batch} RGB crops of {report.crop}², {report.precision}{compiled}"
    lines = [
        f"Machine: {report.environment}.",
        "",
        f"{what}, {report.optimizer}; median of the rounds (smallest – largest).",
        "",
        f"| | megapixels a second | seconds a step | time / `{first}` |",
        "|---|---|---|---|",
    ]
    for name, timing in report.timings.items():
        ratio = compare(timing, report.timings[first])
        seconds = f"{timing.median:.3g} ({min(timing.measured):.3g} – {max(timing.measured):.3g})"
        times = f"{ratio.median:.3g} ({ratio.low:.3g} – {ratio.high:.3g})"
        lines.append(f"| `{name}` | {report.megapixels / timing.median:.3g} | {seconds} | {times} |")
    return "\n".join(lines) + "\n"
