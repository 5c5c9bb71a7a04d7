"""Result files, tables, intervals and published figures."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from vheatir.evaluation.environment import Environment
from vheatir.evaluation.published import published_figures
from vheatir.evaluation.results import Result, ResultError, read_results, write_csv, write_results
from vheatir.evaluation.sets import known_sets
from vheatir.evaluation.statistics import bootstrap_difference
from vheatir.evaluation.tables import agreement_table, markdown

HERE = Environment("a machine", "cpu", 1, "2.13.0", "3.12.3", "0.1.0", None, "2026-01-31")
LINE = "Set12: the known 12 images. SwinIR's protocol; and so on."


def result(method: str, values: Sequence[float], level: float = 25, **changes: object) -> Result:
    base = Result(
        task="denoise",
        channels="gray",
        set="Set12",
        level=level,
        protocol=LINE,
        method=method,
        images={f"{index:02d}.png": {"psnr": value, "ssim": value / 100} for index, value in enumerate(values)},
        environment=HERE,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # fields of Result


OURS = result("ours", [30, 31.5, 29.25], parameters=262_144, multiply_adds_per_pixel=83_300.0)
PEER = result("peer", [29, 31, 29.5], seconds_per_megapixel=2.5)
NOISY = result("noisy", [20, 20.5, 21])


# Files


def test_files_hold_everything(tmp_path: Path) -> None:
    infinite = result("equal", [math.inf, 40], peak_memory_bytes=2**31)
    empty = replace(OURS, method="no lpips", images={"a.png": {"psnr": 30.0, "lpips": None}})
    written = [OURS, PEER, infinite, empty]
    write_results(tmp_path / "all.json", written)
    assert read_results(tmp_path / "all.json") == written
    assert empty.means == {"psnr": 30.0}
    assert infinite.means["psnr"] == math.inf
    content = json.loads((tmp_path / "all.json").read_text("utf-8"), parse_constant=lambda name: pytest.fail(name))
    assert content["results"][2]["images"]["00.png"]["psnr"] == "inf"
    assert content["results"][0]["means"] == {"psnr": 30.25, "ssim": pytest.approx(0.3025)}
    assert [path.name for path in tmp_path.iterdir()] == ["all.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format="else"), "not a result file"),
        (lambda content: content.update(format_version=2), "another version than 1"),
        (lambda content: content["results"][0].pop("set"), "is damaged"),
        (lambda content: content["results"][0].update(colour="red"), "unknown fields colour"),
        (lambda content: content["results"][0]["means"].update(psnr=33.0), "means of ours on Set12 are not those"),
        (lambda content: content["results"][0]["images"]["00.png"].update(psnr=33.0), "means of ours on Set12"),
    ],
)
def test_files_that_were_tampered_with(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "all.json"
    write_results(path, [OURS])
    content = json.loads(path.read_text("utf-8"))
    change(content)  # type: ignore[operator]  # one of the functions above
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ResultError, match=rf"all\.json.*{message}"):
        read_results(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"absent\.json cannot be read as a result file"):
        read_results(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text("{", "utf-8")
    with pytest.raises(ResultError, match=r"broken\.json cannot be read as a result file"):
        read_results(tmp_path / "broken.json")


def test_csv_has_a_line_for_every_image(tmp_path: Path) -> None:
    write_csv(tmp_path / "all.csv", [OURS, PEER])
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert [(row["method"], row["image"], row["level"]) for row in rows[2:4]] == [
        ("ours", "02.png", "25"),
        ("peer", "00.png", "25"),
    ]
    assert (rows[1]["psnr"], rows[1]["lpips"], rows[1]["protocol"]) == ("31.5", "", LINE)


# Intervals


def test_intervals_are_scipys() -> None:
    """Skewed differences, so that other intervals than the percentiles lie elsewhere."""
    rng = np.random.default_rng(1)
    second = rng.normal(30, 3, 24)
    first = second + rng.exponential(0.5, 24)
    ours = bootstrap_difference(first, second, resamples=40_000)
    theirs = scipy.stats.bootstrap(
        (first - second,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert ours.mean == pytest.approx((first - second).mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_intervals_by_hand() -> None:
    """Of differences 0 and 1 a resampled mean is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4."""
    wide = bootstrap_difference([1, 5], [1, 4])
    assert (wide.mean, wide.low, wide.high) == (0.5, 0.0, 1.0)
    narrow = bootstrap_difference([1, 5], [1, 4], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)
    assert not wide.excludes_zero
    assert narrow.excludes_zero


def test_pairs_stay_together() -> None:
    """Images differ by 10 dB and methods by 0.1: paired, the difference is certain."""
    first = np.array([20.0, 30.0, 40.0, 25.0])
    interval = bootstrap_difference(first + 0.1, first)
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))
    assert bootstrap_difference(first, first[::-1]) == bootstrap_difference(first, first[::-1])  # the same every time


def test_differences_that_have_no_interval() -> None:
    with pytest.raises(ValueError, match="as many values of both, not 2 and 1"):
        bootstrap_difference([1, 2], [1])
    with pytest.raises(ValueError, match="as many values of both, not 0 and 0"):
        bootstrap_difference([], [])
    with pytest.raises(ValueError, match="infinite"):
        bootstrap_difference([math.inf], [1])


# Tables


def test_a_table() -> None:
    stronger = replace(result("ours", [27, 28, 26.5], 50), parameters=262_144)
    text = markdown([NOISY, OURS, PEER, stronger])
    lines = text.splitlines()
    assert lines[0] == "### Set12, gray, denoising"
    assert lines[2] == "| PSNR / SSIM | σ 25 | σ 50 | parameters, M | multiply-adds a pixel, k | seconds a megapixel |"
    assert lines[4] == "| noisy | 20.50 / 0.2050 | – | – | – | – |"
    assert lines[5] == "| ours | 30.25 / 0.3025 | 27.17 / 0.2717 | 0.26 | 83.3 | – |"
    assert lines[6] == "| peer | 29.83 / 0.2983 | – | – | – | 2.5 |"
    assert lines[8] == LINE
    assert "Measured on a machine, 1 thread, torch 2.13.0, Python 3.12.3, vheatir 0.1.0, 2026-01-31." in lines
    assert lines[-1] == "| peer | +0.42 [-0.25, +1.00] | – |"  # differences 1, 0.5, -0.25; none with the noisy image
    assert "95 % bootstrap interval" in text
    assert "ublished" not in text


def test_sets_and_protocols_are_not_mixed() -> None:
    others = [
        replace(OURS, protocol="another"),
        replace(OURS, set="mine"),
        replace(OURS, channels="color"),
        replace(OURS, task="jpeg"),
    ]
    assert markdown([OURS, *others]).count("### ") == 5


def test_two_runs_share_the_degraded_image() -> None:
    """Every run scores it; what is the same is one row, what is not is an error."""
    elsewhere = replace(HERE, machine="another machine")
    peer = replace(PEER, environment=elsewhere)
    text = markdown([NOISY, OURS, replace(NOISY, environment=elsewhere), peer])
    assert text.count("| noisy |") == 1
    lines = text.splitlines()
    assert f"Measured on {HERE} (noisy, ours)." in lines
    assert f"Measured on {elsewhere} (peer)." in lines
    with pytest.raises(ValueError, match="noisy was scored twice on Set12 at 25, with different values"):
        markdown([NOISY, result("noisy", [20, 20.5, 21.001])])
    with pytest.raises(ValueError, match="noisy was scored twice"):
        markdown([NOISY, result("noisy", [20, 20.5])])


def test_a_missing_metric_is_an_empty_column() -> None:
    text = markdown([replace(OURS, images={"a.png": {"psnr": 30.0, "lpips": None}})])
    assert "| PSNR / LPIPS | σ 25 |" in text
    assert "| ours | 30.00 / – |" in text


# Published figures


def test_published_figures_are_cited_and_stand_apart() -> None:
    text = markdown([NOISY, OURS], published=True)
    measured, published = text.split("Published, from the papers, not measured here:")
    assert "DnCNN" not in measured
    assert "| *DnCNN* | 30.44 |" in published
    assert "- DnCNN: Zhang et al., Beyond a Gaussian Denoiser" in published
    assert "ours" not in published
    assert "Published" not in markdown([replace(OURS, set="mine")], published=True)
    assert "Published" not in markdown([replace(OURS, level=17)], published=True)


def test_published_figures_are_of_known_sets_and_plausible() -> None:
    figures = published_figures()
    keys = [(f.method, f.task, f.channels, f.set, f.level) for f in figures]
    assert len(set(keys)) == len(keys)
    for figure in figures:
        assert figure.set.casefold() in known_sets()
        assert 20 < float(figure.means["psnr"]) < 40
        assert 0.7 < float(figure.means.get("ssim", 0.9)) < 1
        assert float(figure.means.get("psnr_b", 25)) < float(figure.means["psnr"])
        assert "20" in figure.paper  # a year
    by_method: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
    for f in figures:
        worse = f.level if f.task == "denoise" else -f.level
        by_method.setdefault((f.method, f.task, f.channels, f.set), []).append((worse, float(f.means["psnr"])))
    for series in by_method.values():
        assert [psnr for _, psnr in sorted(series)] == sorted((psnr for _, psnr in series), reverse=True)


def test_agreement_is_measured_less_published() -> None:
    ours, peer = result("DnCNN", [30.42, 30.44]), result("peer", [30.44])
    text = agreement_table([ours, peer])
    assert text.splitlines()[2:] == ["| DnCNN | Set12, gray | σ 25 | PSNR | 30.44 | 30.43 | -0.01 |"]
    assert "| 30.44 | 30.44 | +0.00 |" in agreement_table([result("DnCNN", [30.438])])
    assert agreement_table([peer]) == ""
    assert agreement_table([replace(ours, protocol="Set12. NOT SwinIR's protocol (border 4)")]) == ""
