"""Other systems than Linux, as far as they can be simulated: what they lack is taken away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

import vheatir.data.sources
from vheatir.data.sources import LmdbSource
from vheatir.inference.compute import autocast, select_device
from vheatir.inference.memory import is_out_of_memory
from vheatir.inference.paths import Selection, plan_jobs
from vheatir.nn.heat import dct_basis

#: imports every module twice, the second time without what Linux alone has, and restores a folder
WITHOUT_LINUX = """
import importlib, os, pkgutil, signal, sys
from pathlib import Path

import psutil
import vheatir


def import_all():
    for module in pkgutil.walk_packages(vheatir.__path__, "vheatir.", onerror=lambda name: None):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name.partition(".")[0] not in ("comfy", "spandrel", "torchvision"):
                    raise


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


import_all()  # what other packages import, they import for the system that there is
MISSING = ("fcntl", "grp", "posix", "pwd", "resource", "syslog", "termios", "tty")
for name in [name for name in sys.modules if name in MISSING or name.partition(".")[0] == "vheatir"]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocker())
sys.platform = "win32"
for owner, names in (
    (os, "chown fork forkpty getegid geteuid getgid getloadavg getuid killpg mkfifo nice register_at_fork "
         "sched_getaffinity sched_setaffinity setsid statvfs sysconf uname wait4"),
    (signal, "SIGALRM SIGHUP SIGKILL SIGUSR1 SIGUSR2 alarm pause setitimer"),
    (psutil, "RLIMIT_AS RLIM_INFINITY"),
    (psutil.Process, "rlimit"),
):
    for name in names.split():
        if hasattr(owner, name):
            delattr(owner, name)
there = Path.open


def open_path(self, *arguments, **options):
    if self.is_absolute() and self.parts[1] in ("proc", "sys"):
        raise FileNotFoundError(str(self))
    return there(self, *arguments, **options)


Path.open = open_path
import vheatir

import_all()
from vheatir.cli.main import main
from vheatir.system.threads import usable_processors

assert usable_processors() == os.cpu_count()
sys.exit(main(["restore", "--task", "denoise", "--sigma", "25", *sys.argv[1:]]))
"""


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="cp1252",
        check=False,
    )


def test_nothing_needs_linux(source: Path, output: Path) -> None:
    Image.fromarray(np.full((16, 12), 99, np.uint8)).save(source / "a.png")
    done = run("-c", WITHOUT_LINUX, str(source), str(output))
    assert done.returncode == 0, done.stderr
    assert (output / "a.png").is_file()


def test_a_console_that_does_not_know_every_character_gets_the_others(tmp_path: Path) -> None:
    done = run("-m", "vheatir", "benchmark", "--help", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr
    assert "\\u03c3" in done.stdout
    missing = str(tmp_path / "Größe σ.png")
    done = run("-m", "vheatir", "restore", "--task", "photo", missing, str(tmp_path), PYTHONIOENCODING="cp1252:strict")
    assert done.returncode == 2
    assert "Größe \\u03c3.png does not exist" in done.stderr


def test_auto_takes_the_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=cuda: found)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=mps: found)
        assert select_device("auto").type == select_device(None).type == expected


class PretendedMps(TorchFunctionMode):
    """A device that has no float64, as Apple's; its tensors are on the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to and args[1] == torch.device("mps"):
            assert args[0].dtype != torch.float64
            return args[0]
        if kwargs.get("device") == torch.device("mps"):
            assert kwargs["dtype"] != torch.float64
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def test_the_cosines_are_made_where_there_is_float64() -> None:
    expected = dct_basis(7, 3, dtype=torch.float32, device=torch.device("cpu"))
    with PretendedMps():
        basis = dct_basis(7, 3, dtype=torch.float32, device=torch.device("mps"))
    assert torch.equal(basis, expected)


def test_a_device_without_autocast_computes_in_fp32() -> None:
    """MPS in older versions of torch; ``meta`` still."""
    with autocast(torch.device("meta"), "fp32"):
        assert not torch.is_autocast_enabled("cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16), autocast(torch.device("cpu"), "fp32"):
        assert not torch.is_autocast_enabled("cpu")


def test_memory_that_runs_out_is_known_everywhere() -> None:
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"))
    assert not is_out_of_memory(RuntimeError("MPS backend has no such operator"))


def test_names_that_differ_in_case_are_one_file_on_some_systems(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A.jpg", "a.png"):
        (source / name).touch()
    assert {job.destination.name for job in plan_jobs(source, output)} == {"A.png", "a.png"}
    monkeypatch.setattr("sys.platform", "darwin")
    assert {job.destination.name for job in plan_jobs(source, output)} == {"A.jpg.png", "a.png"}
    (source / "A.PNG").touch()
    both = Selection(include=("*.PNG", "*.png"))
    assert {job.destination.name for job in plan_jobs(source, output, both)} == {"A.PNG", "a.png.png"}


def test_keys_of_databases_have_slashes_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lmdb = pytest.importorskip("lmdb")
    root = tmp_path / "a.lmdb"
    environment = lmdb.open(str(root))
    with environment.begin(write=True) as transaction:
        transaction.put(b"folder/file", cv2.imencode(".png", np.full((4, 5), 7, np.uint8))[1].tobytes())
    environment.close()
    (root / "meta_info.txt").write_text("folder/file.png (4,5,1) 1\n", encoding="ascii")
    monkeypatch.setattr(vheatir.data.sources, "Path", PureWindowsPath)
    assert (LmdbSource(root).read(0, 1) == 7).all()
