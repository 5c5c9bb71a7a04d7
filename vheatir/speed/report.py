"""Measured speed as a file, and as Markdown.

A speed file is one JSON object: ``format`` ("vheatir-speed"), ``format_version`` (1), ``environment`` (as in result
files), ``cells`` (one competitor at one size each, the fields of :class:`Cell`) and ``folder`` (the fields of
:class:`FolderRun`, or null). Seconds stand in the order of the rounds, so that ratios can be taken round by round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vheatir.evaluation.environment import Environment
from vheatir.evaluation.record_file import RecordFormat
from vheatir.speed.timing import Ratio, Timing, compare

__all__ = [
    "SPEED_FILE",
    "Cell",
    "FolderRun",
    "SpeedFileError",
    "SpeedReport",
    "markdown",
]

#: ours and what it is compared with, by the names of rows
RATIOS: Final = (
    ("heat", "heat-dense"),
    ("heat", "heat-matmul"),
    ("fast", "swinir-light"),
    ("restorer", "swinir-light"),
    ("light", "swinir-light"),
    ("fast", "swin-fast"),
    ("paper", "swinir"),
    ("onnx", "restorer"),
    ("onnx-photo", "restorer-photo"),
)
#: whose cost a megapixel should not depend on the size, and the sides from which that is asked
_FLAT_ROW: Final = "restorer"
_FLAT_FROM: Final = 512
_OPERATOR: Final = "heat"
_EMPTY: Final = "–"


class SpeedFileError(ValueError):
    """A speed file that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Cell:
    """One competitor at one size.

    Attributes:
        row: its name on the command line.
        title: what it is.
        size: side of the square image in pixels.
        parameters: trainable values of a network.
        multiply_adds: of one image; None where they were not counted.
        call: seconds of one call, in this process.
        process: seconds of a whole process: start, imports, building, one call.
        peak_bytes: largest memory of such a process above the interpreter's own.
        difference: of an operator, its largest difference to the dense products, as a share of the largest value.
        skipped: why there are no seconds.
    """

    row: str
    title: str
    size: int
    parameters: int | None = None
    multiply_adds: int | None = None
    call: Timing | None = None
    process: Timing | None = None
    peak_bytes: int | None = None
    difference: float | None = None
    skipped: str | None = None

    @property
    def megapixels(self) -> float:
        return self.size**2 / 1e6

    @property
    def seconds_per_megapixel(self) -> float | None:
        """Median seconds of a call, a megapixel."""
        return None if self.call is None else self.call.median / self.megapixels


@dataclass(frozen=True)
class FolderRun:
    """``vheatir restore`` on a folder of photos.

    Attributes:
        photos: their number.
        width: of each.
        height: of each.
        process: seconds of the whole process, by round.
        network: seconds of the network's calls within it, by round.
    """

    photos: int
    width: int
    height: int
    process: tuple[float, ...]
    network: tuple[float, ...]

    @property
    def overhead(self) -> Ratio:
        """Whole process divided by the sum of its network calls."""
        return compare(Timing(self.process), Timing(self.network))


@dataclass(frozen=True)
class SpeedReport:
    """Everything one run measured."""

    environment: Environment
    cells: Sequence[Cell] = field(default_factory=tuple)
    folder: FolderRun | None = None


SPEED_FILE: Final = RecordFormat(SpeedReport, "vheatir-speed", 1, "speed file", "measure again", SpeedFileError)


def markdown(report: SpeedReport) -> str:
    """Lay out a report: machine, seconds a megapixel, memory, whole processes, ratios with their spread."""
    cells = {(cell.row, cell.size): cell for cell in report.cells}
    parts = [f"Machine: {report.environment}.", *_tables(cells)]
    ratios = _ratio_table(cells)
    if ratios:
        parts.append(f"Times as much as ours; median of the rounds (smallest – largest):\n\n{ratios}")
    parts += _differences(cells) + _flatness(cells) + _overhead(report.folder) + _skipped(report.cells)
    return "\n\n".join(parts) + "\n"


def _tables(cells: Mapping[tuple[str, int], Cell]) -> list[str]:
    tables: list[tuple[str, Callable[[Cell], str]]] = [
        ("Seconds a megapixel of one call", lambda cell: _number(cell.seconds_per_megapixel) + _cold(cell)),
        ("Seconds of a whole process: start, imports, building, one call", lambda cell: _median(cell.process)),
        ("Peak memory of that process above the interpreter's own, MB", _megabytes),
        ("Thousand multiply-adds a pixel", _multiply_adds),
    ]
    return [f"{title}:\n\n{_table(cells, text)}" for title, text in tables]


def _table(cells: Mapping[tuple[str, int], Cell], text: Callable[[Cell], str]) -> str:
    sizes = _sizes(cells.values())
    lines = [_line(["", "parameters", *(f"{size}²" for size in sizes)]), "|---|---|" + "---|" * len(sizes)]
    for row in dict.fromkeys(name for name, _ in cells):
        found = [cells.get((row, size)) for size in sizes]
        first = next(cell for cell in found if cell is not None)
        parameters = _EMPTY if first.parameters is None else f"{first.parameters / 1e6:.2f} M"
        lines.append(_line([first.title, parameters, *(_EMPTY if cell is None else text(cell) for cell in found)]))
    return "\n".join(lines)


def _ratio_table(cells: Mapping[tuple[str, int], Cell]) -> str:
    sizes = _sizes(cells.values())
    lines = []
    kinds = (("one call", _call_ratio), ("whole process", _process_ratio), ("peak memory", _memory_ratio))
    for ours, other in RATIOS:
        for what, ratio in kinds:
            found = [ratio(cells.get((ours, size)), cells.get((other, size))) for size in sizes]
            if any(value is not None for value in found):
                lines.append(_line([f"`{other}` / `{ours}`, {what}", *(_ratio(value) for value in found)]))
    heading = [_line(["", *(f"{size}²" for size in sizes)]), "|---|" + "---|" * len(sizes)]
    return "\n".join(heading + lines) if lines else ""


def _call_ratio(ours: Cell | None, other: Cell | None) -> Ratio | None:
    if ours is None or other is None or ours.call is None or other.call is None:
        return None
    return compare(other.call, ours.call)


def _process_ratio(ours: Cell | None, other: Cell | None) -> Ratio | None:
    if ours is None or other is None or ours.process is None or other.process is None:
        return None
    if ours.row == _OPERATOR:  # no program: its process is little but the start of the interpreter
        return None
    return compare(other.process, ours.process)


def _memory_ratio(ours: Cell | None, other: Cell | None) -> Ratio | None:
    if ours is None or other is None or not ours.peak_bytes or not other.peak_bytes:
        return None
    value = other.peak_bytes / ours.peak_bytes
    return Ratio(value, value, value, 1)


def _differences(cells: Mapping[tuple[str, int], Cell]) -> list[str]:
    found = [cell for cell in cells.values() if cell.difference is not None]
    if not found:
        return []
    values = ", ".join(f"{cell.size}²: {cell.difference:.1e}" for cell in found)
    return [f"Largest difference of the operator to the dense products, as a share of the largest value: {values}."]


def _flatness(cells: Mapping[tuple[str, int], Cell]) -> list[str]:
    """By how much the cost a megapixel varies as the image grows."""
    costs = {
        cell.megapixels: cost
        for cell in cells.values()
        if cell.row == _FLAT_ROW and cell.size >= _FLAT_FROM and (cost := cell.seconds_per_megapixel) is not None
    }
    if len(costs) < 2:
        return []
    spread = max(costs.values()) / min(costs.values()) - 1
    text = (
        f"Cost a megapixel of `{_FLAT_ROW}` from {min(costs):.2f} to {max(costs):.2f} megapixels: "
        f"the dearest is {spread:.0%} above the cheapest."
    )
    return [text]


def _overhead(run: FolderRun | None) -> list[str]:
    if run is None:
        return []
    share, seconds = run.overhead, statistics.median(run.process)
    photos = f"{run.photos} photo{'s' if run.photos != 1 else ''} of {run.width} x {run.height}"
    text = f"`vheatir restore` on {photos}: {seconds:.1f} s, {_ratio(share)} times the sum of its network calls."
    return [text]


def _skipped(cells: Iterable[Cell]) -> list[str]:
    lines = [f"- `{cell.row}` at {cell.size}²: {cell.skipped}" for cell in cells if cell.skipped is not None]
    return ["Not measured:\n\n" + "\n".join(lines)] if lines else []


def _sizes(cells: Iterable[Cell]) -> list[int]:
    return sorted({cell.size for cell in cells})


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _number(value: float | None) -> str:
    if value is None:
        return _EMPTY
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _cold(cell: Cell) -> str:
    return " (first call)" if cell.call is not None and cell.call.cold else ""


def _median(timing: Timing | None) -> str:
    return _EMPTY if timing is None else _number(timing.median)


def _megabytes(cell: Cell) -> str:
    return _EMPTY if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:,.0f}"


def _multiply_adds(cell: Cell) -> str:
    return _EMPTY if cell.multiply_adds is None else f"{cell.multiply_adds / cell.size**2 / 1e3:,.1f}"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return _EMPTY
    median, low, high = (_number(value) for value in (ratio.median, ratio.low, ratio.high))
    return median if low == high == median else f"{median} ({low} – {high})"
