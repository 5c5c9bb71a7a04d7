"""Figures that papers print, for rows of their own beside what was measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from vheatir.evaluation.metrics import METRICS, MetricName
from vheatir.evaluation.results import Channels, Task

__all__ = ["PublishedFigure", "published_figures"]

_FILE: Final = Path(__file__).with_name("data") / "published.json"


@dataclass(frozen=True)
class PublishedFigure:
    """What a paper prints of one method on one set at one level.

    Attributes:
        method: name of the method.
        paper: authors, title, venue and year.
        task: denoise or jpeg.
        channels: gray or color.
        set: name of the set.
        level: σ in 8-bit units, or JPEG quality.
        means: as printed, with as many digits.
    """

    method: str
    paper: str
    task: Task
    channels: Channels
    set: str
    level: float
    means: Mapping[MetricName, str]


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """Return all figures, in the order of the data file."""
    content = json.loads(_FILE.read_text("utf-8"))
    return tuple(
        PublishedFigure(
            method=row["method"],
            paper=content["papers"][row["method"]],
            task=row["task"],
            channels=row["channels"],
            set=row["set"],
            level=level,
            means={name: row[name][index] for name in METRICS if name in row},
        )
        for row in content["figures"]
        for index, level in enumerate(row["levels"])
    )
