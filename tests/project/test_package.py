"""What `import vheatir` and inference may cost, and what the source tree may hold."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Installed here for training, metrics and tests; absent where only inference is installed.
NOT_FOR_INFERENCE = (
    "basicsr",
    "lmdb",
    "lpips",
    "msgspec",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "ray",
    "scipy",
    "skimage",
    "tensorboard",
    "torchvision",
    "yaml",
)

BLOCK = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_FOR_INFERENCE!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run_python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def test_importing_the_package_imports_no_dependency(repository: Path) -> None:
    code = "import sys, vheatir; print([name for name in ('torch', 'numpy', 'cv2') if name in sys.modules])"
    assert run_python(code, cwd=repository).stdout.strip() == "[]"


def test_every_public_name_resolves(repository: Path) -> None:
    code = "import vheatir; print([name for name in vheatir.__all__ if getattr(vheatir, name) is None])"
    done = run_python(BLOCK + code, cwd=repository)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_imports_no_torch(repository: Path) -> None:
    code = """
import runpy, sys
sys.argv = ["inference.py", "--help"]
try:
    runpy.run_path("inference.py", run_name="__main__")
except SystemExit as stop:
    print("exit", stop.code, "torch" in sys.modules)
"""
    done = run_python(code, cwd=repository)
    assert done.stdout.splitlines()[-1] == "exit 0 False", done.stderr
    assert "--sigma" in done.stdout


def test_inference_runs_without_the_training_packages(repository: Path, tmp_path: Path) -> None:
    code = (
        BLOCK
        + """
import cv2
import numpy as np
import vheatir
from vheatir.cli.main import main

gray = np.random.default_rng(0).integers(0, 256, (24, 20), dtype=np.uint8)
restored = vheatir.restore(gray, task="denoise", sigma=25)
assert restored.shape == gray.shape and restored.dtype == gray.dtype

source, target = sys.argv[1:]
assert cv2.imwrite(source + "/a.png", gray)
sys.argv = ["vheatir", "restore", "--task", "denoise", "--sigma", "25", source, target]
sys.exit(main())
"""
    )
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    done = run_python(code, str(source), str(target), cwd=repository)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in target.iterdir()] == ["a.png"]


def test_an_engine_that_is_not_installed_is_named_with_its_extra(repository: Path, tmp_path: Path) -> None:
    code = BLOCK + "from vheatir.cli.main import main\nsys.exit(main(['restore', *sys.argv[1:]]))"
    (tmp_path / "a.png").touch()
    options = ("--task", "photo", "--engine", "ray", str(tmp_path), str(tmp_path.with_name("out")))
    done = run_python(code, *options, cwd=repository)
    assert done.returncode == 2
    assert done.stderr == 'error: ray is not installed: pip install "vheatir[ray]".\n'


def test_the_blocker_blocks(repository: Path) -> None:
    done = run_python(BLOCK + "import skimage.data", cwd=repository)
    assert "skimage is blocked" in done.stderr


def test_every_console_script_is_callable(pyproject: dict[str, Any]) -> None:
    scripts = pyproject["project"]["scripts"]
    assert set(scripts) == {"vheatir"}
    for target in scripts.values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))


def test_contributing_names_what_inference_needs(repository: Path, pyproject: dict[str, Any]) -> None:
    needed = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in pyproject["project"]["dependencies"]}
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"Inference needs ([^.]+), nothing\s+else", text)
    assert set(re.split(r",\s+|\s+and\s+", named)) == needed
    assert needed.isdisjoint(NOT_FOR_INFERENCE)


def test_the_distribution_without_torch_is_the_same_package(repository: Path, pyproject: dict[str, Any]) -> None:
    path = repository / "packaging" / "vheatir-onnx" / "pyproject.toml"
    other = tomllib.loads(path.read_text(encoding="utf-8"))
    runtime = [line for line in pyproject["project"]["optional-dependencies"]["onnx"] if line.startswith("onnxruntime")]
    needed = {line for line in pyproject["project"]["dependencies"] if not line.startswith("torch")}
    assert set(other["project"]["dependencies"]) == needed | set(runtime)
    assert len(runtime) == 1
    for name in ("scripts", "requires-python", "license"):
        assert other["project"][name] == pyproject["project"][name]
    assert other["tool"]["setuptools"]["package-data"] == pyproject["tool"]["setuptools"]["package-data"]
    assert (path.parent / "LICENSE").read_bytes() == (repository / "LICENSE").read_bytes()


def test_the_tree_names_no_machine(repository: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    # Home folders and build machines. Written so that this file does not match itself.
    machine_path = re.compile(rb"(?<![\w.:/-])/(?:root|work|home|Users)/[\w.]|[.][.]/shared\b")
    files = [repository / name.decode() for name in listing.stdout.split(b"\0") if name]
    assert repository / "pyproject.toml" in files
    offending = [
        f"{path.relative_to(repository)}: {match.group().decode()}"
        for path in files
        if path.is_file() and path.suffix not in {".png", ".jpg", ".safetensors"}
        for match in [machine_path.search(path.read_bytes())]
        if match
    ]
    assert offending == []
