"""Which files become jobs, and where their results go: names that collide, links, shards, memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from vheatir.errors import UsageError
from vheatir.inference.paths import Selection, plan_jobs


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def planned(source: Path, output: Path, selection: Selection | None = None) -> dict[str, str]:
    jobs = [job for job in plan_jobs(source, output, selection) if job.problem is None]
    return {str(job.name): str(job.destination.relative_to(output)) for job in jobs}


def problems(source: Path, output: Path) -> list[str]:
    return [str(job.name) for job in plan_jobs(source, output) if job.problem is not None]


def test_files_come_by_name_then_subfolders(source: Path, output: Path) -> None:
    touch(source, "b.png", "a/z.png", "c.png", "a/a/y.png", "a/b.png")
    assert list(planned(source, output)) == ["b.png", "c.png", "a/b.png", "a/z.png", "a/a/y.png"]


@pytest.mark.parametrize(
    ("names", "selection", "results"),
    [
        (["a.jpg", "a.png"], Selection(), ["a.jpg.png", "a.png"]),
        (["a.jpeg", "a.jpg"], Selection(), ["a.jpeg.png", "a.jpg.png"]),
        (["a.jpg", "a.jpg.png", "a.png"], Selection(), ["a.jpg.png.png", "a.jpg.png", "a.png"]),
        (["a.JPG", "a.jpg", "a.jpg.png"], Selection(), ["a.JPG.png", "a.jpg.png.png", "a.jpg.png"]),
        (["a.bmp", "a.jpg", "a.jpg.png"], Selection(format="webp"), ["a.bmp.webp", "a.jpg.webp.webp", "a.jpg.webp"]),
        (["a.jpg", "a.png"], Selection(keep_jpeg=True), ["a.jpg", "a.png"]),
        (["a.jpg", "a.png"], Selection(exclude=("*.png",)), ["a.png"]),
    ],
)
def test_results_of_a_folder_never_share_a_name(
    source: Path, output: Path, names: list[str], selection: Selection, results: list[str]
) -> None:
    touch(source, *names, *(f"sub/{name}" for name in names))
    assert list(planned(source, output, selection).values()) == [*results, *(f"sub/{name}" for name in results)]


def test_a_link_to_a_results_place_keeps_what_it_leads_to(source: Path, output: Path) -> None:
    touch(source, "b.png", "d.png")
    touch(output, "a.png", "d.png", "kept.png")
    for name, target in (("a.png", "a.png"), ("c.png", "d.png"), ("e.png", "kept.png")):
        (source / name).symlink_to(output / target)
    assert problems(source, output) == ["a.png", "d.png"]  # of c, what it reads is kept, as d is not restored
    assert planned(source, output) == {"b.png": "b.png", "c.png": "c.png", "e.png": "e.png"}


def test_links_between_the_trees_and_within_the_results_are_found(source: Path, output: Path, tmp_path: Path) -> None:
    touch(source, "one/a.png", "two/a.png", "three/a.png", "four/a.png", "five/sub/a.png", "six/a.png")
    touch(output, "one/x.png")
    (tmp_path / "elsewhere").mkdir()
    (output / "two").symlink_to(output / "one")  # two folders into one
    (output / "three").symlink_to(tmp_path / "elsewhere")  # on another disk: as it should be
    (output / "four").symlink_to(tmp_path / "elsewhere")  # but not twice
    (output / "five").symlink_to(source)
    assert problems(source, output) == ["five/sub/a.png", "three/a.png", "two/a.png"]
    assert set(planned(source, output)) == {"one/a.png", "four/a.png", "six/a.png"}


def test_results_among_the_inputs_are_refused_before_the_first(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/c/x.png")
    assert planned(tmp_path / "a" / "b", tmp_path) == {"c/x.png": "c/x.png"}
    touch(tmp_path, "a/b/a/b/x.png")
    with pytest.raises(UsageError, match="could replace inputs"):
        plan_jobs(tmp_path / "a" / "b", tmp_path)


# ------------------------------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_shards_are_disjoint_and_complete_and_keep_the_names(source: Path, output: Path, count: int) -> None:
    names = [f"{folder}{index}.{suffix}" for folder in ("", "é/") for index in range(100) for suffix in ("jpg", "png")]
    touch(source, *names)
    shards = [planned(source, output, Selection(shard=(number, count))) for number in range(1, count + 1)]
    assert sum(map(len, shards)) == 400
    # a.jpg and a.png may come to different shards, and yet a.jpg becomes a.jpg.png
    assert {name: result for shard in shards for name, result in shard.items()} == planned(source, output)
    assert min(map(len, shards)) > 400 / count / 2


def test_a_shard_is_the_same_in_every_process(source: Path, output: Path) -> None:
    touch(source, *(f"{index}.png" for index in range(12)))
    code = (
        "import sys; from pathlib import Path; from vheatir.inference.paths import Selection, plan_jobs\n"
        "print(*(j.name for j in plan_jobs(Path(sys.argv[1]), Path(sys.argv[2]), Selection(shard=(2, 3)))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(output)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(planned(source, output, Selection(shard=(2, 3))))
    # computed once with another program, b2sum -l 64: a change would part runs that are under way
    assert done.stdout.split() == ["0.png", "3.png", "6.png", "9.png"]


def test_an_empty_shard_is_no_error_but_an_empty_folder_is(source: Path, output: Path) -> None:
    touch(source, "a.png")
    assert sorted(len(planned(source, output, Selection(shard=(number, 5)))) for number in range(1, 6))[-2:] == [0, 1]
    (source / "a.png").unlink()
    with pytest.raises(UsageError, match="holds no images"):
        plan_jobs(source, output, Selection(shard=(1, 5)))


# ------------------------------------------------------------------------------------------------------------- memory


def test_one_folder_at_a_time_is_in_memory(source: Path, output: Path) -> None:
    for folder in range(40):
        touch(source, *(f"{folder:02d}/{index:03d} {'long ' * 20}.png" for index in range(100)))

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in islice(plan_jobs(source, output), count):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(100)  # caches of the interpreter's
    assert peak(4000) < 1.5 * peak(200)
