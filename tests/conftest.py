from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DATA_VARIABLE = "VHEATIR_DATA"

# Read by torch when it is first imported, here and in every process the tests start: small tensors gain
# nothing from many threads, and a shared machine loses by them.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(4, os.cpu_count() or 1)
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of benchmark and training images; tests that need it are skipped where there is none."""
    named = os.environ.get(DATA_VARIABLE)
    if named is not None:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"{DATA_VARIABLE} names {folder}, which is not a folder: mend or unset it.", pytrace=False)
        return folder
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no benchmark images here: set {DATA_VARIABLE} to the folder that holds them")
    return folder


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny weights in place of the bundled ones: gray models brighten by 0.1, colour ones darken by 0.1."""
    # imported here: torch must not be before the number of threads is set
    from tiny_weights import save_all_tasks

    import vheatir.weights.file

    folder = save_all_tasks(tmp_path / "weights")
    monkeypatch.setattr(vheatir.weights.file, "BUNDLED_WEIGHTS", folder)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty folder for inputs."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for results, not made yet."""
    return tmp_path / "out"
