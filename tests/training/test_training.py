"""``vheatir train`` and ``vheatir test``, from option files to weights and scores."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from small_networks import VARIANTS
from torch import Tensor
from training_options import (
    TINY_NETWORK,
    TINY_PYRAMID,
    mixture_options,
    training_options,
    write_image,
    write_options,
    write_photos,
)

import vheatir
import vheatir.train
from vheatir.cli.main import main as command
from vheatir.data.dataset import DegradedImageDataset
from vheatir.data.sampler import EndlessSampler
from vheatir.evaluation.results import read_results
from vheatir.nn import VHeatIR, VHeatPyramid, network_arguments
from vheatir.system.interrupt import stop_on_signals
from vheatir.training import loading, loop
from vheatir.weights.file import read_header

# ends the process as a power cut would, right behind the training state of step 4
POWER_CUT = """
import os, sys
import vheatir.train
from vheatir.training.restoration_model import RestorationModel

save = RestorationModel.save_training_state

def save_and_die(model, current_iter):
    save(model, current_iter)
    os._exit(9)

RestorationModel.save_training_state = save_and_die
vheatir.train.main()
"""

# a process of several: one that hangs says where, and ends them all
ONE_OF_TWO = """
import faulthandler, sys
import vheatir.train

faulthandler.dump_traceback_later(240, exit=True)
sys.exit(vheatir.train.main())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photos to train in, the current one."""
    write_photos(tmp_path / "photos", ("camera", "coffee"), side=40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, repository: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def run_together(folder: Path, repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Train in two processes, as torchrun starts them."""
    (folder / "one_of_two.py").write_text(ONE_OF_TWO)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "one_of_two.py")
    return run(folder, repository, *launcher, *arguments, "--launcher", "pytorch")


def main(module: Any, *arguments: str) -> int:
    """Run a command line in this process."""
    code: int = module.main(arguments)
    return code


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Bitwise equality of nested states."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def logged_losses(experiment: Path) -> list[float]:
    (log,) = experiment.glob("train_*.log")
    return [float(loss) for loss in re.findall(r"l_pix: (\S+)", log.read_text())]


def logged_psnr(log: Path) -> float:
    return float(re.findall(r"# psnr: (\S+)", log.read_text())[-1])


# Whole trainings, in processes of their own


@pytest.mark.parametrize("on_device", [False, True], ids=["dataset", "on_device"])
def test_resuming_after_a_power_cut_changes_no_bit(folder: Path, repository: Path, on_device: bool) -> None:
    """8 steps equal 4 steps, an end without warning, ``--auto_resume``, and 4 steps."""
    for name in ("unbroken", "broken"):
        options = training_options(name=name, train__precision="bf16", train__grad_clip=0.5)
        options["datasets"]["train"]["on_device"] = on_device
        write_options(folder / f"{name}.yml", options)
    unbroken = run(folder, repository, "-m", "vheatir.train", "-opt", "unbroken.yml")
    assert unbroken.returncode == 0, unbroken.stderr
    assert run(folder, repository, "-c", POWER_CUT, "-opt", "broken.yml").returncode == 9
    states = folder / "experiments" / "broken" / "training_states"
    assert [path.name for path in states.iterdir()] == ["4.state"]
    resumed = run(folder, repository, "-m", "vheatir.train", "-opt", "broken.yml", "--auto_resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "Resuming training from iteration 4." in resumed.stderr

    experiments = folder / "experiments"
    weights = [load(experiments / name / "models" / "net_g_8.pth") for name in ("unbroken", "broken")]
    assert weights[0].keys() == {"params", "params_ema"}
    assert same(*weights)
    assert not same(weights[0]["params"], weights[0]["params_ema"])
    assert not same(weights[0], load(experiments / "unbroken" / "models" / "net_g_4.pth"))
    first, second = (load(experiments / name / "training_states" / "8.state") for name in ("unbroken", "broken"))
    assert same(first["optimizers"], second["optimizers"])
    assert same(first["random_state"], second["random_state"])
    assert first["schedulers"][0]["iteration"] == second["schedulers"][0]["iteration"] == 8
    rates = [group["lr"] for group in first["optimizers"][0]["param_groups"]]
    assert rates == pytest.approx([0.01 * (1 + np.cos(np.pi * 7 / 8)) / 2])
    losses = re.findall(r"iter: +(\d+),.*l_pix: (\S+)", unbroken.stderr)
    assert losses[4:] == re.findall(r"iter: +(\d+),.*l_pix: (\S+)", resumed.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_the_step_at_hand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Ctrl-C in the third of 8 steps, and ``--auto_resume``: no bit is different."""
    for name in ("unbroken", "broken"):
        write_options(folder / f"{name}.yml", training_options(name=name))
    assert main(vheatir.train, "-opt", "unbroken.yml") == 0
    step, before = loop.step, signal.getsignal(number)

    def interrupted(run: loop.Training) -> float:
        if run.iteration == 3:
            signal.raise_signal(number)
        return step(run)

    monkeypatch.setattr(loop, "step", interrupted)
    assert main(vheatir.train, "-opt", "broken.yml") == 128 + number
    assert signal.getsignal(number) is before
    experiment = folder / "experiments" / "broken"
    assert {path.name for path in experiment.rglob("*.*") if path.suffix in (".pth", ".state")} == {
        "net_g_3.pth",
        "3.state",
    }
    monkeypatch.setattr(loop, "step", step)
    assert main(vheatir.train, "-opt", "broken.yml", "--auto_resume") == 0
    weights = [load(folder / "experiments" / name / "models" / "net_g_8.pth") for name in ("unbroken", "broken")]
    assert same(*weights)


MIXERS = {name: options for name, options in VARIANTS.items() if "mixer" in options}


@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_every_mixer_trains_from_an_option_file(folder: Path, mixer: dict[str, Any]) -> None:
    """Every weight moves between steps 4 and 8, and the network built anew from the file takes them all."""
    options = training_options(network_g=TINY_NETWORK | {"depths": [2]} | mixer)  # the second block's windows shift
    write_options(folder / "tiny.yml", options)
    assert main(vheatir.train, "-opt", "tiny.yml") == 0
    half, whole = (load(folder / "experiments" / "tiny" / "models" / f"net_g_{step}.pth") for step in (4, 8))
    still = [name for name, value in whole["params"].items() if torch.equal(value, half["params"][name])]
    assert still == []
    network = VHeatIR(**network_arguments(options["network_g"]))
    network.load_state_dict(whole["params_ema"])


def test_a_mixture_trains_resumes_and_becomes_a_photo_model(folder: Path) -> None:
    """Every weight moves, the level estimator's among them; two halves are the whole; the export restores a photo."""
    options = mixture_options(
        train__total_iter=6,
        train__scheduler={"type": "WarmupCosine", "warmup_iter": 2, "floor": 1.0},  # the same for 3 steps as for 6
        logger__save_checkpoint_freq=3,
        datasets__train__gt_size=32,
    )
    path = str(write_options(folder / "whole.yml", options | {"name": "whole"}))
    assert main(vheatir.train, "-opt", path) == 0
    path = str(write_options(folder / "halves.yml", options | {"name": "halves"}))
    assert main(vheatir.train, "-opt", path, "--force_yml", "train:total_iter=3") == 0
    assert main(vheatir.train, "-opt", path, "--auto_resume") == 0
    whole, halves = (load(folder / "experiments" / name / "models" / "net_g_6.pth") for name in ("whole", "halves"))
    assert same(whole, halves)

    torch.manual_seed(0)  # as training seeds for manual_seed: 0
    start = VHeatPyramid(**TINY_PYRAMID).state_dict()
    assert [name for name, tensor in whole["params"].items() if torch.equal(tensor, start[name])] == []

    weights = folder / "photo.safetensors"
    checkpoint = folder / "experiments" / "whole" / "models" / "net_g_6.pth"
    assert command(["export", "-opt", path, str(checkpoint), str(weights)]) == 0
    header = read_header(weights)
    assert (header.name, header.ranges) == ("photo", {"sigma": (0.0, 55.0), "quality": (10.0, 95.0)})
    photo = data.astronaut()[:40, :56]
    restored = vheatir.restore(photo, task="photo", model=weights)
    assert restored.shape == photo.shape
    assert (restored != photo).any()


def test_a_second_ctrl_c_stops_at_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs behind it ignore Ctrl-C
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop
            assert stop.exit_code == 130
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_smoke_training_denoises(tmp_path: Path, repository: Path) -> None:
    """The smoke file on three photos: the loss falls, and a fourth photo gains 3 dB."""
    write_photos(tmp_path / "train", ("astronaut", "chelsea", "coffee"))
    write_photos(tmp_path / "val", ("camera",), side=128)
    forced = ["datasets:train:dataroot_gt=train", "datasets:val:dataroot_gt=val", "logger:print_freq=1"]
    smoke = str(repository / "options" / "train" / "smoke.yml")
    result = run(tmp_path, repository, "-m", "vheatir.train", "-opt", smoke, "--force_yml", *forced)
    assert result.returncode == 0, result.stderr
    losses = logged_losses(tmp_path / "experiments" / "smoke")
    assert len(losses) == 300
    assert np.mean(losses[-50:]) < 0.65 * np.mean(losses[:20])
    item = validation_item(tmp_path / "val")
    noisy = (item["lq"].clamp(0, 1) * 255).round().double()
    before = 10 * torch.log10(255**2 / (noisy - item["gt"] * 255).square().mean())
    (log,) = (tmp_path / "experiments" / "smoke").glob("train_*.log")
    assert logged_psnr(log) > float(before) + 3
    assert list((tmp_path / "tb_logger" / "smoke").glob("events.*"))


def validation_item(folder: Path) -> dict[str, Tensor]:
    options = {"name": "val", "phase": "val", "dataroot_gt": str(folder), "in_chans": 1}
    item: dict[str, Tensor] = DegradedImageDataset(options | {"degradation": {"type": "noise", "sigma": 25}})[0]
    return item


def test_two_processes_equal_one(folder: Path, repository: Path) -> None:
    """torchrun on the CPU: two batches of 2 are one batch of 4, and both processes go by one clock."""
    schedule = {"type": "WarmupCosine", "minutes": 10**7, "warmup_iter": 2}
    for name, batch in (("one", 4), ("two", 2)):
        options = training_options(
            name=name, datasets__train__batch_size_per_gpu=batch, train__total_iter=3, train__scheduler=schedule
        )
        write_options(folder / f"{name}.yml", options)
    one = run(folder, repository, "-m", "vheatir.train", "-opt", "one.yml")
    assert one.returncode == 0, one.stderr
    two = run_together(folder, repository, "-opt", "two.yml")
    if "Timeout (" in two.stderr:
        # one run of dozens hung, for a reason that was not found: a deadlock of every run hangs again
        two = run_together(folder, repository, "-opt", "two.yml")
    assert two.returncode == 0, two.stderr
    experiments = folder / "experiments"
    alone, together = (load(experiments / name / "models" / "net_g_3.pth") for name in ("one", "two"))
    for key in ("params", "params_ema"):
        for name, tensor in alone[key].items():
            torch.testing.assert_close(together[key][name], tensor, rtol=0, atol=1e-5)
    losses = [logged_losses(experiments / name) for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


# The same pipeline in this process


def test_a_budget_of_time_ends_the_training(folder: Path) -> None:
    """The step that uses the time up is saved and validated, and resuming finds nothing left to do."""
    options = training_options(train__total_iter=10**6, train__scheduler={"type": "WarmupCosine", "minutes": 1e-6})
    path = str(write_options(folder / "budget.yml", options))
    assert main(vheatir.train, "-opt", path) == 0
    experiment = folder / "experiments" / "tiny"
    assert sorted(file.name for file in (experiment / "models").iterdir()) == ["net_g_2.pth", "net_g_latest.pth"]
    assert same(load(experiment / "models" / "net_g_2.pth"), load(experiment / "models" / "net_g_latest.pth"))
    (log,) = experiment.glob("train_*.log")
    assert logged_psnr(log) > 10
    assert re.findall(r"eta: ([^,]*),", log.read_text())[-1] == "0:00:00"
    assert main(vheatir.train, "-opt", path, "--auto_resume") == 0
    assert sorted(file.name for file in (experiment / "models").iterdir()) == ["net_g_2.pth", "net_g_latest.pth"]


def test_the_last_step_is_saved_and_validated_once(folder: Path) -> None:
    path = str(write_options(folder / "o.yml", training_options(train__total_iter=5)))
    assert main(vheatir.train, "-opt", path) == 0
    experiment = folder / "experiments" / "tiny"
    states = sorted(file.name for file in (experiment / "training_states").iterdir())
    assert states == ["4.state", "5.state"]
    (log,) = experiment.glob("train_*.log")
    assert log.read_text().count("Validation validation") == 2


def test_a_new_training_sets_the_old_one_aside(folder: Path) -> None:
    path = str(write_options(folder / "o.yml", training_options(train__total_iter=1, logger__use_tb_logger=True)))
    for _ in range(2):
        assert main(vheatir.train, "-opt", path) == 0
    for parent in ("experiments", "tb_logger"):
        names = sorted(file.name for file in (folder / parent).iterdir())
        assert names[0] == "tiny"
        assert [name.startswith("tiny_archived_") for name in names] == [False, True]
        assert len(list((folder / "tb_logger" / "tiny").iterdir())) == 1


def test_other_schedules_resume(folder: Path) -> None:
    schedule = {"type": "MultiStepLR", "milestones": [2, 4], "gamma": 0.5}
    path = str(write_options(folder / "o.yml", training_options(train__scheduler=schedule)))
    assert main(vheatir.train, "-opt", path, "--force_yml", "name=whole") == 0
    assert main(vheatir.train, "-opt", path, "--force_yml", "train:total_iter=4") == 0
    assert main(vheatir.train, "-opt", path, "--auto_resume") == 0
    whole, resumed = (load(folder / "experiments" / name / "models" / "net_g_8.pth") for name in ("whole", "tiny"))
    assert same(whole, resumed)


def test_a_named_state_is_resumed(folder: Path) -> None:
    path = str(write_options(folder / "o.yml", training_options()))
    assert main(vheatir.train, "-opt", path) == 0
    experiment = folder / "experiments" / "tiny"
    before = load(experiment / "models" / "net_g_8.pth")
    (experiment / "models" / "net_g_8.pth").unlink()
    state = f"path:resume_state={experiment / 'training_states' / '4.state'}"
    assert main(vheatir.train, "-opt", path, "--force_yml", state) == 0
    assert same(load(experiment / "models" / "net_g_8.pth"), before)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({"dist": False, "world_size": 1, "rank": 0, "num_gpu": 0}, (15, 0, 1)),  # 5 steps of one batch of 3
        ({"dist": False, "world_size": 1, "rank": 0, "num_gpu": 2}, (30, 0, 1)),  # DataParallel: batches of 6
        ({"dist": True, "world_size": 4, "rank": 3, "num_gpu": 1}, (60, 3, 4)),
    ],
)
@pytest.mark.usefixtures("folder")
def test_resuming_continues_where_all_processes_stopped(
    monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    samplers: list[EndlessSampler] = []

    def build(*_: object, sampler: EndlessSampler, **__: object) -> list[object]:
        samplers.append(sampler)
        return []

    monkeypatch.setattr(loading, "DataLoader", build)
    options = training_options(datasets__train__phase="train", datasets__train__batch_size_per_gpu=3) | machine
    loading.training_batches(options, 5)
    (sampler,) = samplers
    assert (sampler.start, sampler.rank, sampler.world_size) == expected


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_scores_are_those_of_the_validation(folder: Path, suffix: str) -> None:
    """``vheatir test`` finds what training's last validation found, from a checkpoint as from shipped weights."""
    path = str(write_options(folder / "train.yml", training_options(train__optim_g__lr=0.05)))
    assert main(vheatir.train, "-opt", path) == 0
    (log,) = (folder / "experiments" / "tiny").glob("train_*.log")
    weights = folder / "experiments" / "tiny" / "models" / "net_g_8.pth"
    if suffix == "safetensors":
        weights = convert(weights, folder / "weights.safetensors")
    options = training_options(path__pretrain_network_g=str(weights))
    options["datasets"] = {"test": options["datasets"]["val"]}
    options["val"] = {"save_img": False, "metrics": options["val"]["metrics"]}
    del options["train"], options["logger"]
    assert command(["test", "-opt", str(write_options(folder / "test.yml", options))]) == 0
    scores = {result.method: result.means for result in read_results(folder / "results" / "tiny" / "tiny.json")}
    assert scores["tiny"]["psnr"] == pytest.approx(logged_psnr(log), abs=0.01 if suffix == "safetensors" else 1e-4)
    assert scores["tiny"]["psnr"] != pytest.approx(scores["noisy"]["psnr"], abs=0.01)


def convert(checkpoint: Path, path: Path) -> Path:
    from vheatir.weights.file import save_weights

    network = training_options()["network_g"]
    net = VHeatIR(**network_arguments(network))
    net.load_state_dict(load(checkpoint)["params_ema"])
    save_weights(path, net, name="denoise-gray", ranges={"sigma": (0, 55)}, training={}, licence="CC0-1.0")
    return path


# What goes wrong


def refused(capsys: pytest.CaptureFixture[str], module: Any, *arguments: str) -> str:
    """The one sentence on standard error of a command that exits with 2."""
    assert main(module, *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "INFO:" not in line]
    assert "Traceback" not in "".join(lines)
    return lines[-1].removeprefix("error: ")


def test_wrong_keys_are_refused_before_anything_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_options(folder / "o.yml", training_options(train__ema_decy=0.9)))
    message = "Unknown key ema_decy in the section train: did you mean ema_decay?"
    assert refused(capsys, vheatir.train, "-opt", path) == message
    path = str(write_options(folder / "o.yml", training_options()))
    assert refused(capsys, vheatir.train, "-opt", path, "--force_yml", "train:ema_decy=0.9") == message
    assert refused(capsys, vheatir.train, "-opt", "absent.yml") == "The option file absent.yml does not exist."
    assert not (folder / "experiments").exists()


@pytest.mark.parametrize("package", ["msgspec", "yaml", "skimage"])
def test_what_is_not_installed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    path = str(write_options(folder / "o.yml", training_options()))
    message = f"Training needs {package}: pip install 'vheatir[train]'."
    assert refused(capsys, vheatir.train, "-opt", path) == message


def test_a_missing_option_file_shows_the_usage() -> None:
    with pytest.raises(SystemExit) as caught:
        main(vheatir.train)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"datasets__train__dataroot_gt": "nowhere"},
            "The image folder nowhere does not exist: see datasets/README.md",
        ),
        (
            {"datasets__train__degradation__sigma": [0, 300]},
            "datasets.train.degradation.sigma is a list of 2 numbers from 0 to 255 for training,",
        ),
        ({"datasets__train__degradation__sigma": [30, 20]}, "sigma must satisfy 0 <= low <= high <= 255, not"),
        ({"network_g__in_chans": 2}, "in_chans is 1 (gray) or 3 (RGB), not 2."),
        ({"network_g__in_chans": 3}, "in_chans is 1 in datasets.train and 3 in network_g: make them equal, 1 (gray)"),
        ({"datasets__val__in_chans": 3}, "in_chans is 3 in datasets.val and 1 in network_g: make them equal, 1 (gray)"),
        ({"path__pretrain_network_g": "absent.pth"}, "The weights absent.pth do not exist: change pretrain_network_g."),
        (
            {"path__resume_state": "absent.state"},
            "The training state absent.state does not exist: change path.resume_state.",
        ),
        ({"num_gpu": 512}, "num_gpu is auto or a number up to "),
        ({"datasets__train__persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    message: str,
) -> None:
    path = str(write_options(folder / "o.yml", training_options(**change)))
    assert refused(capsys, vheatir.train, "-opt", path).startswith(message)


@pytest.mark.parametrize("cache", [True, False])
def test_a_broken_training_image_is_named(folder: Path, capsys: pytest.CaptureFixture[str], cache: bool) -> None:
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8 not much of a JPEG")
    path = str(write_options(folder / "o.yml", training_options(datasets__train__cache=cache)))
    message = "photos/broken.jpg cannot be decoded: replace or remove it (vheatir prepare lists such files)."
    assert refused(capsys, vheatir.train, "-opt", path) == message


@pytest.mark.parametrize("damage", ["empty", "cut", "zeros", "other", "no weights", "cut weights"])
def test_a_broken_training_state_gives_way_to_the_one_before(folder: Path, damage: str) -> None:
    path = str(write_options(folder / "o.yml", training_options()))
    assert main(vheatir.train, "-opt", path) == 0
    experiment = folder / "experiments" / "tiny"
    newest, weights = experiment / "training_states" / "8.state", experiment / "models" / "net_g_8.pth"
    (experiment / "training_states" / "backup.state").write_bytes(b"whatever lies there too")
    before, whole = load(weights), newest.read_bytes()
    if damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-500])
    elif damage == "other":
        torch.save({"iter": 8}, newest)
    else:
        newest.write_bytes({"empty": b"", "cut": whole[:-500], "zeros": bytes(len(whole))}[damage])
    assert main(vheatir.train, "-opt", path, "--auto_resume") == 0
    assert same(load(weights), before)  # step 5 to 8 again
    log = max(experiment.glob("train_*.log"), key=lambda file: file.stat().st_mtime).read_text()
    assert f"training state {newest}" in log
    assert "The state before it is taken." in log
    assert "Resuming training from iteration 4" in log


def test_only_broken_training_states_are_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_options(folder / "o.yml", training_options()))
    states = folder / "experiments" / "tiny" / "training_states"
    states.mkdir(parents=True)
    for name in ("4", "8"):
        (states / f"{name}.state").write_bytes(b"no state")
    told = refused(capsys, vheatir.train, "-opt", path, "--auto_resume")
    assert told.startswith(f"The training state {states / '8.state'} is damaged and cannot be read. None before it")
    named = ("--force_yml", f"path:resume_state={states / '4.state'}")
    told = refused(capsys, vheatir.train, "-opt", path, *named)
    assert told == f"The training state {states / '4.state'} is damaged and cannot be read."


@pytest.mark.parametrize(
    "schedule", [{"type": "WarmupCosine", "warmup_iter": 2}, {"type": "MultiStepLR", "milestones": [6], "gamma": 0.5}]
)
def test_options_changed_before_resuming_count_and_are_told(folder: Path, schedule: dict[str, Any]) -> None:
    """A training that begins with the new options has the same rates from the step of resuming on."""
    optimizer = {"type": "AdamW", "lr": 0.01, "weight_decay": 0.1}
    path = str(write_options(folder / "o.yml", training_options(train__scheduler=schedule, train__optim_g=optimizer)))
    changed: tuple[str, ...] = ("--force_yml", "train:optim_g:lr=0.002", "train:optim_g:weight_decay=0.3")
    if schedule["type"] == "MultiStepLR":
        changed += ("train:scheduler:gamma=0.1",)
    assert main(vheatir.train, "-opt", path, *changed, "name=whole") == 0
    assert main(vheatir.train, "-opt", path, "--force_yml", "train:total_iter=4") == 0
    assert main(vheatir.train, "-opt", path, *changed, "--auto_resume") == 0
    states = [load(folder / "experiments" / name / "training_states" / "8.state") for name in ("whole", "tiny")]
    whole, resumed = (state["optimizers"][0]["param_groups"][0] for state in states)
    assert resumed["lr"] == pytest.approx(whole["lr"], rel=1e-12)
    assert (resumed["initial_lr"], resumed["weight_decay"]) == (0.002, 0.3)
    experiment = folder / "experiments" / "tiny"
    log = max(experiment.glob("train_*.log"), key=lambda file: file.stat().st_mtime).read_text()
    assert "Changed since the training state was saved: lr is 0.002, no longer 0.01." in log
    assert "weight_decay is 0.3, no longer 0.1." in log
    if schedule["type"] == "MultiStepLR":
        assert "gamma is 0.1, no longer 0.5." in log


def test_a_broken_validation_image_is_named_and_the_step_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is read after the first steps: what they learned is on disk by then."""
    (folder / "val").mkdir()
    write_image(folder / "val" / "a.png", data.camera()[:20, :20])
    (folder / "val" / "b.png").write_bytes(b"")
    path = str(write_options(folder / "o.yml", training_options(datasets__val__dataroot_gt="val")))
    message = "val/b.png cannot be decoded: replace or remove it (vheatir prepare lists such files)."
    assert refused(capsys, vheatir.train, "-opt", path) == message
    assert (folder / "experiments" / "tiny" / "training_states" / "4.state").is_file()
