"""``python -m vheatir.research.pretrain``: a quarter in, the whole image out; weights that a training starts from."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from training_options import (
    TINY_NETWORK,
    change_options,
    training_options,
    write_options,
    write_photos,
)

from vheatir.cli.main import main
from vheatir.nn import VHeatIR, network_arguments
from vheatir.research.pretrain.model import QBHeatModel, center_crop, masked_psnr, pixel_weights
from vheatir.research.pretrain.network import QBHeat, to_top_left
from vheatir.training.options import OptionError, check_options, check_pretraining_options, read_options

BACKBONE = network_arguments(TINY_NETWORK)


def pretraining_options(**changes: Any) -> dict[str, Any]:
    """Options of a pretraining of 8 steps; changes as for ``training_options``."""
    options = training_options()
    options |= {"name": "pretrained", "model_type": "QBHeatModel"}
    options["pretrain"] = {"sources": ["nearest"], "decoder_depth": 1, "visible_weight": 1.0}
    options["datasets"]["train"]["degradation"] = {"type": "noise", "sigma": [0, 0]}
    options["datasets"]["val"]["degradation"] = {"type": "noise", "sigma": 0}
    options["path"] = {"pretrain_network_g": None, "resume_state": None}
    options["train"]["pixel_opt"] = {"type": "MSELoss"}
    options["val"] = {"val_freq": 4, "save_img": False, "crop": 16}
    return change_options(options, changes)


def network(**changes: Any) -> QBHeat:
    arguments: dict[str, Any] = {"backbone": BACKBONE, "sources": ["mirrored"], "decoder_depth": 1} | changes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return QBHeat(**arguments)


def images(side: int = 16, size: int = 2) -> Tensor:
    return torch.rand(size, 1, side, side, generator=torch.Generator().manual_seed(1))


def quarter(image: Tensor, corner: int) -> Tensor:
    """A view of the corner's quarter."""
    height, width = image.shape[-2] // 2, image.shape[-1] // 2
    rows = slice(0, height) if corner in (0, 1) else slice(height, None)
    return image[..., rows, slice(0, width) if corner in (0, 2) else slice(width, None)]


# The network


@pytest.mark.parametrize("corner", range(4))
def test_only_the_quarter_is_seen(corner: int) -> None:
    net, image, level = network(), images(), torch.zeros(2)
    with torch.no_grad():
        expected = net(image, level, corner)
        other = torch.zeros_like(image)
        quarter(other, corner).copy_(quarter(image, corner))
        assert torch.equal(net(other, level, corner), expected)
        quarter(other, corner)[..., 3, 2] += 0.5
        change = (net(other, level, corner) - expected).abs()
    for part in range(4):
        assert quarter(change, part).max() > 1e-6  # and every quarter is made from it


@pytest.mark.parametrize("corner", range(4))
def test_corners_are_flips(corner: int) -> None:
    net, image, level = network(), images(), torch.zeros(2)
    flipped = to_top_left(image, corner)
    assert torch.equal(quarter(flipped, 0), to_top_left(quarter(image, corner), corner))
    with torch.no_grad():
        expected = to_top_left(net(flipped, level, 0), corner)
        assert torch.equal(net(image, level, corner), expected)


def test_features_are_what_the_last_convolution_reads() -> None:
    net = VHeatIR(**(BACKBONE | {"downscale": 3, "img_range": 2.0}))
    torch.nn.init.normal_(net.conv_last.weight)
    seen: list[Tensor] = []
    net.conv_last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    image, level = torch.rand(1, 1, 16, 20), torch.full((1,), 0.1)
    net(image, level)
    assert torch.equal(net.features(image, level), seen[0])
    assert seen[0].shape == (1, 8, 6, 7)


def test_everything_but_the_last_convolution_learns() -> None:
    net = network(decoder_depth=2, sources=["nearest", "mirrored", "corresponding"])
    net(images(), torch.full((2,), 0.1), 3).square().mean().backward()
    idle = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert idle == {"backbone.conv_last.weight", "backbone.conv_last.bias"}
    for name, parameter in net.named_parameters():
        assert parameter.grad is None or parameter.grad.abs().max() > 0, name


def test_the_loss_falls() -> None:
    """Smooth images, of which a corner tells the rest: much better than their mean in 120 steps."""
    x = torch.linspace(0, 1, 16)
    slopes = torch.rand(6, 2, 1, 1, generator=torch.Generator().manual_seed(2)) - 0.5
    image = 0.5 + slopes[:, :1] * (x - 0.5) + slopes[:, 1:] * (x[:, None] - 0.5)
    net = network(sources=["nearest"])
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for step in range(120):
        optimizer.zero_grad()
        loss = (net(image, torch.zeros(6), step % 4) - image).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert max(losses[-4:]) < 0.2 * min(losses[:4])
    assert max(losses[-4:]) < 0.5 * float(image.var())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ["near"]}, "sources is a list of nearest, mirrored, corresponding, not"),
        ({"decoder_depth": -1}, "decoder_depth is 0 or more, not -1."),
    ],
)
def test_wrong_arguments(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        network(**change)


def test_sides_that_cannot_be_quartered() -> None:
    with pytest.raises(ValueError, match="The sides of the image are multiples of 4, not 16 and 18"):
        network()(torch.zeros(1, 1, 16, 18), torch.zeros(1), 0)


# What training and validation count


@pytest.mark.parametrize("corner", range(4))
def test_weights_and_psnr_of_the_hidden_pixels(corner: int) -> None:
    truth = images(8)
    expected = torch.ones(2, 1, 8, 8)
    quarter(expected, corner).fill_(0.25)
    assert torch.equal(pixel_weights(truth, corner, visible=0.25), expected)

    truth = truth * 0.5
    rebuilt = truth.mul(255).round() / 255 + 2 / 255
    quarter(rebuilt, corner).fill_(7.0)  # does not count
    assert masked_psnr(rebuilt[0], truth[0], corner) == pytest.approx(20 * np.log10(255 / 2), abs=1e-9)


def test_crops() -> None:
    image = torch.arange(10 * 13).reshape(1, 10, 13)
    assert torch.equal(center_crop(image, None, 4), image[:, 1:9, :12])
    assert torch.equal(center_crop(image, 6, 2), image[:, 2:8, 3:9])
    assert torch.equal(center_crop(image, 100, 1), image)


def model_options(root: Path, **changes: Any) -> dict[str, Any]:
    options = pretraining_options(**changes) | {"dist": False, "rank": 0, "world_size": 1}
    for folder in ("models", "training_states", "visualization"):
        options["path"][folder] = str(root / folder)
        (root / folder).mkdir(exist_ok=True)
    options["path"]["experiments_root"] = str(root)
    return options


def batch() -> dict[str, Any]:
    return {"lq": images(), "gt": images(), "level": torch.zeros(2)}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_loss_is_the_weighted_mean(tmp_path: Path, accumulate: int) -> None:
    """Step 6 shows corner 2; a quarter of weight 3 and three of weight 1: divided by 6 quarters."""
    model: Any = QBHeatModel(model_options(tmp_path, pretrain__visible_weight=3.0, train__accumulate=accumulate))
    with torch.no_grad():
        error = (model.net_g(images(), torch.zeros(2), 2) - images()).square()
    model.feed_data(batch())
    model.optimize_parameters(6)
    parts = [float(quarter(error, corner).mean()) * (3 if corner == 2 else 1) for corner in range(4)]
    assert model.log_dict["l_pix"] == pytest.approx(sum(parts) / 6, rel=1e-5)


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photos to train in, the current one."""
    write_photos(tmp_path / "photos", ("camera", "coffee"), side=40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pretrain(*arguments: str) -> int:
    return main(["pretrain", *arguments])


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def read_gray(path: Path) -> NDArray[Any]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


def test_from_photos_to_fine_tuning(folder: Path) -> None:
    """Pretraining in bfloat16; then a restoration starts from its weights, strictly, as the identity."""
    options = pretraining_options(train__precision="bf16", val__save_img=True)
    assert pretrain("-opt", str(write_options(folder / "pretrain.yml", options))) == 0
    experiment = folder / "experiments" / "pretrained"
    checkpoint = load(experiment / "models" / "net_g_latest.pth")
    assert checkpoint.keys() == {"params", "params_ema", "head", "head_ema"}

    fresh = VHeatIR(**BACKBONE).state_dict()
    assert checkpoint["params"].keys() == checkpoint["params_ema"].keys() == fresh.keys()
    assert not checkpoint["params"]["conv_last.weight"].any()
    assert not torch.equal(
        checkpoint["params"]["conv_first.weight"],
        load(experiment / "models" / "net_g_4.pth")["params"]["conv_first.weight"],
    )

    (log,) = experiment.glob("train_*.log")
    scores = re.findall(r"masked_psnr: (\S+) \(mean of the visible quarter: (\S+)\)", log.read_text())
    assert len(scores) == 2
    assert all(5 < float(score) < 40 for pair in scores for score in pair)
    assert scores[0][1] == scores[1][1]  # what the photos hold
    assert scores[0][0] != scores[1][0]

    report = json.loads((experiment / "heat_equation.json").read_text())
    assert f"S = -A²(B²)^-1: norm {report['S']['norm']:.3g}" in log.read_text()
    assert len(report["S"]["eigenvalues"]) == 8
    assert report["commutator"] < 1e-5

    pictures = experiment / "visualization" / "camera"
    assert sorted(path.name for path in pictures.iterdir()) == ["camera_4.png", "camera_8.png"]
    seen, rebuilt, truth = np.split(read_gray(pictures / "camera_8.png"), 3, axis=1)
    photo = read_gray(folder / "photos" / "camera.png")[12:28, 12:28]
    np.testing.assert_array_equal(truth, photo)
    np.testing.assert_array_equal(seen[:8, :8], photo[:8, :8])
    assert (seen[8:] == 128).all()
    assert (seen[:, 8:] == 128).all()
    assert (rebuilt != photo).any()
    options = training_options(
        name="tuned",
        path__pretrain_network_g=str(experiment / "models" / "net_g_latest.pth"),
        path__strict_load_g=True,
        train__total_iter=2,
        train__optim_g__lr=0.0,
        val__val_freq=2,
    )
    assert main(["train", "-opt", str(write_options(folder / "tune.yml", options))]) == 0
    tuned = load(folder / "experiments" / "tuned" / "models" / "net_g_latest.pth")
    assert all(torch.equal(tuned["params"][name], tensor) for name, tensor in checkpoint["params"].items())


def test_resuming_changes_no_bit(folder: Path) -> None:
    """8 steps equal 4, ``--auto_resume`` and 4: the head goes on as well."""
    path = str(
        write_options(
            folder / "o.yml", pretraining_options(train__scheduler={"type": "MultiStepLR", "milestones": [6]})
        )
    )
    assert pretrain("-opt", path, "--force_yml", "name=whole") == 0
    assert pretrain("-opt", path, "--force_yml", "train:total_iter=4") == 0
    assert pretrain("-opt", path, "--auto_resume") == 0
    whole, resumed = (
        load(folder / "experiments" / name / "models" / "net_g_8.pth") for name in ("whole", "pretrained")
    )
    for key, tensors in whole.items():
        assert all(torch.equal(resumed[key][name], tensor) for name, tensor in tensors.items())


def test_starting_from_a_backbone_alone(tmp_path: Path) -> None:
    """Network and average begin with one and the same random head."""
    backbone = VHeatIR(**BACKBONE).state_dict()
    torch.save({"params": backbone}, tmp_path / "plain.pth")
    model: Any = QBHeatModel(model_options(tmp_path, path__pretrain_network_g=str(tmp_path / "plain.pth")))
    averaged = model.net_g_ema.state_dict()
    for name, tensor in model.net_g.state_dict().items():
        assert torch.equal(averaged[name], tensor)
        if name.startswith("backbone."):
            assert torch.equal(tensor, backbone[name.removeprefix("backbone.")])


def test_a_head_of_another_kind_is_named(tmp_path: Path) -> None:
    QBHeatModel(model_options(tmp_path)).save(1)
    path = str(tmp_path / "models" / "net_g_1.pth")
    with pytest.raises(ValueError, match=r"net_g_1\.pth was pretrained with another decoder_depth: change one of them"):
        QBHeatModel(model_options(tmp_path, path__pretrain_network_g=path, pretrain__decoder_depth=2))


# Options


def test_the_option_file_is_that_of_the_fine_tuning(repository: Path) -> None:
    options = read_options(repository / "options" / "pretrain" / "qbheat_fast.yml")
    check_pretraining_options(options)
    for task in ("denoise", "jpeg"):
        tuned = read_options(repository / "options" / "train" / f"fast_{task}_gray.yml")
        assert options["network_g"] == tuned["network_g"]
        for phase in ("train", "val"):
            roots = {key: value for key, value in options["datasets"][phase].items() if key.endswith(("_list", "_gt"))}
            assert roots.items() <= tuned["datasets"][phase].items()


@pytest.mark.parametrize(
    ("place", "wrong", "right"),
    [
        ("", "pretrian", "pretrain"),
        ("pretrain", "source", "sources"),
        ("pretrain", "decoder_dept", "decoder_depth"),
        ("val", "corp", "crop"),
        ("path", "pretrain_network", "pretrain_network_g"),
        ("network_g", "embed_dims", "embed_dim"),
        ("train", "ema_decy", "ema_decay"),
    ],
)
def test_unknown_keys(place: str, wrong: str, right: str) -> None:
    options = pretraining_options()
    (options[place] if place else options)[wrong] = 1
    where = f"the section {place}" if place else "the option file"
    with pytest.raises(OptionError, match=f"Unknown key {wrong} in {where}: did you mean {right}?"):
        check_pretraining_options(options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"datasets__train__gt_size": 18},
            "datasets.train.gt_size is a multiple of 4, twice network_g.downscale, not 18.",
        ),
        ({"network_g": TINY_NETWORK | {"downscale": 3}}, "datasets.train.gt_size is a multiple of 6, twice network_g"),
        ({"val__crop": 10}, "val.crop is a multiple of 4, twice network_g.downscale, not 10."),
        ({"model_type": "RestorationModel"}, "model_type is QBHeatModel, not RestorationModel."),
    ],
)
def test_wrong_values(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        check_pretraining_options(pretraining_options(**change))


def test_each_command_refuses_the_files_of_the_other() -> None:
    check_pretraining_options(copy.deepcopy(pretraining_options()))
    with pytest.raises(OptionError, match="Unknown key pretrain in the option file"):
        check_options(pretraining_options(), is_train=True)
    with pytest.raises(OptionError, match="Missing key pretrain in the option file"):
        check_pretraining_options(training_options())


def test_wrong_options_end_in_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for change, message in (
        (
            {"pretrain__sources": ["near"]},
            "pretrain.sources is a list of corresponding, mirrored or nearest, not ['near'].",
        ),
        ({"path__pretrain_network_g": "absent.pth"}, "The weights absent.pth do not exist: change pretrain_network_g."),
    ):
        path = str(write_options(folder / "o.yml", pretraining_options(**change)))
        assert pretrain("-opt", path) == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"
