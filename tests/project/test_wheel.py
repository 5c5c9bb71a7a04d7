"""The wheel: what is in it, and that it restores an image in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import cv2
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from skimage.data import camera

import vheatir

WEIGHTS = ("denoise-color", "denoise-gray", "jpeg-color", "jpeg-gray", "photo")
BASE_DEPENDENCIES = {"torch", "numpy", "opencv-python", "pillow", "psutil", "safetensors", "tqdm"}


def run(command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    # Without what would lead the new environment back to this one.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, both in a copy so that the source tree stays clean."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy)
    shutil.copytree(repository / "vheatir", copy / "vheatir", ignore=shutil.ignore_patterns("__pycache__"))
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", copy / "dist", copy], copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def environment(wheel: Path, metadata: Message, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and, as links, the installed packages that its metadata ask for."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    for package in closure(requirements):
        link(package, site_packages)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], folder)
    return folder


def closure(requirements: list[Requirement]) -> Iterator[Distribution]:
    """The installed distributions that the requirements need, directly or not, each once."""
    seen: set[tuple[str, str]] = set()
    pending = [(requirement, "") for requirement in requirements]
    while pending:
        requirement, extra = pending.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        package = distribution(requirement.name)
        for wanted in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), wanted)
            if key not in seen:
                seen.add(key)
                pending += [(Requirement(line), wanted) for line in package.requires or ()]
                yield package


def link(package: Distribution, site_packages: Path) -> None:
    """Link the top-level files and folders of an installed package."""
    for name in {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}:
        target = site_packages / name
        if not target.exists():
            target.symlink_to(Path(str(package.locate_file(name))))


def test_the_wheel_holds_the_weights_and_nothing_foreign(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"vheatir/weights/{name}.{suffix}" for name in WEIGHTS for suffix in ("safetensors", "onnx", "md")}
    assert expected <= names
    assert "vheatir/py.typed" in names
    page = Path(vheatir.__file__).parent / "page"  # as far as it is built
    assert {f"vheatir/{path.relative_to(page.parent)}" for path in page.rglob("*") if path.is_file()} <= names
    assert {"vheatir/evaluation/data/published.json", "vheatir/evaluation/data/sets/Set12.json"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "vheatir",
        f"vheatir-{vheatir.__version__}.dist-info",
    }


def test_the_metadata_agree_with_the_package(metadata: Message) -> None:
    assert metadata["Name"] == "vheatir"
    assert metadata["Version"] == vheatir.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    base = {requirement.name for requirement in requirements if "extra" not in str(requirement.marker)}
    assert base == BASE_DEPENDENCIES


def test_the_environment_is_empty_but_for_the_dependencies(environment: Path, tmp_path: Path) -> None:
    code = """
from importlib.util import find_spec
print([name for name in ("basicsr", "lpips", "pytest", "scipy", "skimage", "torchvision") if find_spec(name)])
import vheatir
print(vheatir.__file__)
"""
    foreign, origin = run([environment / "bin" / "python", "-c", code], tmp_path).stdout.splitlines()
    assert foreign == "[]"
    assert Path(origin).is_relative_to(environment)


def test_the_installed_wheel_restores_an_image(environment: Path, tmp_path: Path) -> None:
    clean = camera()[64:192, 160:288]
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).round().astype(np.uint8)
    source, target = tmp_path / "noisy.png", tmp_path / "restored"
    assert cv2.imwrite(str(source), noisy)

    run([environment / "bin" / "vheatir", "restore", "--task", "denoise", "--sigma", "25", source, target], tmp_path)

    (written,) = target.iterdir()
    restored = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)
    assert restored is not None
    assert restored.shape == clean.shape
    assert psnr(restored, clean) > psnr(noisy, clean) + 5


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, of 8-bit images."""
    return float(10 * np.log10(255**2 / np.mean((image.astype(float) - reference.astype(float)) ** 2)))
