"""Training without BasicSR, and its classes where it is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from training_options import needs_basicsr, training_options, write_image, write_options, write_photos

from vheatir.cli.main import main
from vheatir.training import basicsr
from vheatir.training.losses import CharbonnierLoss, L1Loss, MSELoss
from vheatir.training.options import OptionError, check_options
from vheatir.training.registry import build, find_metric
from vheatir.training.schedule import CosineAnnealingRestartLR, MultiStepRestartLR

# a torchvision whose compiled part belongs to another torch: loading it fails, as it does beside a CPU torch
FOREIGN_OPERATORS = """
import torch

load_library = torch.ops.load_library

def refuse(path):
    if "torchvision" in str(path):
        raise OSError("libcudart.so.13: cannot open shared object file")
    load_library(path)

torch.ops.load_library = refuse
"""

# as on a machine where neither BasicSR nor torchvision, which it brings, is installed
HIDDEN = """
import importlib.util, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("basicsr", "torchvision"):
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

sys.meta_path.insert(0, Hidden())
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("basicsr", "torchvision") else find_spec(name)
"""


def run(code: str, folder: Path, repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


# Without it


def test_training_does_without_it(tmp_path: Path, repository: Path) -> None:
    """From a plain option file: steps, validation, checkpoints, and going on."""
    write_photos(tmp_path / "photos", ("camera", "coffee"), side=40)
    options = training_options(val__save_img=True)
    options["val"]["metrics"]["ssim"] = {"type": "calculate_ssim", "crop_border": 2, "test_y_channel": False}
    write_options(tmp_path / "train.yml", options)
    code = """
    import vheatir.train
    assert vheatir.train.main(["-opt", "train.yml", "--force_yml", "train:total_iter=4"]) == 0
    assert vheatir.train.main(["-opt", "train.yml", "--auto_resume"]) == 0
    """
    done = run(HIDDEN + textwrap.dedent(code), tmp_path, repository)
    assert done.returncode == 0, done.stderr
    experiment = tmp_path / "experiments" / "tiny"
    assert {path.name for path in (experiment / "training_states").iterdir()} == {"4.state", "8.state"}
    assert {path.name for path in (experiment / "visualization" / "coffee").iterdir()} == {
        "coffee_4.png",
        "coffee_8.png",
    }
    assert "iter:       8" in done.stderr
    assert done.stderr.count("# ssim: ") == 2


@pytest.mark.parametrize(
    ("version", "message"),
    [((3, 12, 1), "after pip install 'vheatir[basicsr]'"), ((3, 14, 0), "python3.12 -m pip wheel --no-deps basicsr")],
)
def test_how_to_get_it_is_said_for_this_python(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], message: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "basicsr" else find(name))
    monkeypatch.setattr(basicsr, "sys", SimpleNamespace(version_info=version))
    with pytest.raises(OptionError) as caught:
        check_options(training_options(network_g={"type": "EDSR", "num_in_ch": 1}), is_train=True)
    assert str(caught.value).startswith("Unknown type EDSR in the section network_g: known are VHeatIR, VHeatPyramid. ")
    assert message in str(caught.value)
    with pytest.raises(OptionError) as caught:  # what it could not help with
        check_options(training_options(train__scheduler={"type": "LinearLR"}), is_train=True)
    assert "BasicSR" not in str(caught.value)


def test_package_and_training_do_not_import_it(repository: Path) -> None:
    code = """
    import sys
    import vheatir, vheatir.cli.main, vheatir.cli.restore, vheatir.inference.restorer
    wanted = {"basicsr", "torchvision", "skimage", "scipy"}
    print(*sorted(wanted & {name.split(".")[0] for name in sys.modules}))
    import vheatir.train, vheatir.training.loading, vheatir.training.pyramid_model
    print(*sorted({"basicsr", "torchvision"} & {name.split(".")[0] for name in sys.modules}))
    print(*sorted(name for name in sys.modules if name.startswith("vheatir.research")))
    """
    result = run(code, repository, repository)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "\n\n\n"


# With it


@needs_basicsr
def test_operators_of_another_torch(repository: Path) -> None:
    """Without help torchvision cannot be imported at all; with it, BasicSR can."""
    check = """
    try:
        import torchvision
    except RuntimeError as error:
        assert "operator torchvision::nms does not exist" in str(error), error
    else:
        raise SystemExit("torchvision imports as it is")

    from vheatir.training.basicsr import find_class
    print(find_class("network", "EDSR").__module__)
    """
    result = run(FOREIGN_OPERATORS + textwrap.dedent(check), repository, repository)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["basicsr.archs.edsr_arch"]


@needs_basicsr
def test_its_classes_are_found() -> None:
    assert basicsr.find_class("dataset", "PairedImageDataset").__module__ == "basicsr.data.paired_image_dataset"
    assert basicsr.find_class("loss", "WeightedTVLoss").__module__ == "basicsr.losses.basic_loss"
    assert basicsr.find_class("network", "Nonsense") is None
    assert basicsr.advice() == ""
    from torchvision.transforms import functional
    from torchvision.transforms.functional_tensor import rgb_to_grayscale

    assert rgb_to_grayscale is functional.rgb_to_grayscale


@needs_basicsr
def test_a_file_of_its_classes_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its network, dataset and metric; 6 steps equal 3 and 3."""
    monkeypatch.chdir(tmp_path)
    for folder in ("clean", "degraded"):
        (tmp_path / folder).mkdir()
        for name, image in (("a", data.chelsea()), ("b", data.coffee()), ("c", data.astronaut())):
            write_image(tmp_path / folder / f"{name}.png", image[:200, :200] // (1 + (folder == "degraded")))
    paired = {
        "type": "PairedImageDataset",
        "dataroot_gt": "clean",
        "dataroot_lq": "degraded",
        "io_backend": {"type": "disk"},
        "scale": 1,
    }
    training = {"gt_size": 16, "use_hflip": False, "use_rot": False, "batch_size_per_gpu": 2, "num_worker_per_gpu": 0}
    options = training_options(
        datasets__train={"name": "train"} | paired | training,
        datasets__val={"name": "val"} | paired,
        network_g={"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 1},
        train__pixel_opt={"type": "L1Loss"},
        train__scheduler={"type": "MultiStepLR", "milestones": [5]},
        train__total_iter=6,
        logger__save_checkpoint_freq=3,
        val__val_freq=3,
        val__metrics={"niqe": {"type": "calculate_niqe", "crop_border": 0, "better": "lower"}},
    )
    file = str(write_options(tmp_path / "o.yml", options))
    assert main(["train", "-opt", file, "--force_yml", "name=whole"]) == 0
    assert main(["train", "-opt", file, "--force_yml", "train:total_iter=3"]) == 0
    assert main(["train", "-opt", file, "--auto_resume"]) == 0
    whole, halves = (
        torch.load(tmp_path / "experiments" / name / "models" / "net_g_6.pth", weights_only=True)["params_ema"]
        for name in ("whole", "tiny")
    )
    assert all(torch.equal(halves[name], tensor) for name, tensor in whole.items())
    logs = "".join(path.read_text() for path in (tmp_path / "experiments" / "tiny").glob("*.log"))
    assert re.search(r"# niqe: [0-9.]+\tBest: [0-9.]+ @ 3 iter", logs)


@needs_basicsr
def test_its_classes_are_not_scored() -> None:
    options = training_options(path__pretrain_network_g="weights.pth", val={"save_img": False})
    options |= {"datasets": {"test": options["datasets"]["val"]}, "network_g": {"type": "EDSR"}}
    del options["train"], options["logger"]
    with pytest.raises(OptionError, match="EDSR is BasicSR's and cannot be scored: known are VHeatIR, "):
        check_options(options, is_train=False)


@needs_basicsr
def test_wrong_arguments_of_its_classes_are_one_sentence() -> None:
    with pytest.raises(OptionError, match=r"EDSR cannot be made from its section of the option file: .*num_blocks"):
        build("network", {"type": "EDSR", "num_in_ch": 1, "num_out_ch": 1, "num_blocks": 3})


@needs_basicsr
@pytest.mark.parametrize("options", [{}, {"crop_border": 3}, {"test_y_channel": True}], ids=str)
@pytest.mark.parametrize("name", ["calculate_psnr", "calculate_ssim"])
@pytest.mark.parametrize("gray", [False, True])
def test_our_metrics_are_its(name: str, options: dict[str, Any], gray: bool) -> None:
    rng = np.random.default_rng(0)
    truth = data.camera()[:40, :50] if gray else data.coffee()[:40, :50]
    restored = np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).round().astype(np.uint8)
    options = {"crop_border": 0} | options
    theirs = basicsr.find_class("metric", name)
    opencv = [image if gray else image[..., ::-1] for image in (restored, truth)]
    assert find_metric(name)(restored, truth, **options) == pytest.approx(theirs(*opencv, **options), abs=1e-4)


@needs_basicsr
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("ours", [L1Loss, MSELoss, CharbonnierLoss])
def test_our_losses_are_its(ours: type[L1Loss], reduction: str) -> None:
    theirs = basicsr.find_class("loss", ours.__name__)
    generator = torch.Generator().manual_seed(0)
    pred, target = (torch.rand(2, 3, 5, 7, generator=generator) for _ in range(2))
    for weight in (None, torch.rand(2, 1, 5, 7, generator=generator)):
        values = []
        for loss in (
            build("loss", {"type": ours.__name__, "loss_weight": 0.3, "reduction": reduction}),
            theirs(loss_weight=0.3, reduction=reduction),
        ):
            leaf = pred.clone().requires_grad_()
            value = loss(leaf, target, weight)
            values.append((value.detach(), *torch.autograd.grad(value, leaf)))
        for one, other in zip(*values, strict=True):
            torch.testing.assert_close(one, other)


@needs_basicsr
@pytest.mark.parametrize(
    ("ours", "options"),
    [
        (MultiStepRestartLR, {"milestones": [3, 5, 5, 11], "gamma": 0.5}),
        (MultiStepRestartLR, {"milestones": [2, 8], "restarts": [0, 6], "restart_weights": [1, 0.4]}),
        (CosineAnnealingRestartLR, {"periods": [4, 9], "restart_weights": [1, 0.5], "eta_min": 0.001}),
    ],
)
def test_our_schedules_are_its(ours: Any, options: dict[str, Any]) -> None:
    theirs = getattr(basicsr.import_module("basicsr.models.lr_scheduler"), ours.__name__)
    rates: list[list[float]] = []
    for kind in (ours, theirs):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        schedule = kind(optimizer, **options)
        rates.append([])
        for _ in range(13):
            rates[-1].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)
    assert len(set(rates[0])) > 2
