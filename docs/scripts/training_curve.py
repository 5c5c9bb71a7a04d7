"""Make docs/lab/training.png, decibels against hours, from the table "Weights by hours" of docs/lab/training.md.

``python docs/scripts/training_curve.py``
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_LAB: Final = Path(__file__).resolve().parents[1] / "lab"
_TASKS: Final = {
    "gray": "gray, σ 25",
    "colour": "colour, σ 25",
    "gray JPEG": "gray JPEG, quality 10",
    "colour JPEG": "colour JPEG, quality 10",
}

_GOES_ON: Final = "stage 2"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        task: a key of the panels.
        what: network and optimizer, or that the training before it went on.
        hours: of one core.
        psnr: on the validation images, in dB.
    """

    task: str
    what: str
    hours: float
    psnr: float


def read_rows(page: str) -> list[Row]:
    """Return the rows of the table; one that begins with "the same" has the task of the one before."""
    table = page.split("## Weights by hours")[1].split("\n\n")[2]
    rows: list[Row] = []
    for line in table.splitlines()[2:]:
        name, parameters, optimizer, minutes, _, psnr = (cell.strip() for cell in line.strip("|").split("|"))
        head = name.split(", ")[0]
        task = rows[-1].task if head == "the same" else head
        hours = sum(map(float, minutes.split("+"))) / 60
        value = re.match(r"\**(\d+\.\d+)", psnr)
        assert value is not None, line
        what = _GOES_ON if head == "the same" else f"{parameters}\n{optimizer}"
        rows.append(Row(task, what, hours, float(value[1])))
    return rows


def main() -> None:
    """Draw a panel for each task."""
    rows = read_rows((_LAB / "training.md").read_text("utf-8"))
    figure, panels = plt.subplots(1, len(_TASKS), figsize=(12, 3.6), layout="constrained")
    for panel, (task, title) in zip(panels, _TASKS.items(), strict=True):
        chosen = [row for row in rows if row.task == task]
        panel.plot([row.hours for row in chosen], [row.psnr for row in chosen], "o")
        for first, then in pairwise(chosen):
            if then.what == _GOES_ON:
                panel.plot([first.hours, then.hours], [first.psnr, then.psnr], "C0", lw=1)
        for row in chosen:
            panel.annotate(
                row.what, (row.hours, row.psnr), xytext=(0, 5), textcoords="offset points", ha="center", size=7
            )
        panel.set_title(title, size=9)
        panel.set_xlabel("hours of one core")
        panel.set_xlim(0, 1.15 * max(row.hours for row in rows))
        panel.margins(y=0.25)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("validation PSNR, dB")
    figure.savefig(_LAB / "training.png", dpi=80)


if __name__ == "__main__":
    main()
