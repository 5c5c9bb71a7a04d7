"""Threads: as many as there are free processors; and processes that are forked after the network has run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vheatir.system.threads as threads
from vheatir.system.threads import choose_threads, chosen_threads, usable_processors

REPOSITORY = Path(__file__).parents[2]
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")


def grant(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A file system that tells of control groups."""
    for name, content in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight processors, nothing set, torch not imported, nobody else at work."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(threads, "_busy_processors", lambda: 0)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8),
        ("0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 2),
        (
            "4:cpu,cpuacct:/c\n3:memory:/c\n",
            {"sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "400000\n", "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "4:cpu,cpuacct:/c\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "nonsense\n"}, 8),
    ],
)
def test_processors_are_limited_by_control_groups(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    assert usable_processors(grant(tmp_path, groups, files)) == expected


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("busy", "expected"), [(0, 8), (3, 5), (8, 1), (30, 1)])
def test_busy_processors_are_left_to_others(monkeypatch: pytest.MonkeyPatch, busy: int, expected: int) -> None:
    monkeypatch.setattr(threads, "_busy_processors", lambda: busy)
    monkeypatch.setattr(threads, "_quota", lambda _: float("inf"))
    assert choose_threads() == expected
    assert os.environ["OMP_NUM_THREADS"] == str(expected)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(("busy", "expected"), [(32, 8), (60, 4), (90, 1)])
def test_a_share_of_a_large_machine_is_used_where_others_leave_it(
    monkeypatch: pytest.MonkeyPatch, busy: int, expected: int
) -> None:
    """The load is that of all 64 processors, and says nothing of the eight while as many are free."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(threads, "_busy_processors", lambda: busy)
    monkeypatch.setattr(threads, "_quota", lambda _: float("inf"))
    assert choose_threads() == expected


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("variable", VARIABLES)
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "5")
    assert choose_threads() is None
    assert {name: os.environ.get(name) for name in VARIABLES if name in os.environ} == {variable: "5"}


@pytest.mark.usefixtures("eight")
def test_nothing_is_set_once_torch_has_been_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", threads)
    assert choose_threads() is None
    assert "OMP_NUM_THREADS" not in os.environ


def test_the_library_itself_sets_nothing() -> None:
    """Only commands do: a program's threads are its own affair."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    code = f"import os, vheatir; vheatir.Restorer; print(any(name in os.environ for name in {VARIABLES}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


FORKING = """
import os, signal, sys
import cv2, numpy as np, torch
sys.path.insert(0, "tests")
from tiny_weights import save_tiny_weights
import vheatir
torch.set_num_threads(2)
cv2.setNumThreads(2)
large = np.random.default_rng(0).random((2000, 2000, 3), dtype=np.float32)
cv2.GaussianBlur(large, (9, 9), 3)  # starts OpenCV's threads
restorer = vheatir.Restorer("denoise", device="cpu", model=save_tiny_weights(sys.argv[1], "denoise-color"))
image = np.random.default_rng(0).integers(60, 190, (200, 200, 3), dtype=np.uint8)
before = restorer.restore(image, sigma="auto")
child = os.fork()
if child == 0:
    signal.alarm(120)
    cv2.GaussianBlur(large, (9, 9), 3)
    after = restorer.restore(image, sigma="auto")
    os._exit(0 if np.abs(before.astype(int) - after).max() <= 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.get_num_threads(), cv2.getNumThreads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_restores_too(tmp_path: Path) -> None:
    """In torch's and in OpenCV's own way it waits without end."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING, str(tmp_path / "a.safetensors")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=240)
    assert done.stdout == "0 2 2\n", done.stderr


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("2,1", 2), ("0", None), ("many", None), (None, None)])
def test_what_does_not_follow_openmp_takes_as_many_threads(
    text: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if text is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert chosen_threads() == (usable_processors() if expected is None else expected)
