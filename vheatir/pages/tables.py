"""The tables of pages that are made of result and speed files, for :mod:`vheatir.pages.marks`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vheatir.evaluation.record_file import format_name
from vheatir.evaluation.results import Result, ResultError, read_results
from vheatir.evaluation.tables import agreement_table, markdown
from vheatir.speed.report import SPEED_FILE, Cell, SpeedReport
from vheatir.speed.report import markdown as speed_markdown
from vheatir.speed.timing import compare
from vheatir.speed.train_report import TRAIN_SPEED_FILE
from vheatir.speed.train_report import markdown as train_speed_markdown

__all__ = ["agreement", "performance", "photo", "scores", "speed", "train_speed"]

#: aims of docs/performance.md: side in pixels and factor; network, side, factor and what is compared
_OPERATOR_AIMS: Final = ((128, 1.5), (256, 1.8), (512, 3.0), (1024, 5.0))
_NETWORK_AIMS: Final = (
    ("fast", 256, 20.0, "call"),
    ("fast", 768, 30.0, "call"),
    ("fast", 768, 5.0, "memory"),
    ("light", 256, 3.0, "call"),
    ("light", 768, 4.0, "call"),
    ("light", 256, 5.0, "memory"),
    ("light", 768, 5.0, "memory"),
)
_FIXED_SIGMAS: Final = (4, 8, 12, 16, 24)


def scores(folder: Path) -> str:
    """Every set and method of the result files in a folder, with the published figures.

    Raises:
        ValueError: if there are no files, one cannot be used, or two have a result of the same method, set, level and
            protocol with other values.
    """
    return markdown(_results(folder), published=True)


def agreement(folder: Path) -> str:
    """What was measured of published methods, less what their papers print.

    Raises:
        ValueError: as :func:`scores`.
    """
    return agreement_table(_results(folder))


def speed(folder: Path) -> str:
    """Every speed file in a folder, in the order of their names.

    Raises:
        ValueError: if there are no files, or one cannot be used.
    """
    return "\n".join(speed_markdown(SPEED_FILE.read(path)) for path in _files(folder, SPEED_FILE.name))


def train_speed(folder: Path) -> str:
    """Every file of training speed in a folder, in the order of their names.

    Raises:
        ValueError: if there are no files, or one cannot be used.
    """
    return "\n".join(
        train_speed_markdown(TRAIN_SPEED_FILE.read(path)) for path in _files(folder, TRAIN_SPEED_FILE.name)
    )


def _results(folder: Path) -> list[Result]:
    speeds = {*_files(folder, SPEED_FILE.name), *_files(folder, TRAIN_SPEED_FILE.name)}
    others = [path for path in sorted(folder.glob("*.json")) if path not in speeds]  # reading says what one is
    return [result for path in others for result in read_results(path)]


def _files(folder: Path, name: str) -> list[Path]:
    """The files of one format."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ResultError(f"{folder} holds no result files: score with --output {folder} first.")
    return [path for path in paths if format_name(path) == name]


def performance(folder: Path) -> str:
    """Every aim of speed and memory, and what the speed files of a folder say.

    Raises:
        ValueError: if a file is missing or cannot be used.
    """
    names = ("speed_operator", "speed", "speed_restorer", "speed_folder")
    operator, networks, restorer, photos = (SPEED_FILE.read(folder / f"{name}.json") for name in names)
    lines = ["| | aim | measured |", "|---|---|---|"]
    for size, aim in _OPERATOR_AIMS:
        convolved, multiplied = (_ratio(operator, "heat", row, size) for row in ("heat-dense", "heat-matmul"))
        measured = f"{multiplied}; as convolutions {convolved}"
        lines.append(f"| heat operator against the dense products, {size}² | {aim:g}x faster | {measured} |")
    for row, size, aim, kind in _NETWORK_AIMS:
        what, text = (_memory, "a {}th of the memory") if kind == "memory" else (_ratio, "{}x faster")
        measured = what(networks, row, "swinir-light", size)
        lines.append(f"| `{row}` against SwinIR lightweight, {size}² | {text.format(f'{aim:g}')} | {measured} |")
    lines.append(f"| cost a megapixel from 0.26 to 16.8 megapixels, defaults | within 25 % | {_spread(restorer)} |")
    if photos.folder is not None:
        row = f"`vheatir restore` on {photos.folder.photos} photos of 2 megapixels over the sum of its network calls"
        lines.append(f"| {row} | under 15 % | {photos.folder.overhead.median - 1:.0%} |")
    return "\n".join(lines)


def _cell(report: SpeedReport, row: str, size: int) -> Cell:
    return next(cell for cell in report.cells if (cell.row, cell.size) == (row, size))


def _ratio(report: SpeedReport, ours: str, other: str, size: int) -> str:
    first, second = _cell(report, ours, size).call, _cell(report, other, size).call
    if first is None or second is None:
        return "not measured"
    ratio = compare(second, first)
    return f"{ratio.median:.2g}x ({ratio.low:.2g} – {ratio.high:.2g})"


def _memory(report: SpeedReport, ours: str, other: str, size: int) -> str:
    first, second = _cell(report, ours, size).peak_bytes, _cell(report, other, size).peak_bytes
    if not first or not second:
        return "not measured"
    return f"1/{second / first:.2g}: {first / 1e6:.0f} of {second / 1e6:.0f} MB"


def _spread(report: SpeedReport) -> str:
    costs = [cost for cell in report.cells if (cost := cell.seconds_per_megapixel) is not None]
    return f"within {max(costs) / min(costs) - 1:.0%}: {min(costs):.2f} to {max(costs):.2f} s"


def photo(file: Path) -> str:
    """Scores on photographs by command and set, of the file that docs/scripts/photo_evidence.py writes.

    Raises:
        ResultError: if the file cannot be read.
    """
    try:
        found: Mapping[str, Mapping[str, Mapping[str, float]]] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{file} cannot be read ({error}); run docs/scripts/photo_evidence.py again.") from error
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for label in dict.fromkeys(label for methods in found.values() for label in methods):
        lines.append(f"| {label} | " + " | ".join(_mean(methods.get(label)) for methods in found.values()) + " |")
    best = [_best_a_photo(methods) for methods in found.values()]
    lines.append(f"| best of {len(_FIXED_SIGMAS)} fixed σ for each photo | " + " | ".join(best) + " |")
    clean = found["clean"].get("--task photo", {})
    return "\n".join(lines) + (f"\n\nLowest of the clean photographs: {min(clean.values()):.2f} dB." if clean else "")


def _mean(values: Mapping[str, float] | None) -> str:
    return f"{statistics.fmean(values.values()):.2f}" if values else ""


def _best_a_photo(methods: Mapping[str, Mapping[str, float]]) -> str:
    fixed = [methods.get(f"--sigma {sigma}") for sigma in _FIXED_SIGMAS]
    if not all(fixed):
        return ""
    return _mean({name: max(column[name] for column in fixed if column) for name in fixed[0] or {}})
