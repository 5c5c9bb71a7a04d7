"""The command, as a user runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="metrics need scikit-image")

from benchmark_folders import COLOR, GRAY, write
from tiny_weights import save_tiny_weights

from vheatir.cli.main import main
from vheatir.evaluation import scoring
from vheatir.evaluation.results import read_results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "photos", GRAY)


def run(*arguments: object) -> int:
    return main(["benchmark", *[str(argument) for argument in arguments]])


def test_one_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two sets, two levels, a model and a peer: table on stdout, and the same in files."""
    color = write(tmp_path / "color", COLOR)
    out = tmp_path / "new" / "out"
    options = ["--task", "jpeg", "--quality", "10", "40", "--sets", str(folder), f"Mine={color}", "--model", "--time"]
    peers = ["--peer", "Half=benchmark_folders:halve", "benchmark_folders:darken"]
    code = main(["benchmark", *options, *peers, "--output", str(out), "--name", "first", "--quiet"])
    printed = capsys.readouterr().out
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["first.csv", "first.json", "first.md"]
    assert (out / "first.md").read_text("utf-8") == printed
    assert "### photos, gray, JPEG artifact reduction" in printed
    assert "### Mine, colour, JPEG artifact reduction" in printed
    assert "| PSNR / SSIM / PSNR-B | quality 10 | quality 40 | seconds a megapixel |" in printed
    assert printed.count("photos: own set of 2 images. SwinIR's protocol") == 1
    results = read_results(out / "first.json")
    assert {(r.set, r.level, r.method) for r in results} == {
        (name, level, method)
        for name in ("photos", "Mine")
        for level in (10, 40)
        for method in ("JPEG", "Half", "benchmark_folders:darken")
    }
    jpeg = {r.level: r.means["psnr"] for r in results if r.method == "JPEG" and r.set == "Mine"}
    assert jpeg[10] < jpeg[40]


def test_our_weights_and_departures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = save_tiny_weights(tmp_path / "my.safetensors", "denoise-gray")
    options = ["--task", "denoise", "--sigma", 25, "--sets", f"p={folder}", "--quiet"]
    assert run(*options, "--model", weights, f"other={weights}", "--tile", 64, "--border", 2, "--metrics", "psnr") == 0
    printed = capsys.readouterr().out
    assert "NOT SwinIR's protocol (border 2, tiles)" in printed
    assert "our models in tiles of 64 pixels" in printed
    rows = [line.split(" | ")[:2] for line in printed.splitlines() if line.startswith(("| my", "| other"))]
    assert rows[0][1] == rows[1][1]
    assert "| other | +0.00 [+0.00, +0.00] |" in printed


def test_a_wrong_copy_is_a_warning_and_stands_below_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--task", "denoise", "--sigma", 25, "--model", "--metrics", "psnr", "--quiet"]
    assert run(*options, "--sets", f"set5={folder}") == 0
    assert "Set5: NOT THE KNOWN COPY (a.png does not belong to the set; " in capsys.readouterr().out
    assert "Set5 is not the known copy: baby_GT.bmp is missing" in caplog.text


def test_pictures(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("vheatir.evaluation.pictures")
    options = ["--task", "denoise", "--sigma", 25, "--model", "--metrics", "psnr", "--quiet"]
    assert run(*options, "--sets", f"p={folder}", "--pictures", tmp_path / "seen") == 0
    assert sorted(path.name for path in (tmp_path / "seen" / "p" / "25").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "denoise", "--sets", "."], "--task denoise needs --sigma"),
        (["--task", "jpeg", "--sets", ".", "--quality", "10", "--sigma", "15"], "--sigma belongs to the other task"),
        (["--task", "jpeg", "--sets", ".", "--quality", "0"], "--quality is 1 to 100, not 0"),
        (["--task", "denoise", "--sets", ".", "--sigma", "0"], "--sigma is more than 0 to 255, not 0"),
        (["--task", "denoise", "--sets", ".", "--sigma", "nan"], "--sigma is more than 0 to 255, not nan"),
        (["--task", "denoise", "--sets", "A=.", "a=..", "--sigma", "5"], "Two sets are called a"),
        (["--task", "denoise", "--sets", "../A=.", "--sigma", "5"], "needs a name without folders, not '../A'"),
        (["--task", "denoise", "--sets", "A=nowhere", "--sigma", "5"], "nowhere of set A does not exist"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--name", "x"], "--name is the name of the files"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--model", "light"], "light has no bundled weights"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "75"], "sigma is 0 to 55 for model denoise-gray"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--peer", "none"], "There is no peer none"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--peer", "no:no"], "Peer no:no cannot be imported"),
        (
            ["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--model", "--peer", "x=tv", "x=nlm"],
            "Two methods are called x",
        ),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--output", "out"], "lies within set A"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--border", "-1"], "border is 0 pixels or more"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--device", "no"], "Device no cannot be used"),
        (["--task", "denoise", "--sets", "A=.", "--sigma", "5", "--border", "20"], "are too few for"),
    ],
)
def test_wrong_usage_is_one_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    assert run(*options, "--quiet") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_what_was_finished_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def interrupt(name: str) -> object:
        calls.append(name)
        if len(calls) > 2:  # two images at the first level
            raise KeyboardInterrupt
        return lambda restored, truth: float(restored.size == truth.size)

    monkeypatch.setattr(scoring, "load_metric", interrupt)
    out = tmp_path / "out"
    options = ["--task", "denoise", "--sigma", 15, 25, "--sets", folder, "--model", "--metrics", "psnr", "--quiet"]
    assert run(*options, "--output", out) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [result.level for result in read_results(out / "denoise.json")] == [15]


def test_a_missing_package_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "vheatir.evaluation.scoring")
    monkeypatch.delitem(sys.modules, "vheatir.evaluation.metrics.ssim", raising=False)
    monkeypatch.delitem(sys.modules, "vheatir.evaluation.metrics", raising=False)
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    assert run("--task", "denoise", "--sigma", 25, "--sets", folder, "--model", "--quiet") == 2
    assert capsys.readouterr().err == 'error: skimage.metrics is not installed: pip install "vheatir[metrics]".\n'
