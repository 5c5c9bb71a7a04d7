"""ONNX files give what torch gives, at every size; exporting is slow, so each network is exported once."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import VARIANTS, trained, trained_pyramid
from tiny_weights import trained_ranges

import vheatir
from vheatir.cli.main import main
from vheatir.inference.network import RestorationNetwork
from vheatir.levels.levels import Levels
from vheatir.nn.mixers import MIXERS
from vheatir.weights.file import ModelName, WeightsHeader, save_weights

NEEDED = "ONNX needs pip install 'vheatir[onnx]'"
onnx = pytest.importorskip("onnx", reason=NEEDED)
pytest.importorskip("onnxscript", reason=NEEDED)
onnxruntime = pytest.importorskip("onnxruntime", reason=NEEDED)

from vheatir.inference.onnx_export import _halve_weights, onnx_model  # noqa: E402  # imports what may be missing

#: batch, height and width: of a pixel, smaller than the padding, odd, even
SIZES = [(1, 1, 1), (2, 1, 3), (2, 17, 301), (1, 64, 64), (3, 33, 20)]

#: "heat" and "identity" are in the pyramid of "photo", "heat" in the bundled model too
TINY: Mapping[str, tuple[ModelName, dict[str, Any]]] = {
    "attention": ("denoise-gray", VARIANTS["attention, whole windows"] | {"depths": (2,)}),
    "hcnet": ("jpeg-color", VARIANTS["hcnet"]),
    "identity": ("jpeg-gray", {"mixer": "identity"}),
}


@cache
def tiny(name: str) -> RestorationNetwork:
    """A network of a mixer, or of a pyramid, whose weights float16 holds."""
    if name == "photo":
        options: dict[str, Any] = {"widths": (8, 12), "depths": (1, 1, 1)}
        network: torch.nn.Module = trained_pyramid(**options, mixers=("identity", "heat"), heat_ratios=(1.0, 0.5))
        task: ModelName = "photo"
    else:
        task, options = TINY[name]
        network = trained(**({"depths": (1,), "in_chans": 3 if task.endswith("color") else 1} | options))
    header = WeightsHeader(task, trained_ranges(task), type(network).__name__, {}, {}, "CC0-1.0")
    return RestorationNetwork(network.half().float(), header).eval().requires_grad_(False)


@cache
def tiny_file(name: str, levels: Levels | None = None) -> bytes:
    return bytes(onnx_model(tiny(name), levels=levels).SerializeToString())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A weights file of a small network with heat, and the ONNX file that the command makes of it."""
    folder = tmp_path_factory.mktemp("onnx")
    weights, file = folder / "small.safetensors", folder / "denoise-color.onnx"
    network = trained(in_chans=3, depths=(1,))
    ranges = trained_ranges("denoise-color")
    save_weights(weights, network, name="denoise-color", ranges=ranges, training={}, licence="CC0-1.0")
    assert main(["export", "--format", "onnx", "--model", str(weights), str(file)]) == 0
    return weights, file


def inputs(file: bytes) -> list[str]:
    return [value.name for value in onnx.load_from_string(file).graph.input]


def metadata(file: bytes) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load_from_string(file).metadata_props}


def images(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.rand(batch, channels, height, width, generator=generator)


def assert_equal_in_onnxruntime(
    file: bytes, model: RestorationNetwork, conditions: Mapping[str, list[float]], size: tuple[int, int, int]
) -> None:
    """Compare at a size; ``conditions`` of three images, of which a smaller batch takes the first."""
    batch, height, width = size
    x = images(batch, model.channels, height, width)
    told = {name: torch.tensor(values)[:batch] for name, values in conditions.items()}
    expected = model(x, **told)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {"image": x.numpy()} | {name: value.numpy() for name, value in told.items()})
    np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-4)
    if min(height, width) > 8:
        assert float((expected - x).abs().max()) > 1e-2, "the network does something"


def test_every_mixer_is_exported() -> None:
    assert {"heat", *TINY} == set(MIXERS)


@pytest.mark.parametrize("name", TINY)
def test_other_mixers_give_what_torch_gives(name: str) -> None:
    model = tiny(name)
    level = "sigma" if model.task == "denoise" else "quality"
    assert inputs(tiny_file(name)) == ["image", level]
    # the weights fade towards no noise, and no compression
    values = {"sigma": [25.0, 1.0, 0.0], "quality": [30.0, 96.0, 100.0]}
    for size in SIZES:
        assert_equal_in_onnxruntime(tiny_file(name), model, {level: values[level]}, size)


def test_photo_takes_what_is_known_of_each_image() -> None:
    conditions = {"sigma": [-1.0, 20.0, -1.0], "quality": [40.0, -1.0, -1.0], "strength": [1.0, 0.5, 2.0]}
    file = tiny_file("photo")
    assert inputs(file) == ["image", *conditions]
    for size in SIZES:
        assert_equal_in_onnxruntime(file, tiny("photo"), conditions, size)


@pytest.mark.parametrize(
    ("name", "levels", "told"),
    [("identity", Levels(quality=40), "quality 40"), ("photo", Levels(), "blind")],
)
def test_levels_are_built_in(name: str, levels: Levels, told: str) -> None:
    file, model = tiny_file(name, levels), tiny(name)
    assert inputs(file) == ["image"]
    assert metadata(file)["levels"] == told
    x = images(2, model.channels, 17, 30)
    (actual,) = onnxruntime.InferenceSession(file).run(None, {"image": x.numpy()})
    expected = model(x, sigma=levels.sigma, quality=levels.quality)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-4)


def test_the_file_describes_itself_and_not_the_source() -> None:
    file = tiny_file("hcnet")
    assert metadata(file) == {
        "model": "jpeg-color",
        "task": "jpeg",
        "levels": "inputs",
        "quality_min": "10",
        "quality_max": "95",
        "licence": "CC0-1.0",
        "version": vheatir.__version__,
    }
    proto = onnx.load_from_string(file)
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    assert b".py" not in file
    for value in (proto.graph.input[0], proto.graph.output[0]):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert dims == ["batch", 3, "height", "width"]


def test_weights_are_halved_where_nothing_is_lost() -> None:
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    exact, other = np.arange(300, dtype=np.float32), np.full(300, 0.1, np.float32)
    large, short = np.full(300, 1e6, np.float32), np.arange(3, dtype=np.float32)
    named = {"exact": exact, "other": other, "large": large, "short": short}
    outputs = [
        helper.make_tensor_value_info(f"{name}_out", onnx.TensorProto.FLOAT, value.shape)
        for name, value in named.items()
    ]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in named]
    graph = helper.make_graph(nodes, "graph", [], outputs, [from_array(value, name) for name, value in named.items()])
    _halve_weights(graph)
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    wide = onnx.TensorProto.FLOAT
    assert stored == {"exact.half": onnx.TensorProto.FLOAT16, "other": wide, "large": wide, "short": wide}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {})
    for actual, expected in zip(found, named.values(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_the_command_makes_what_torch_gives(exported: tuple[Path, Path]) -> None:
    model, file = vheatir.load_model(exported[0]), exported[1].read_bytes()
    for size in [(1, 1, 1), (2, 17, 301), (1, 256, 256)]:
        assert_equal_in_onnxruntime(file, model, {"sigma": [25.0, 5.0]}, size)


def test_the_example_of_the_page_runs(
    exported: tuple[Path, Path], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / exported[1].name).write_bytes(exported[1].read_bytes())
    clean = np.full((20, 31, 3), 120.0)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save("noisy.png")
    code = re.search(r"```python\n(.*?)```", (repository / "docs" / "onnx.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "example.py").write_text(code[1])
    runpy.run_path("example.py")
    restored = np.asarray(Image.open("restored.png"))
    expected = vheatir.Restorer("denoise", model=exported[0]).restore(noisy, sigma=25)
    assert np.abs(restored.astype(int) - expected.astype(int)).max() <= 1


# ---------------------------------------------------------------------------------------------------------- errors


def test_a_network_that_is_bound_to_a_size_is_refused() -> None:
    network = trained(depths=(1,), downscale=1, spectrum_ratio=0.5)
    header = WeightsHeader("denoise-gray", trained_ranges("denoise-gray"), "VHeatIR", {}, {}, "CC0-1.0")
    with pytest.raises(ValueError, match="cannot be exported for images of any size; spectrum_ratio has to be 1"):
        onnx_model(RestorationNetwork(network, header).eval())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "onnx", "--blind", "--sigma", "3", "x.onnx"], "--blind means that no level is known; leave"),
        (
            ["--format", "onnx", "--model", "jpeg-gray", "--sigma", "3", "--quality", "9", "x.onnx"],
            "takes quality, not sigma",
        ),
        (["--format", "onnx", "--model", "denoise-gray", "--blind", "x.onnx"], "denoise-gray needs sigma."),
        (["--format", "onnx", "--quality", "0", "x.onnx"], "quality is 1 to 100, not 0."),
        (["--format", "onnx", "--model", "nothing", "x.onnx"], "nothing is neither a weights file nor"),
        (["--format", "onnx", "net.pth", "x.onnx"], "A checkpoint does not belong to --format onnx; leave it out."),
        (["--sigma", "0", "net.pth", "x.safetensors"], "--sigma does not belong to --format safetensors"),
        (["x.safetensors"], "A weights file needs -opt, the option file, and the checkpoint"),
    ],
)
def test_wrong_usage_is_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path(words[-1]).exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "vheatir.inference.onnx_export")
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", "--format", "onnx", str(tmp_path / "x.onnx")]) == 2
    assert capsys.readouterr().err == f'error: {package} is not installed: pip install "vheatir[onnx]".\n'
