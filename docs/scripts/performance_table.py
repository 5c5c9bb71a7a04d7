"""The table of docs/performance.md, from the speed files: ``python docs/scripts/performance_table.py`` prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vheatir.evaluation.cost.report import Cell, SpeedReport, read_speed
from vheatir.evaluation.cost.timing import compare

_RESULTS: Final = Path(__file__).resolve().parents[1] / "results"

_OPERATOR: Final = ((128, 1.5), (256, 1.8), (512, 3.0), (1024, 5.0))
_NETWORKS: Final = (
    ("fast", 256, 20.0, "call"),
    ("fast", 768, 30.0, "call"),
    ("fast", 768, 5.0, "memory"),
    ("light", 256, 3.0, "call"),
    ("light", 768, 4.0, "call"),
    ("light", 256, 5.0, "memory"),
    ("light", 768, 5.0, "memory"),
)


def table() -> str:
    """Markdown: every aim, and what was measured."""
    lines = ["| | aim | measured |", "|---|---|---|"]
    names = ("speed_operator", "speed", "speed_restorer", "speed_folder")
    operator, networks, restorer, photos_run = (read_speed(_RESULTS / f"{name}.json") for name in names)
    for size, aim in _OPERATOR:
        convolved, multiplied = (_ratio(operator, "heat", row, size) for row in ("heat-dense", "heat-matmul"))
        measured = f"{multiplied}; as convolutions {convolved}"
        lines.append(f"| heat operator against the dense products, {size}² | {aim:g}x faster | {measured} |")
    for row, size, aim, kind in _NETWORKS:
        what, text = (_memory, "a {}th of the memory") if kind == "memory" else (_ratio, "{}x faster")
        measured = what(networks, row, "swinir-light", size)
        lines.append(f"| `{row}` against SwinIR lightweight, {size}² | {text.format(f'{aim:g}')} | {measured} |")
    lines.append(f"| cost a megapixel from 0.26 to 16.8 megapixels, defaults | within 25 % | {_spread(restorer)} |")
    assert photos_run.folder is not None
    overhead = photos_run.folder.overhead
    photos = f"`inference.py` on {photos_run.folder.photos} photos of 2 megapixels over the sum of its network calls"
    lines.append(f"| {photos} | under 15 % | {overhead.median - 1:.0%} |")
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


if __name__ == "__main__":
    print(table())
