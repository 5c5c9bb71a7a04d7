"""The trainings for a GPU, ``options/train/gpu_*.yml``: everything but the GPU and the size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_options import write_photos

import vheatir.train
from vheatir.data.prepare.archive_writer import pack_images
from vheatir.data.sources import find_images

FILES = sorted((Path(__file__).parents[2] / "options" / "train").glob("gpu_*.yml"))
NETWORK = ["network_g:embed_dim=32", "network_g:depths=[1]"]
PYRAMID = ["network_g:widths=[32, 32, 32]", "network_g:depths=[1, 1, 1, 1, 1]", "path:pretrain_network_g=None"]
TINY = ["datasets:train:gt_size=24", "datasets:train:num_worker_per_gpu=0", "datasets:train:persistent_workers=false"]
FEW = [
    "num_gpu=0",
    "train:compile=false",
    "datasets:train:batch_size_per_gpu=4",
    "logger:print_freq=1",
    "logger:save_checkpoint_minutes=0",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an archive of two photographs, one of them to validate, where the option files expect it."""
    write_photos(tmp_path / "photos", ("chelsea", "coffee"), side=288)
    named = [(f"photos/{path.name}", path) for path in find_images(tmp_path / "photos")]
    splits = tmp_path / "datasets" / "splits"
    splits.mkdir(parents=True)
    (splits / "validation.txt").write_text("photos/coffee.png\n")
    archive = tmp_path / "datasets" / "packed.tar"
    pack_images(named, archive, validation={"photos/coffee.png"}, max_bytes=10**6, halve_above=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(file: Path, *arguments: str, total: int) -> int:
    network = PYRAMID if "photo" in file.stem else NETWORK
    forced = ["--force_yml", *network, *TINY, *FEW, f"train:total_iter={total}"]
    return vheatir.train.main(["-opt", str(file), *arguments, *forced])


def test_there_are_files_for_every_network() -> None:
    assert {path.stem.split("_")[1] for path in FILES} == {"fast", "light", "paper", "photo"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_trains_saves_by_the_clock_and_resumes(folder: Path, file: Path) -> None:
    """Tiny and on a CPU; the clock of the schedule goes on where it stopped."""
    assert train(file, total=2) == 0
    experiment = folder / "experiments" / file.stem
    first = torch.load(experiment / "training_states" / "1.state", weights_only=True)
    second = torch.load(experiment / "training_states" / "2.state", weights_only=True)
    elapsed = [state["schedulers"][0]["elapsed"] for state in (first, second)]
    assert 0 < elapsed[0] < elapsed[1]
    assert train(file, "--auto_resume", total=3) == 0
    third = torch.load(experiment / "training_states" / "3.state", weights_only=True)
    assert third["iter"] == 3
    assert third["schedulers"][0]["elapsed"] > elapsed[1]
    weights = [torch.load(experiment / "models" / f"net_g_{step}.pth", weights_only=True)["params"] for step in (2, 3)]
    assert weights[0].keys() == weights[1].keys()
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    logs = "".join(path.read_text() for path in experiment.glob("train_*.log"))
    assert "1 training images in train." in logs
    assert "# psnr:" in logs
