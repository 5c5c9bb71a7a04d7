"""``vheatir test``: an option file's sets, scored as ``vheatir benchmark`` scores them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("skimage", reason="metrics need scikit-image")
pytest.importorskip("msgspec", reason="option files need msgspec")

from benchmark_folders import COLOR, GRAY, write
from safetensors.torch import save_file
from training_options import TINY_NETWORK, TINY_PYRAMID, training_options, write_options

from vheatir.cli.main import main
from vheatir.evaluation.results import Result, read_results
from vheatir.nn import VHeatIR, VHeatPyramid, network_arguments
from vheatir.weights.file import save_weights

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gray images in ``gray`` and weights of TINY_NETWORK, not at their start, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "gray", GRAY)
    torch.manual_seed(0)
    network = VHeatIR(**network_arguments(TINY_NETWORK))
    torch.nn.init.normal_(network.conv_last.weight, std=0.05)
    save_weights(
        tmp_path / "w.safetensors",
        network,
        name="denoise-gray",
        ranges={"sigma": (0, 55)},
        training={},
        licence="CC0-1.0",
    )
    return tmp_path


def section(name: str = "gray", **changes: Any) -> dict[str, Any]:
    base = {"name": name, "type": "DegradedImageDataset", "dataroot_gt": "gray", "in_chans": 1}
    return base | {"degradation": {"type": "noise", "sigma": 25}} | changes


def scoring(
    *sections: dict[str, Any], weights: str = "w.safetensors", network: dict[str, Any] = TINY_NETWORK, **val: Any
) -> list[str]:
    """The words of the command, with an option file of these sections and keys of ``val``."""
    options = training_options(name="mine", path__pretrain_network_g=weights)
    options["network_g"] = network
    del options["train"], options["logger"]
    options["datasets"] = {f"test_{number}": one for number, one in enumerate(sections)}
    options["val"] = {
        "save_img": False,
        "suffix": None,
        "metrics": {"p": {"type": "calculate_psnr", "crop_border": 0}},
    } | val
    return ["test", "-opt", str(write_options(Path("o.yml"), options))]


def results(path: str = "results/mine/mine.json") -> dict[tuple[str, float, str], Result]:
    return {(one.set, one.level, one.method): one for one in read_results(Path(path))}


def refused(capsys: Captured, words: list[str]) -> str:
    assert main(words) == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")


def test_scores_are_those_of_the_benchmark(folder: Path, capsys: Captured) -> None:
    """The same images, protocol and metrics, to the last digit, and one table with a column a level."""
    metrics = {"p": {"type": "calculate_psnr", "crop_border": 2}, "s": {"type": "calculate_ssim", "crop_border": 2}}
    sections = [section(degradation={"type": "noise", "sigma": sigma}) for sigma in (15, 25)]
    assert main(scoring(*sections, metrics=metrics)) == 0
    printed = capsys.readouterr().out
    assert printed.count("###") == 1
    assert "| PSNR / SSIM | σ 15 | σ 25 |" in printed
    assert (folder / "results" / "mine" / "mine.md").read_text("utf-8") == printed
    words = ["--task", "denoise", "--sigma", "15", "25", "--sets", "gray", "--model", "mine=w.safetensors"]
    assert main(["benchmark", *words, "--border", "2", "--output", "out", "--quiet"]) == 0
    ours, theirs = results(), results("out/denoise.json")
    assert ours.keys() == theirs.keys() == {("gray", level, name) for level in (15, 25) for name in ("noisy", "mine")}
    for key, one in ours.items():
        assert one.images == theirs[key].images
        assert one.protocol == theirs[key].protocol
        assert (one.parameters, one.multiply_adds_per_pixel) == (
            theirs[key].parameters,
            theirs[key].multiply_adds_per_pixel,
        )
    assert ours["gray", 25, "mine"].means != ours["gray", 25, "noisy"].means


@pytest.mark.usefixtures("folder")
def test_a_known_set_is_checked(capsys: Captured) -> None:
    assert main(scoring(section("Set12"))) == 0
    assert "Set12: NOT THE KNOWN COPY" in capsys.readouterr().out


def test_lists_choose_images(folder: Path) -> None:
    (folder / "list.txt").write_text("gray/a.png\n")
    assert main(scoring(section(include_list="list.txt"))) == 0
    assert list(results()["gray", 25, "mine"].images) == ["a.png"]


def test_images_are_saved_where_asked(folder: Path) -> None:
    assert main(scoring(section(), save_img=True, suffix="new")) == 0
    saved = sorted((folder / "results" / "mine" / "gray" / "25").iterdir())
    assert [path.name for path in saved] == ["a_new.png", "b_new.png"]
    truth = cv2.imread("gray/a.png", cv2.IMREAD_GRAYSCALE)
    restored = cv2.imread(str(saved[0]), cv2.IMREAD_UNCHANGED)
    assert truth is not None
    assert restored is not None
    error = np.mean((restored.astype(float) - truth) ** 2)
    assert 10 * np.log10(255**2 / error) == pytest.approx(
        results()["gray", 25, "mine"].images["a.png"]["psnr"], abs=1e-9
    )


def test_averaged_weights_are_scored_unless_told_otherwise(folder: Path) -> None:
    network = VHeatIR(**network_arguments(TINY_NETWORK))  # at its start: the identity
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.nn.init.normal_(network.conv_last.weight, std=0.05)
    torch.save({"params": own, "params_ema": network.state_dict()}, folder / "c.pth")
    words = scoring(section(), weights="c.pth")
    assert main(words) == 0
    assert results()["gray", 25, "mine"].means != results()["gray", 25, "noisy"].means
    assert main([*words, "--force_yml", "path:param_key_g=params", "--output", "other"]) == 0
    other = results("other/mine.json")
    assert other["gray", 25, "mine"].means == other["gray", 25, "noisy"].means


@pytest.mark.parametrize("tell", ["all", "none"])
def test_networks_of_two_levels_are_told_what_the_file_says(folder: Path, tell: str) -> None:
    """A gray image goes through a colour network, and is scored as gray."""
    write(folder / "color", COLOR)
    network = {"type": "VHeatPyramid", "in_chans": 3, **TINY_PYRAMID}
    pyramid = VHeatPyramid(**network_arguments(network))
    torch.nn.init.normal_(pyramid.conv_last.weight, std=0.05)
    save_file(dict(pyramid.state_dict()), folder / "p.safetensors")
    told: dict[str, Any] = {"in_chans": 3, "tell": tell}
    jpeg: dict[str, Any] = {"degradation": {"type": "jpeg", "quality": 30}}
    sections = [section(**told, gray=True), section("color", dataroot_gt="color", **told, **jpeg)]
    assert main(scoring(*sections, weights="p.safetensors", network=network)) == 0
    found = {(one.set, one.task, one.channels) for one in results().values()}
    assert found == {("gray", "denoise", "gray"), ("color", "jpeg", "color")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"weights": "absent.pth"}, "The weights absent.pth do not exist: change pretrain_network_g."),
        (
            {
                "metrics": {
                    name: {"type": "calculate_psnr", "crop_border": border} for name, border in (("a", 0), ("b", 4))
                }
            },
            "val.metrics: give all metrics one crop_border and one test_y_channel.",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    folder: Path, capsys: Captured, words: dict[str, Any], message: str
) -> None:
    assert refused(capsys, scoring(section(), **words)) == message
    assert not (folder / "results" / "mine" / "mine.json").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("forced", "message"),
    [
        ("network_g:embed_dim=12", "w.safetensors holds the weights of another network than network_g describes"),
        ("path:strict_load_g=false", "path.strict_load_g is true for scores"),
        ("datasets:test_0:in_chans=3", "in_chans is 3 in dataset gray and 1 in network_g: make them equal"),
        ("datasets:test_0:crop=8", "Unknown key crop in the section datasets.test_0"),
        ("train=1", "Unknown key train in the option file: known are datasets, "),
        ("datasets:test_0:dataroot_gt=nowhere", "The image folder nowhere does not exist"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(capsys: Captured, forced: str, message: str) -> None:
    assert refused(capsys, [*scoring(section()), "--force_yml", forced]).startswith(message)
