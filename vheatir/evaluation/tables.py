"""Results as Markdown: one table a set, its protocol below it, and how certain the differences are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vheatir.evaluation.metrics import METRICS, MetricName
from vheatir.evaluation.published import PublishedFigure, published_figures
from vheatir.evaluation.results import Result
from vheatir.evaluation.statistics import bootstrap_difference

__all__ = ["DEGRADED_ROWS", "agreement_table", "markdown"]

#: headings of the degraded image itself, by task
DEGRADED_ROWS: Final = {"denoise": "noisy", "jpeg": "JPEG"}

_UNKNOWN: Final = "–"


@dataclass(frozen=True)
class _Table:
    """Results of one set by one protocol.

    Attributes:
        results: in the order of the rows.
    """

    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        return self.results[0]

    @property
    def levels(self) -> list[float]:
        return sorted({result.level for result in self.results})

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(result.method for result in self.results))

    @property
    def metrics(self) -> list[MetricName]:
        return [name for name in METRICS if any(name in scores for r in self.results for scores in r.images.values())]

    def of(self, method: str) -> list[Result]:
        return [result for result in self.results if result.method == method]

    def at(self, method: str, level: float) -> Result | None:
        return next((result for result in self.of(method) if result.level == level), None)


def markdown(results: Sequence[Result], *, published: bool = False, heading: str = "###") -> str:
    """Lay out results.

    Args:
        results: of any tasks and sets; one table for each set, channels and protocol.
        published: add what papers print of the same sets and levels, in tables of their own, and the papers at the
            end.
        heading: mark of each set's heading.

    Raises:
        ValueError: if two results of the same method, set, level and protocol have different values. Where they have
            the same, as the degraded image has in every run, the first is shown.
    """
    tables = _grouped(results)
    parts = [_section(table, published, heading) for table in tables]
    if published and (papers := _papers(tables)):
        parts.append(papers)
    return "\n\n".join(parts) + "\n"


def agreement_table(results: Sequence[Result]) -> str:
    """Compare what was measured with what is published of methods of the same name; empty if there are none."""
    lines = []
    for figure in published_figures():
        for result in results:
            is_protocol = "NOT " not in result.protocol  # neither a departure nor another copy of the images
            if is_protocol and _is_of(figure, result) and figure.method == result.method:
                lines += _agreement_rows(figure, result)
    if not lines:
        return ""
    header = [
        "| method | set | level | metric | published | measured | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(header + lines) + "\n"


def _grouped(results: Sequence[Result]) -> list[_Table]:
    tables: dict[tuple[str, str, str, str], dict[tuple[str, float], Result]] = {}
    for result in results:
        table = tables.setdefault((result.task, result.channels, result.set, result.protocol), {})
        earlier = table.setdefault((result.method, result.level), result)
        if not _are_equal(earlier, result):
            where = f"{result.set} at {result.level:g}"
            raise ValueError(f"{result.method} was scored twice on {where}, with different values: keep one.")
    return [_Table(tuple(table.values())) for table in tables.values()]


def _are_equal(first: Result, second: Result) -> bool:
    """Whether all images have the same values, but for the rounding of another machine."""
    if first.images.keys() != second.images.keys():
        return False
    for image, scores in first.images.items():
        others = second.images[image]
        for name in scores.keys() & others.keys():
            value, other = scores[name], others[name]
            if value is not None and other is not None and not math.isclose(value, other, abs_tol=1e-6):
                return False
    return True


def _section(table: _Table, published: bool, heading: str) -> str:
    first = table.first
    color = "gray" if first.channels == "gray" else "colour"
    task = "denoising" if first.task == "denoise" else "JPEG artifact reduction"
    parts = [
        f"{heading} {first.set}, {color}, {task}",
        _scores(table),
        first.protocol,
        *_environments(table),
        _differences(table),
        _published(table) if published else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _environments(table: _Table) -> list[str]:
    """Where each method was measured; whose, if not all in one place."""
    methods: dict[str, list[str]] = {}
    for result in table.results:
        methods.setdefault(str(result.environment), []).append(result.method)
    if len(methods) == 1:
        return [f"Measured on {next(iter(methods))}."]
    return [f"Measured on {where} ({', '.join(dict.fromkeys(names))})." for where, names in methods.items()]


def _scores(table: _Table) -> str:
    metrics = table.metrics
    names = " / ".join(METRICS[name].title for name in metrics)
    costs = [column for column in _COST_COLUMNS if any(column.cell(table.of(name)) for name in table.methods)]
    rows = [
        [
            method,
            *(_cell(table.at(method, level), metrics) for level in table.levels),
            *(column.cell(table.of(method)) or _UNKNOWN for column in costs),
        ]
        for method in table.methods
    ]
    header = [names, *_level_headings(table), *(column.heading for column in costs)]
    return _markdown_table(header, rows)


def _cell(result: Result | None, metrics: Sequence[MetricName]) -> str:
    if result is None:
        return _UNKNOWN
    means = [result.means.get(name) for name in metrics]
    shown = zip(metrics, means, strict=True)
    return " / ".join(_UNKNOWN if mean is None else f"{mean:.{METRICS[name].decimals}f}" for name, mean in shown)


def _differences(table: _Table) -> str:
    """PSNR of the first method that restores, less that of each of the others."""
    first, *others = [name for name in table.methods if name != DEGRADED_ROWS[table.first.task]] or [""]
    rows = [[other, *(_interval(table.at(first, q), table.at(other, q)) for q in table.levels)] for other in others]
    rows = [row for row in rows if any(cell != _UNKNOWN for cell in row[1:])]
    if not rows:
        return ""
    text = f"PSNR of {first} less that of another method, dB, with the 95 % bootstrap interval over the images:"
    return text + "\n\n" + _markdown_table(["less", *_level_headings(table)], rows)


def _interval(first: Result | None, other: Result | None) -> str:
    if first is None or other is None or list(first.images) != list(other.images):
        return _UNKNOWN
    values, others = first.values("psnr"), other.values("psnr")
    if not values or not others or float("inf") in (*values, *others):
        return _UNKNOWN
    interval = bootstrap_difference(values, others)
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def _figures(table: _Table) -> list[PublishedFigure]:
    return [f for f in published_figures() if _is_of(f, table.first) and f.level in table.levels]


def _published(table: _Table) -> str:
    figures = _figures(table)
    if not figures:
        return ""
    metrics = [name for name in METRICS if name in table.metrics and any(name in figure.means for figure in figures)]
    rows = []
    for method in dict.fromkeys(figure.method for figure in figures):
        of_method = {figure.level: figure for figure in figures if figure.method == method}
        rows.append([f"*{method}*", *(_published_cell(of_method.get(level), metrics) for level in table.levels)])
    header = [" / ".join(METRICS[name].title for name in metrics), *_level_headings(table)]
    return "Published, from the papers, not measured here:\n\n" + _markdown_table(header, rows)


def _papers(tables: Iterable[_Table]) -> str:
    papers = {figure.method: figure.paper for table in tables for figure in _figures(table)}
    lines = [f"- {method}: {paper}." for method, paper in papers.items()]
    return "\n".join(["Papers of the published figures:", "", *lines]) if lines else ""


def _published_cell(figure: PublishedFigure | None, metrics: Iterable[MetricName]) -> str:
    return _UNKNOWN if figure is None else " / ".join(figure.means.get(name, _UNKNOWN) for name in metrics)


def _agreement_rows(figure: PublishedFigure, result: Result) -> list[str]:
    if figure.level != result.level:
        return []
    sign = "σ" if result.task == "denoise" else "quality"
    rows = []
    for name, printed in figure.means.items():
        if name not in result.means:
            continue
        decimals = METRICS[name].decimals
        measured = result.means[name]
        difference = round(measured - float(printed), decimals) + 0.0  # no -0.00
        rows.append(
            f"| {result.method} | {result.set}, {result.channels} | {sign} {result.level:g} | {METRICS[name].title} "
            f"| {printed} | {measured:.{decimals}f} | {difference:+.{decimals}f} |"
        )
    return rows


def _is_of(figure: PublishedFigure, result: Result) -> bool:
    return (figure.task, figure.channels, figure.set) == (result.task, result.channels, result.set)


def _level_headings(table: _Table) -> list[str]:
    sign = "σ" if table.first.task == "denoise" else "quality"
    return [f"{sign} {level:g}" for level in table.levels]


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class _CostColumn:
    """A column that is shown where any method has a value.

    Attributes:
        heading: with the unit.
        field: of :class:`Result`; the mean over the levels is shown.
        scale: factor before formatting.
        form: format of the number.
    """

    heading: str
    field: str
    scale: float
    form: str

    def cell(self, results: Sequence[Result]) -> str:
        values = [value for result in results if (value := getattr(result, self.field)) is not None]
        return f"{sum(values) / len(values) * self.scale:{self.form}}" if values else ""


_COST_COLUMNS: Final = (
    _CostColumn("parameters, M", "parameters", 1e-6, ".2f"),
    _CostColumn("multiply-adds a pixel, k", "multiply_adds_per_pixel", 1e-3, ",.1f"),
    _CostColumn("seconds a megapixel", "seconds_per_megapixel", 1.0, ".3g"),
    _CostColumn("GPU memory, GiB", "peak_memory_bytes", 2.0**-30, ".2f"),
)
