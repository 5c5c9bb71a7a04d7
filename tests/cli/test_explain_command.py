"""The command that explains: files, what is drawn in them, and errors in one sentence."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny_weights import tiny_network
from torch import Tensor, nn

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

from matplotlib.figure import Figure

from vheatir.cli.main import main
from vheatir.inference.network import RestorationNetwork
from vheatir.nn.heat import HeatConduction2d
from vheatir.research.explain.draw import draw_block, draw_network, set_apart
from vheatir.research.explain.explanation import explain, summary
from vheatir.research.explain.sheet import write_html, write_png
from vheatir.weights.file import WeightsHeader

pytestmark = pytest.mark.usefixtures("bundled")

Captured = pytest.CaptureFixture[str]
FAST = ("--samples", "1", "--size", "24", "--device", "cpu")


class PassBy(nn.Module):
    """A mixer that mixes nothing, in place of heat."""

    def forward(self, u: Tensor, embedding: Tensor, level: Tensor | None = None) -> Tensor:
        """u as it is."""
        return u


@pytest.fixture
def gray(source: Path) -> Path:
    return put(source / "noisy.png", 40, 36)


def put(path: Path, *shape: int) -> Path:
    pixels = np.random.default_rng(0).integers(60, 180, shape, dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def run(image: Path, output: Path, *options: str) -> int:
    return main(["explain", str(image), str(output), *FAST, *options])


def gray_model(mixer: nn.Module | None = None) -> RestorationNetwork:
    network = tiny_network(1)
    if mixer is not None:
        (name,) = (name for name, module in network.named_modules() if isinstance(module, HeatConduction2d))
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, mixer)
    header = WeightsHeader("denoise-gray", {"sigma": (0.0, 55.0)}, "VHeatIR", {"in_chans": 1}, {}, "CC0-1.0")
    return RestorationNetwork(network, header).eval().requires_grad_(False)


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))


# ---------------------------------------------------------------------------------------------- what comes out


def test_a_png_sheet_and_its_numbers(gray: Path, output: Path, capsys: Captured) -> None:
    assert run(gray, output, "--model", "denoise-gray", "--sigma", "25", "--pixel", "3", "30") == 0
    sheet, numbers = output / "noisy_denoise-gray.png", output / "noisy_denoise-gray.json"
    assert capsys.readouterr().out.split() == [str(sheet), str(numbers)]
    assert sorted(output.iterdir()) == sorted([sheet, numbers])  # and no temporary file
    drawn = cv2.imread(str(sheet))
    assert drawn is not None
    assert drawn.shape[1] == 1800
    facts = json.loads(numbers.read_text(encoding="utf-8"))
    assert (facts["model"], facts["image"]) == ("denoise-gray", "noisy.png")
    assert (facts["sigma"], facts["level_found"]) == (25.0, "given")
    assert facts["pixel"] == {"x": 3, "y": 30}
    assert [spread["block"] for spread in facts["spread"]] == ["group 1, block 1", "restored image"]
    assert len(facts["blocks"][0]["channels"]) == 8
    assert [entry["level"] for entry in facts["receptive_field"]["by_level"]] == [0.0, 14.0, 28.0, 41.0, 55.0]


def test_an_html_sheet_stands_alone(gray: Path, output: Path) -> None:
    assert run(gray, output, "--model", "denoise-gray", "--format", "html") == 0
    page = (output / "noisy_denoise-gray.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 2
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert re.search(r"σ [\d.]+ \(estimated", page)
    facts = json.loads((output / "noisy_denoise-gray.json").read_text(encoding="utf-8"))
    lengths = [f"<td>{channel['diffusion_length_image_px']:.1f}</td>" for channel in facts["blocks"][0]["channels"]]
    assert "".join(lengths) in page
    assert facts["level_found"].startswith("estimated")


def test_a_weights_file_and_a_colour_jpeg(bundled: Path, source: Path, output: Path) -> None:
    photo = source / "photo.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    assert cv2.imwrite(str(photo), pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])
    assert run(photo, output, "--model", str(bundled / "jpeg-color.safetensors"), "--quiet") == 0
    facts = json.loads((output / "photo_jpeg-color.json").read_text(encoding="utf-8"))
    assert (facts["quality"], facts["level_found"]) == (40, "read from the file")


@pytest.mark.parametrize("shape", [(1, 1), (5, 3)])
def test_tiny_images(source: Path, output: Path, shape: tuple[int, int]) -> None:
    assert run(put(source / "tiny.png", *shape), output, "--model", "denoise-gray", "--sigma", "25") == 0


def test_a_network_without_heat_shows_the_rest(tmp_path: Path) -> None:
    explanation = explain(gray_model(PassBy()), image(24, 24), 25.0, samples=1)
    assert explanation.conductions == []
    write_png(tmp_path / "a.png", explanation, "no heat")
    write_html(tmp_path / "a.html", explanation, "no heat")
    assert "group 1, block 1" in (tmp_path / "a.html").read_text(encoding="utf-8")
    facts: Any = summary(explanation)
    assert facts["blocks"] == []
    assert len(facts["spread"]) == 2


def test_an_untrained_network_is_the_identity() -> None:
    model = gray_model()
    nn.init.zeros_(model.network.get_parameter("conv_last.weight"))
    explanation = explain(model, image(24, 24), 25.0, samples=1)
    assert explanation.natural.radii == (0.0, 0.0, 0.0)
    assert explanation.spreads[-1].radii == (0.0, 0.0, 0.0)


# ---------------------------------------------------------------------------------------------- what is drawn


def test_every_panel_names_its_units() -> None:
    explanation = explain(gray_model(), image(40, 36), 25.0, size=24, samples=1)
    figure = Figure()
    draw_block(figure, explanation, explanation.conductions[0], explanation.spreads[0])
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert len(labels) == 7 + 5  # panels and colour bars
    assert all(any("px" in label or label for label in pair) for pair in labels)
    text = " ".join(label for pair in labels for label in pair)
    for unit in ("cycles / feature px", "k (feature px²)", "1 = 2 image px", "share of the heat", "gain g", "image px"):
        assert unit in text


def test_the_curves_are_the_measured_ones() -> None:
    explanation = explain(gray_model(), image(40, 36), 25.0, size=24, samples=1)
    figure = Figure()
    draw_block(figure, explanation, explanation.conductions[0], explanation.spreads[0])
    nodes = explanation.conductions[0].nodes
    starts = sorted(float(np.asarray(line.get_ydata())[0]) for line in figure.axes[0].get_lines())
    # the channels that reach least, middle and farthest, along x and along y
    expected = sorted(float(nodes[0, 0, channel]) for channel in (0, 4, 7) for _ in range(2))
    assert starts == pytest.approx(expected)
    network = Figure()
    draw_network(network, explanation)
    levels = network.axes[5].get_lines()[2]
    assert list(np.asarray(levels.get_xdata())) == [0.0, 14.0, 28.0, 41.0, 55.0]
    assert list(np.asarray(levels.get_ydata())) == [field.radii[2] for field in explanation.by_level.values()]


def test_labels_stand_apart_and_in_order() -> None:
    assert set_apart([0.52, 0.5, 0.0], 0.16) == pytest.approx([0.59, 0.43, 0.0])
    assert set_apart([0.1, 0.1, 0.1], 0.2) == pytest.approx([-0.1, 0.1, 0.3])
    assert set_apart([0.9, 0.1], 0.2) == [0.9, 0.1]


def test_lines_that_end_together_have_labels_that_can_be_read(tmp_path: Path) -> None:
    explanation = explain(gray_model(), image(24, 24), 25.0, samples=1)
    first = explanation.conductions[0]
    alike = replace(first, nodes=torch.full_like(first.nodes, 3.0))
    figure = Figure(figsize=(18, 2.75), layout="constrained")  # as in a sheet
    draw_block(figure, explanation, alike, explanation.spreads[0])
    figure.savefig(tmp_path / "block.png")  # the layout is made now
    boxes = sorted((label.get_window_extent().y0, label.get_window_extent().y1) for label in figure.axes[0].texts)
    assert len(boxes) == 3
    assert all(lower[1] <= upper[0] for lower, upper in pairwise(boxes))


def test_chosen_blocks_alone_make_a_lower_sheet(tmp_path: Path) -> None:
    explanation = explain(gray_model(), image(24, 24), 25.0, samples=1)
    write_png(tmp_path / "all.png", explanation, "all")
    write_png(tmp_path / "none.png", explanation, "none", blocks=[])
    full, empty = (cv2.imread(str(tmp_path / name)) for name in ("all.png", "none.png"))
    assert full is not None
    assert empty is not None
    assert full.shape[0] - empty.shape[0] == 275


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "denoise-gray", "--pixel", "36", "0"), "The pixel 36 0 (X Y) lies outside of the image"),
        (("--model", "denoise-grey"), "neither a weights file nor a bundled model: those are denoise-gray,"),
        (("--model", "denoise-color", "--sigma", "25"), "is a gray image and model denoise-color takes colour ones"),
        (("--model", "denoise-gray", "--quality", "10"), "Model denoise-gray takes --sigma, not --quality."),
        (("--model", "denoise-gray", "--sigma", "99"), "sigma is 0 to 55 for model denoise-gray"),
        (("--model", "denoise-gray", "--sigma", "5", "--quality", "9"), "give one of them"),
        (("--model", "jpeg-gray", "--sigma", "5"), "Model jpeg-gray takes --quality, not --sigma."),
        (("--model", "denoise-gray", "--size", "0"), "--size is 1 or more, not 0."),
        (("--model", "denoise-gray", "--samples", "0"), "--samples is 1 or more, not 0."),
        (("--model", "denoise-gray", "--blocks", "1,2"), "--blocks are 1 to 1 for this model, not 2."),
        (("--model", "denoise-gray", "--device", "abacus"), "Device abacus cannot be used"),
    ],
)
def test_bad_usage_is_one_sentence(
    gray: Path, output: Path, capsys: Captured, options: tuple[str, ...], message: str
) -> None:
    assert run(gray, output, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().splitlines()[-1].startswith("error: ")
    assert not output.exists() or list(output.iterdir()) == []


def test_a_colour_image_needs_a_colour_model(source: Path, output: Path, capsys: Captured) -> None:
    assert run(put(source / "a.png", 24, 24, 3), output, "--model", "denoise-gray", "--sigma", "25") == 2
    assert "a.png is a colour image and model denoise-gray takes gray ones" in capsys.readouterr().err


def test_images_that_cannot_be_read(source: Path, output: Path, capsys: Captured) -> None:
    damaged = source / "damaged.png"
    damaged.write_bytes(b"no image")
    for path, message in ((damaged, "damaged.png cannot be read as an image"), (source / "b.png", "does not exist")):
        assert run(path, output, "--model", "denoise-gray", "--sigma", "25") == 2
        assert message in capsys.readouterr().err


def test_a_model_that_cannot_be_read(gray: Path, output: Path, source: Path, capsys: Captured) -> None:
    weights = source / "weights.safetensors"
    weights.write_bytes(b"no weights")
    assert run(gray, output, "--model", str(weights)) == 2
    assert "weights.safetensors cannot be read as a safetensors file" in capsys.readouterr().err


def test_an_output_that_is_a_file(gray: Path, tmp_path: Path, capsys: Captured) -> None:
    taken = tmp_path / "taken"
    taken.write_bytes(b"mine")
    assert run(gray, taken, "--model", "denoise-gray") == 2
    assert "taken is a file; give a folder." in capsys.readouterr().err
    assert taken.read_bytes() == b"mine"


def test_a_missing_matplotlib_is_named(
    gray: Path, output: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(gray, output, "--model", "denoise-gray") == 2
    assert "Pictures need matplotlib: pip install 'vheatir[plots]'." in capsys.readouterr().err


def test_a_sheet_that_fails_leaves_the_earlier_one(
    gray: Path, output: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.mkdir()
    earlier = output / "noisy_denoise-gray.png"
    earlier.write_bytes(b"earlier")

    def fail(_figure: Figure, path: Path, **_options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    assert run(gray, output, "--model", "denoise-gray", "--sigma", "25") == 2
    assert "cannot be written to: No space left on device." in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in output.iterdir()} == {"noisy_denoise-gray.png": b"earlier"}
