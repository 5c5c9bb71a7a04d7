"""Figures of results: quality against level, work and time; and lines with their range.

Readable in print without colour: every method has a marker and a dash of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vheatir.evaluation.results import Result, ResultError
from vheatir.evaluation.tables import DEGRADED_ROWS
from vheatir.system.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Line", "plot_lines", "plot_results"]

_LEVEL_NAMES: Final = {"denoise": "noise σ (8-bit units)", "jpeg": "JPEG quality"}
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_DASHES: Final = ("-", "--", "-.", ":")
#: Okabe and Ito's colours, which colour-blind readers can tell apart, of falling darkness in print
_COLORS: Final = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: what a cost plot has on its axis
_COSTS: Final[Mapping[str, tuple[str, Callable[[Result], float | None]]]] = {
    "multiply_adds": ("multiply-adds a pixel", lambda result: result.multiply_adds_per_pixel),
    "seconds": ("seconds a megapixel", lambda result: result.seconds_per_megapixel),
}


@dataclass(frozen=True)
class _Style:
    """How a method is drawn, in all figures of one call."""

    marker: str
    dash: str
    color: str


@dataclass(frozen=True)
class Line:
    """PSNR in dB against anything, with the range that it is the mean of."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def plot_results(results: Sequence[Result], folder: Path, *, suffix: str = "png") -> list[Path]:
    """Write the figures of every set: ``<task>_<channels>_<set>_{level,multiply_adds,seconds}.<suffix>``.

    A figure against the level needs two levels or more; one against a cost has a panel a level, and leaves out methods
    whose cost is not known. The degraded image is left out of all: it is so far below that it would hide the rest.

    Args:
        results: of any tasks and sets.
        folder: an existing folder.
        suffix: "png", "pdf" or "svg".

    Returns:
        The files, in the order in which they were written.

    Raises:
        ResultError: if matplotlib is not installed; if a set has results of several protocols, or two of one method at
            one level.
        OSError: if a figure cannot be written.
    """
    _require_matplotlib()
    restored = [result for result in results if result.method != DEGRADED_ROWS[result.task] and _has_psnr(result)]
    styles = _styles(result.method for result in restored)
    written = []
    for (task, channels, name), group in _groups(restored).items():
        figures = {"level": _level_figure(group, styles)}
        figures |= {cost: _cost_figure(group, styles, *axis) for cost, axis in _COSTS.items()}
        for kind, figure in figures.items():
            if figure is not None:
                path = folder / f"{task}_{channels}_{name}_{kind}.{suffix}"
                with atomic_path(path) as temporary:
                    figure.savefig(temporary, format=suffix, dpi=200)
                written.append(path)
    return written


def plot_lines(
    path: Path, panels: Mapping[str, Mapping[str, Line]], *, title: str, axis: str, foot: Sequence[str]
) -> None:
    """Write one figure, in the format of the file's suffix: a panel for each name, in it a line for each method.

    Raises:
        ResultError: if matplotlib is not installed.
        OSError: if the figure cannot be written.
    """
    _require_matplotlib()
    styles = _styles(method for lines in panels.values() for method in lines)
    figure, axes = _blank_figure(len(panels), title, foot)
    for panel, (name, lines) in zip(axes, panels.items(), strict=True):
        for method, line in lines.items():
            style = styles[method]
            marks = _marker(style) | {"markersize": 4, "markevery": max(1, len(line.x) // 8)}
            panel.plot(line.x, line.y, label=method, linestyle=style.dash, **marks)
            panel.fill_between(line.x, line.low, line.high, color=style.color, alpha=0.12, linewidth=0)
        panel.set_xlabel(axis)
        panel.set_title(name, fontsize="medium")
    axes[-1].legend(fontsize="small", loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=200)


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ResultError("Plots need matplotlib: pip install 'vheatir[plots]'.") from error


def _groups(results: Sequence[Result]) -> dict[tuple[str, str, str], list[Result]]:
    """Results of each task, channels and set."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.task, result.channels, result.set), []).append(result)
    for (_, _, name), group in groups.items():
        if len({result.protocol for result in group}) > 1:
            raise ResultError(f"The results of {name} come from several protocols; plot their files apart.")
        keys = [(result.method, result.level) for result in group]
        for method, level in keys:
            if keys.count((method, level)) > 1:
                raise ResultError(f"{method} was measured twice on {name} at {level:g}; leave out one of the files.")
    return groups


def _styles(methods: Iterable[str]) -> dict[str, _Style]:
    looks = cycle(_MARKERS), cycle(_DASHES), cycle(_COLORS)  # of different lengths: combinations come back late
    return {method: _Style(*(next(look) for look in looks)) for method in dict.fromkeys(methods)}


def _level_figure(group: Sequence[Result], styles: Mapping[str, _Style]) -> Figure | None:
    """PSNR against σ or quality: a line a method."""
    levels = sorted({result.level for result in group})
    if len(levels) < 2:
        return None
    figure, (axes,) = _figure(1, group)
    for method in dict.fromkeys(result.method for result in group):
        points = sorted((result.level, result.means["psnr"]) for result in group if result.method == method)
        style = styles[method]
        axes.plot(*zip(*points, strict=True), label=method, linestyle=style.dash, **_marker(style))
    axes.set_xlabel(_LEVEL_NAMES[group[0].task])
    axes.set_xticks(levels, [f"{level:g}" for level in levels])
    axes.legend(fontsize="small")
    return figure


def _cost_figure(
    group: Sequence[Result],
    styles: Mapping[str, _Style],
    label: str,
    cost: Callable[[Result], float | None],
) -> Figure | None:
    """PSNR against a cost on a logarithmic axis: a panel a level, a marker a method."""
    known = [(result, value) for result in group if (value := cost(result))]
    levels = sorted({result.level for result, _ in known})
    if not levels:
        return None
    figure, panels = _figure(len(levels), group)
    for axes, level in zip(panels, levels, strict=True):
        for result, value in known:
            if result.level == level:
                point = [value], [result.means["psnr"]]
                axes.plot(*point, label=result.method, linestyle="none", **_marker(styles[result.method]))
        axes.set_xscale("log")
        axes.margins(0.25)
        axes.set_xlabel(label)
        axes.set_title(f"{_LEVEL_NAMES[group[0].task].partition(' (')[0]} {level:g}", fontsize="medium")
    methods = dict.fromkeys(result.method for result, _ in known)
    handles = {handle.get_label(): handle for axes in panels for handle in axes.get_lines()}
    entries = [handles[method] for method in methods]
    figure.legend(entries, list(methods), fontsize="small", loc="outside right upper")
    return figure


def _figure(panels: int, group: Sequence[Result]) -> tuple[Figure, list[Axes]]:
    """A figure whose title names set and images, and whose foot names protocol and machines."""
    first = group[0]
    color = "gray" if first.channels == "gray" else "colour"
    return _blank_figure(panels, f"{first.set}, {color}, {len(first.images)} images", _foot(group))


def _blank_figure(panels: int, title: str, foot: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Panels side by side, PSNR upwards."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(5.0, 1.5 + 3.2 * panels), 4.0), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    figure.suptitle(title, fontsize="large")
    figure.supxlabel("\n".join(foot), fontsize=6, color="0.25", wrap=True)
    axes[0].set_ylabel("PSNR (dB)")
    for panel in axes:
        panel.grid(visible=True, color="0.88", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure, axes


def _foot(group: Sequence[Result]) -> list[str]:
    machines = dict.fromkeys(
        f"{result.environment.machine}, {result.environment.threads} threads, torch {result.environment.torch}"
        for result in group
    )
    return [group[0].protocol, *machines]


def _marker(style: _Style) -> dict[str, Any]:
    return {
        "marker": style.marker,
        "color": style.color,
        "markersize": 7,
        "markerfacecolor": "white",
        "markeredgewidth": 1.5,
        "linewidth": 1.3,
    }


def _has_psnr(result: Result) -> bool:
    """Equal images have an infinite PSNR, which no axis holds."""
    return result.means.get("psnr", float("inf")) != float("inf")
