"""Places of pyarrow's file systems: a local one, one within another, one in memory; S3 and GCS are not tried."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_weights import save_tiny_weights

from vheatir.errors import UsageError
from vheatir.inference.folder import Settings
from vheatir.inference.paths import Selection, plan_jobs
from vheatir.inference.report import FileReport, parquet_parts
from vheatir.inference.restorer import Restorer

fs = pytest.importorskip("pyarrow.fs", reason="the extra vheatir[ray] is not installed")
remote = pytest.importorskip("vheatir.inference.remote")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model = save_tiny_weights(tmp_path / "own.safetensors", "denoise-gray")
    return Settings(Restorer("denoise", model=model, device="cpu"), sigma=25)


def encoded(suffix: str) -> bytes:
    well, data = cv2.imencode(suffix, np.random.default_rng(0).integers(60, 120, (9, 11), dtype=np.uint8))
    assert well
    return data.tobytes()


def places(kind: str, root: Path) -> tuple[Any, Any]:
    """An input and an output on a file system of this kind."""
    if kind == "memory":
        from fsspec.implementations.memory import MemoryFileSystem

        class Memory(MemoryFileSystem):  # type: ignore[misc]
            store: dict[str, Any] = {}  # noqa: RUF012  of this test alone
            pseudo_dirs = [""]  # noqa: RUF012
            cachable = False

        files = fs.PyFileSystem(fs.FSSpecHandler(Memory()))
    else:
        local = fs.LocalFileSystem()
        files = fs.SubTreeFileSystem(str(root), local) if kind == "subtree" else local
    inner, outer = ("/in", "/out") if kind != "local" else (str(root / "in"), str(root / "out"))
    return remote.Place(files, inner, "x://in"), remote.Place(files, outer, "x://out")


def put(place: Any, name: str, data: bytes) -> None:
    place.files.create_dir(f"{place.path}/{name}".rpartition("/")[0], recursive=True)
    with place.files.open_output_stream(f"{place.path}/{name}") as file:
        file.write(data)


def names(place: Any) -> list[str]:
    found = place.files.get_file_info(fs.FileSelector(place.path, recursive=True))
    return sorted(entry.path.rpartition("out/")[2] for entry in found if entry.is_file)


def content(place: Any, name: str) -> bytes:
    with place.files.open_input_stream(f"{place.path}/{name}") as file:
        return bytes(file.read())


KINDS = ["local", "subtree", "memory"]


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_fetched_restored_and_put(kind: str, tmp_path: Path, settings: Settings) -> None:
    source, output = places(kind, tmp_path / "files")
    (tmp_path / "files").mkdir()
    for name in ("a.png", "sub/b.jpg", "sub/b.png"):
        put(source, name, encoded(Path(name).suffix))
    put(source, "sub/deep/bad.png", b"no image")
    put(source, "notes.txt", b"text")
    remote.check_places(source, output)
    assert remote.top_folders(source) == ["sub"]
    jobs = [
        *remote.list_jobs(source, output, Selection(), "", deep=False),
        *remote.list_jobs(source, output, Selection(), "sub", deep=True),
    ]
    reports = {job.name.as_posix(): remote.restore_remote(job, settings, source, output) for job in jobs}

    assert names(output) == ["a.png", "sub/b.jpg.png", "sub/b.png"]
    assert {name: report.status for name, report in reports.items()} == {
        "a.png": "restored", "sub/b.jpg": "restored", "sub/b.png": "restored", "sub/deep/bad.png": "failed",
    }  # fmt: skip
    assert (reports["sub/b.jpg"].file, reports["sub/b.jpg"].result) == ("x://in/sub/b.jpg", "x://out/sub/b.jpg.png")
    reason = reports["sub/deep/bad.png"].reason
    assert reason is not None
    assert reason.startswith("x://in/sub/deep/bad.png cannot be read as an image")
    (tmp_path / "a.png").write_bytes(encoded(".png"))
    settings.restorer.restore_file(tmp_path / "a.png", tmp_path / "b.png", sigma=25)
    assert content(output, "a.png") == (tmp_path / "b.png").read_bytes()

    put(output, "a.png", b"earlier")
    again = Settings(settings.restorer, sigma=25, skip_existing=True)
    assert remote.restore_remote(jobs[0], again, source, output).status == "skipped"
    assert content(output, "a.png") == b"earlier"
    assert remote.restore_remote(jobs[0], settings, source, output).status == "restored"
    assert content(output, "a.png") == (tmp_path / "b.png").read_bytes()


def test_the_same_files_are_listed_as_in_a_local_folder(source: Path, output: Path) -> None:
    for name in ("b.png", "a.jpg", "a.png", "._a.png", "no.txt", "sub/x.tif", "sub/deep/y.png", "zoo/a.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "sub" / "circle").symlink_to(source)
    inner, outer = remote.open_place(source.as_uri()), remote.open_place(str(output))
    for selection in (Selection(), Selection(exclude=("sub/*",)), Selection(shard=(1, 2)), Selection(format="webp")):
        found = [*remote.list_jobs(inner, outer, selection, "", deep=True)]
        assert found == [*plan_jobs(source, output, selection)]
        parts = [*remote.list_jobs(inner, outer, selection, "", deep=False)]
        for folder in remote.top_folders(inner):
            parts += remote.list_jobs(inner, outer, selection, folder, deep=True)
        assert parts == found


@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_that_fails_leaves_what_was_there(kind: str, tmp_path: Path) -> None:
    _, output = places(kind, tmp_path / "files")
    (tmp_path / "files").mkdir()
    put(output, "a.png", b"earlier")
    with suppress(KeyboardInterrupt), remote.whole_file(output.files, f"{output.path}/a.png") as name:
        with output.files.open_output_stream(name) as file:
            file.write(b"ha")
        raise KeyboardInterrupt
    assert names(output) == ["a.png"]
    assert content(output, "a.png") == b"earlier"


def test_a_folder_that_cannot_be_listed_and_places_that_mix(source: Path, output: Path) -> None:
    (source / "a").mkdir()
    inner, outer = remote.open_place(source.as_uri()), remote.open_place(output.as_uri())
    (job,) = remote.list_jobs(inner, outer, Selection(), "gone", deep=True)
    assert job.problem is not None
    assert job.problem.startswith(f"{source.as_uri()}/gone cannot be listed")
    with pytest.raises(UsageError, match="is no folder that exists"):
        remote.check_places(outer, inner)
    for other in (source, source / "a", source.parent):
        with pytest.raises(UsageError, match="lie within one another"):
            remote.check_places(inner, remote.open_place(other.as_uri()))
    with pytest.raises(UsageError, match="is no place that pyarrow finds"):
        remote.open_place("nowhere://a/b")


def test_a_parquet_report_is_written_in_parts_and_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("vheatir.inference.report._ROWS_OF_A_PART", 2)
    place = tmp_path / "report.parquet"
    reports = [FileReport(f"{index}\udcff.png", None, "a", "failed", "denoise", reason="r") for index in range(3)]
    with suppress(KeyboardInterrupt), parquet_parts(str(place), go_on=False) as append:
        for report in reports:
            append(report)
            if report is reports[1]:
                assert parquet.read_table(place).num_rows == 2  # readable, whatever comes
        raise KeyboardInterrupt
    rows = parquet.read_table(place).to_pylist()
    assert sorted(row["file"] for row in rows) == [f"{index}\\udcff.png" for index in range(3)]
    assert rows[0]["level"] is None
    with pytest.raises(UsageError, match="has a report already"), parquet_parts(str(place), go_on=False):
        pass
    with parquet_parts(str(place), go_on=True) as append:
        append(reports[0])
    assert parquet.read_table(place).num_rows == 4
