"""Ray itself: processes that die in the middle of an image, files that kill, places of other file systems."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_weights import save_tiny_weights

from vheatir.cli.main import main
from vheatir.imageio.read import read_image
from vheatir.inference.paths import Job, plan_jobs
from vheatir.inference.report import FileReport, json_line

ray = pytest.importorskip("ray", reason="the extra vheatir[ray] is not installed")
pytest.importorskip("ray.data", reason="the extra vheatir[ray] is not installed")


@pytest.fixture(scope="module", autouse=True)
def cluster(repository: Path) -> Iterator[None]:
    """A cluster of this machine, in which a pool of two processes has room beside the tasks that list."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(repository))
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()


@pytest.fixture
def images(source: Path) -> list[str]:
    """Forty small images in two folders, and one file that is none."""
    rng = np.random.default_rng(0)
    names = [f"{'sub/' if index % 2 else ''}{index:02d}.png" for index in range(40)]
    (source / "sub").mkdir()
    for name in names:
        assert cv2.imwrite(str(source / name), rng.integers(0, 256, (12, 12), dtype=np.uint8))
    (source / "bad.png").write_bytes(b"no image")
    return names


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_weights(tmp_path / "own.safetensors", "denoise-gray")


def command(source: Path | str, output: Path | str, model: Path, *options: str) -> int:
    fixed = ("--task", "denoise", "--sigma", "25", "--device", "cpu", "--model", str(model))
    return main(["restore", *fixed, *options, str(source), str(output)])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def dying(model: Path, deaths: Path, half: str, poison: str) -> Callable[[Job], FileReport]:
    """Restores, but dies once when one file is half written, and whenever it is given another."""
    from vheatir.inference.folder import Settings, restoring
    from vheatir.inference.restorer import Restorer

    restore = restoring(Settings(Restorer("denoise", model=model, device="cpu"), sigma=25))
    write_bytes = Path.write_bytes

    def write_half(path: Path, data: Any) -> int:
        write_bytes(path, bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def restore_or_die(job: Job) -> FileReport:
        if job.problem is None and job.name.as_posix() in (half, poison):
            with deaths.open("a") as file:
                file.write(f"{job.name.as_posix()}\n")
            if job.name.as_posix() == poison:
                os.kill(os.getpid(), signal.SIGKILL)
            if deaths.read_text().splitlines().count(half) == 1:
                Path.write_bytes = write_half  # type: ignore[assignment, method-assign]
        return restore(job)

    return restore_or_die


def test_processes_that_die_lose_nothing(
    source: Path, output: Path, tmp_path: Path, images: list[str], model: Path
) -> None:
    from vheatir.inference import ray_engine

    ray.cloudpickle.register_pickle_by_value(__import__(__name__))  # this module is not in the processes' path
    cv2.imwrite(str(source / "poison.png"), np.zeros((8, 8), np.uint8))
    deaths, plain = tmp_path / "deaths", tmp_path / "plain"
    listings = [partial(plan_jobs, source, output)]
    make = partial(dying, model, deaths, "sub/07.png", "poison.png")

    reports = list(ray_engine.restore_by_ray(listings, make, ray_engine.Pool(workers=2)))

    # each file has one report, whatever died around it
    assert sorted(report.name for report in reports) == sorted([*images, "bad.png", "poison.png"])
    failed = {report.name: report.reason or "" for report in reports if report.status == "failed"}
    assert sorted(failed) == ["bad.png", "poison.png"]
    assert "cannot be read as an image" in failed["bad.png"]
    assert "ended the process that restored it, 2 times" in failed["poison.png"]
    assert sorted(deaths.read_text().splitlines()) == ["poison.png", "poison.png", "sub/07.png", "sub/07.png"]
    # and every result is the one of the plain command, to the byte; nothing half-written is left
    (source / "poison.png").unlink()
    assert command(source, plain, model) == 1
    assert contents(output) == contents(plain)


def test_the_command_restores_places_of_pyarrow_and_goes_on(
    source: Path, output: Path, tmp_path: Path, images: list[str], model: Path, capsys: Any
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    plain, report = tmp_path / "plain", tmp_path / "report.parquet"
    assert command(source, plain, model) == 1
    (output / "sub").mkdir(parents=True)
    (output / "sub" / "01.png").write_bytes(b"of an earlier run")
    capsys.readouterr()

    options = ("--engine", "ray", "--workers", "1", "--skip-existing", "--report", str(report))
    assert command(source.as_uri(), output.as_uri(), model, *options) == 1

    assert f"failed: {source.as_uri()}/bad.png cannot be read as an image" in capsys.readouterr().err
    assert contents(output) == contents(plain) | {"sub/01.png": b"of an earlier run"}
    rows = {row["name"]: row for row in parquet.read_table(report).to_pylist()}
    assert {name: row["status"] for name, row in rows.items()} == {
        **dict.fromkeys(images, "restored"),
        "sub/01.png": "skipped",
        "bad.png": "failed",
    }
    assert rows["sub/03.png"]["result"] == f"{output.as_uri()}/sub/03.png"
    assert rows["00.png"]["level"] == 25
    assert read_image(output / "00.png").pixels.shape == (12, 12)


def test_names_that_are_no_utf8_travel() -> None:
    from vheatir.inference import ray_engine

    job = Job(Path("in/\udcff é.png"), Path("out/\udcff é.png"), Path("\udcff é.png"), "a problem")
    assert ray_engine._encoded(job).isascii()  # Arrow holds it
    assert ray_engine._decoded(ray_engine._encoded(job)) == job


def test_files_without_a_word_are_counted() -> None:
    from vheatir.inference import ray_engine

    jobs = [Job(Path(name), Path("out"), Path(name)) for name in "abc"]
    assert [*ray_engine._counted(jobs)] == [*map(ray_engine._encoded, jobs), "3"]
    assert [*ray_engine._counted([])] == ["0"]
    lines = [json_line(FileReport(name, None, name, "failed", "photo")) for name in "abcd"]
    told = ray_engine._complete([*lines[:2], "3", *lines[2:], "1"], 2)
    assert [report.file for report in told] == ["a", "b", "c", "d"]
    for short, sentence in (
        ([*lines[:2], "3", "1"], "without a word on 2 of 4 files"),
        ([*lines, "4"], "before all files were listed"),
        ([], "before all files were listed"),
    ):
        with pytest.raises(OSError, match=f"{sentence}; .* run again with --skip-existing"):
            list(ray_engine._complete(short, 2))


def test_a_report_that_is_lost_fails_the_command(
    source: Path, output: Path, model: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vheatir.inference import ray_engine

    real = ray_engine._complete
    for name in ("a.png", "b.png"):
        assert cv2.imwrite(str(source / name), np.zeros((8, 8), np.uint8))
    monkeypatch.setattr(ray_engine, "_complete", lambda lines, count: real([*lines][1:], count))
    assert command(source, output, model, "--engine", "ray", "--workers", "1") == 2
    assert "error: Ray ended without a word on 1 of 2 files" in capsys.readouterr().err


def test_a_place_without_images_and_an_empty_part(source: Path, output: Path, model: Path, capsys: Any) -> None:
    (source / "notes.txt").touch()
    options = ("--engine", "ray", "--workers", "1")
    assert command(source.as_uri(), output.as_uri(), model, *options) == 2
    assert f"{source.as_uri()} holds no images that are wanted" in capsys.readouterr().err
    assert command(source.as_uri(), output.as_uri(), model, *options, "--shard", "2/3") == 0


def test_a_process_that_ray_ends_is_not_silent() -> None:
    code = "import os; from vheatir.inference.ray_engine import _watched\nwith _watched(): {}"
    for ending, told in (("os._exit(1)", "error: Ray ended, or was ended"), ("pass", "")):
        done = subprocess.run([sys.executable, "-c", code.format(ending)], capture_output=True, text=True, check=False)
        assert done.stderr[: len(told) or None] == told
        assert done.returncode == bool(told)


def test_gpus_that_are_not_there_are_not_waited_for(source: Path, output: Path, model: Path, capsys: Any) -> None:
    assert cv2.imwrite(str(source / "a.png"), np.zeros((8, 8), np.uint8))
    assert command(source, output, model, "--engine", "ray", "--worker-gpus", "99") == 2
    assert "needs 99 GPUs, and Ray finds" in capsys.readouterr().err


def test_what_no_process_could_do_is_said_at_once(source: Path, output: Path, model: Path, capsys: Any) -> None:
    assert cv2.imwrite(str(source / "a.png"), np.zeros((8, 8), np.uint8))
    fixed = ("restore", "--engine", "ray", "--workers", "1", "--task", "denoise", "--device", "cpu")
    assert main([*fixed, "--sigma", "99", "--model", str(model), str(source), str(output)]) == 2
    assert "sigma is 0 to 55" in capsys.readouterr().err
    assert not output.exists()
