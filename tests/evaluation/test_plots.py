"""Plots: what is drawn, by the numbers in the lines, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from matplotlib.figure import Figure

from vheatir.cli.main import main
from vheatir.evaluation.environment import Environment
from vheatir.evaluation.plots import plot_results
from vheatir.evaluation.results import Result, ResultError, write_results

ENVIRONMENT = Environment("A processor", "cpu", 2, "2.13.0", "3.12.3", "0.1.0", None, "2026-01-31")
PSNR = {("ours", 15): (32.0, 33.0), ("ours", 50): (27.0, 27.5), ("peer", 15): (31.0, 32.0), ("peer", 50): (26.0, 27.0)}


def result(method: str, level: float, values: tuple[float, ...], **changes: Any) -> Result:
    arguments: dict[str, Any] = {
        "task": "denoise",
        "channels": "gray",
        "set": "Set12",
        "protocol": "noise added in float",
        "environment": ENVIRONMENT,
        "images": {f"{index}.png": {"psnr": value} for index, value in enumerate(values)},
    }
    return Result(method=method, level=level, **(arguments | changes))


def results() -> list[Result]:
    costs = {"ours": (30_000.0, 2.0), "peer": (None, 8.0)}
    restored = [
        result(method, level, values, multiply_adds_per_pixel=costs[method][0], seconds_per_megapixel=costs[method][1])
        for (method, level), values in PSNR.items()
    ]
    return [result("noisy", 15, (24.6,), seconds_per_megapixel=0.001), *restored]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by the name of their file's kind, in the order of writing, in place of the files."""
    saved: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path, **_options: object) -> None:
        path.write_bytes(b"figure")
        saved[("level", "multiply_adds", "seconds")[len(saved)]] = figure

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_psnr_against_the_level(figures: dict[str, Figure], tmp_path: Path) -> None:
    plot_results(results(), tmp_path)
    (axes,) = figures["level"].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {"ours", "peer"}  # and not the noisy image
    assert np.array_equal(lines["ours"].get_xdata(), [15, 50])
    assert np.array_equal(lines["ours"].get_ydata(), [32.5, 27.25])
    assert axes.get_xlabel() == "noise σ (8-bit units)"
    assert axes.get_ylabel() == "PSNR (dB)"
    assert lines["ours"].get_marker() != lines["peer"].get_marker()
    assert lines["ours"].get_linestyle() != lines["peer"].get_linestyle()


def test_psnr_against_costs_has_a_panel_a_level(figures: dict[str, Figure], tmp_path: Path) -> None:
    plot_results(results(), tmp_path)
    panels = figures["seconds"].axes
    assert [panel.get_title() for panel in panels] == ["noise σ 15", "noise σ 50"]
    points = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in panels[1].get_lines()}
    assert points == {"ours": [[2.0, 27.25]], "peer": [[8.0, 26.5]]}
    assert panels[0].get_xscale() == "log"
    assert panels[0].get_xlabel() == "seconds a megapixel"
    counted = [line.get_label() for line in figures["multiply_adds"].axes[0].get_lines()]
    assert counted == ["ours"]  # the peer's multiply-adds are not known


def test_a_method_looks_the_same_in_every_figure(figures: dict[str, Figure], tmp_path: Path) -> None:
    plot_results(results(), tmp_path)
    markers = {
        kind: {line.get_label(): line.get_marker() for line in figure.axes[0].get_lines()}
        for kind, figure in figures.items()
    }
    assert markers["level"] == markers["seconds"]
    assert markers["multiply_adds"]["ours"] == markers["level"]["ours"]


def test_protocol_and_machine_stand_at_the_foot(figures: dict[str, Figure], tmp_path: Path) -> None:
    plot_results(results(), tmp_path)
    foot = figures["level"].get_supxlabel()
    assert "noise added in float" in foot
    assert "A processor, 2 threads, torch 2.13.0" in foot
    assert figures["level"].get_suptitle() == "Set12, gray, 2 images"


def test_one_level_and_unknown_costs_make_no_figure(tmp_path: Path) -> None:
    assert plot_results([result("ours", 15, (32.0,))], tmp_path) == []


def test_infinite_psnr_is_left_out(tmp_path: Path) -> None:
    equal = [result("ours", level, (float("inf"),), seconds_per_megapixel=1.0) for level in (15, 50)]
    assert plot_results(equal, tmp_path) == []


def test_protocols_do_not_mix(tmp_path: Path) -> None:
    other = [result("peer", 15, (31.0,)), result("ours", 15, (32.0,), protocol="noise clipped")]
    with pytest.raises(ResultError, match="results of Set12 come from several protocols"):
        plot_results(other, tmp_path)


def test_a_method_measured_twice_is_refused(tmp_path: Path) -> None:
    twice = [result("ours", 15, (32.0,)), result("ours", 15, (33.0,))]
    with pytest.raises(ResultError, match="ours was measured twice on Set12 at 15"):
        plot_results(twice, tmp_path)


def test_the_command_writes_whole_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path / "a.json", results())
    folder = tmp_path / "plots"
    assert main(["plot", str(tmp_path / "a.json"), "--output", str(folder), "--format", "svg"]) == 0
    names = [f"denoise_gray_Set12_{kind}.svg" for kind in ("level", "multiply_adds", "seconds")]
    assert capsys.readouterr().out.split() == [str(folder / name) for name in names]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all("</svg>" in path.read_text() for path in folder.iterdir())


def test_the_command_names_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(tmp_path / "absent.json"), "--output", str(tmp_path)]) == 2
    assert "absent.json cannot be read as a result file" in capsys.readouterr().err


def test_a_missing_matplotlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ResultError, match=r"pip install 'vheatir\[plots\]'"):
        plot_results(results(), tmp_path)
