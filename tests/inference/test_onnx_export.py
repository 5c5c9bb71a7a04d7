"""ONNX files give what torch gives, at every size, and graphs beside weights files are up to date."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import VARIANTS, trained, trained_pyramid
from tiny_weights import save_tiny_weights, trained_ranges

import vheatir
from vheatir.cli.main import main
from vheatir.inference.network import RestorationNetwork
from vheatir.levels.levels import Levels
from vheatir.weights.file import BUNDLED_WEIGHTS, MODELS, ModelName, graph_path, layout_hash, save_weights

NEEDED = "ONNX needs pip install 'vheatir[onnx]'"
onnx = pytest.importorskip("onnx", reason=NEEDED)
onnxruntime = pytest.importorskip("onnxruntime", reason=NEEDED)

from vheatir.inference.onnx_export import onnx_model, write_graphs  # noqa: E402  # imports what may be missing

#: batch, height and width: of a pixel, smaller than the padding, odd, even
SIZES = [(1, 1, 1), (2, 1, 3), (2, 17, 301), (1, 64, 64), (3, 33, 20)]
#: conditions of three images, of which a smaller batch takes the first; the weights fade towards nothing to remove
TOLD: Mapping[str, Mapping[str, list[float]]] = {
    "denoise": {"sigma": [25.0, 1.0, 0.0]},
    "jpeg": {"quality": [30.0, 96.0, 100.0]},
    "photo": {"sigma": [-1.0, 20.0, -1.0], "quality": [40.0, -1.0, -1.0], "strength": [1.0, 0.5, 2.0]},
}
REFUSED = ("windows", "low spectrum", "attention", "attention, whole windows")
#: every option that can be exported is on in one of these
TINY: Mapping[str, tuple[ModelName, dict[str, Any]]] = {
    **{name: ("denoise-gray", options) for name, options in VARIANTS.items() if name not in REFUSED},
    "published": ("denoise-color", VARIANTS["published"]),
    "without windows": ("denoise-gray", {**VARIANTS["windows"], "window": None}),
    "identity": ("jpeg-gray", VARIANTS["identity"]),
    "hcnet": ("jpeg-color", {**VARIANTS["hcnet"], "in_chans": 3}),
    "two scales": (
        "photo",
        {"widths": (8, 12), "depths": (1, 1, 1), "mixers": ("identity", "heat"), "heat_ratios": (1.0, 0.5)},
    ),
    "photo": ("photo", {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


def tiny(folder: Path, name: str) -> Path:
    """A weights file of a network of a few blocks."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        task, options = TINY[name]
        network = trained_pyramid(**options) if task == "photo" else trained(**options)
        save_weights(path, network, name=task, ranges=trained_ranges(task), training={}, licence="CC0-1.0")
    return path


def exported(weights: Path, levels: Levels | None = None) -> bytes:
    return bytes(onnx_model(weights, levels=levels).SerializeToString())


def inputs(file: bytes) -> list[str]:
    return [value.name for value in onnx.load_from_string(file).graph.input]


def metadata(file: bytes) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load_from_string(file).metadata_props}


def images(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.rand(batch, channels, height, width, generator=generator)


def assert_equal_in_onnxruntime(file: bytes | Path, model: RestorationNetwork, size: tuple[int, int, int]) -> None:
    batch, height, width = size
    x = images(batch, model.channels, height, width)
    told = {name: torch.tensor(values)[:batch] for name, values in TOLD[model.task].items()}
    expected = model(x, **told)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    actual, *seen = session.run(None, {"image": x.numpy()} | {name: value.numpy() for name, value in told.items()})
    np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-4)
    if min(height, width) > 8:
        assert float((expected - x).abs().max()) > 1e-2, "the network does something"
    if model.task == "photo":
        estimates = [model.estimate(image[None]) for image in x]
        np.testing.assert_allclose(seen[0], np.array([levels.sigma for levels in estimates], float), rtol=1e-4)
        np.testing.assert_allclose(seen[1], np.array([levels.quality for levels in estimates], float), rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
def test_every_option_gives_what_torch_gives(name: str, folder: Path) -> None:
    weights = tiny(folder, name)
    file, model = exported(weights), vheatir.load_model(weights)
    assert inputs(file) == ["image", *TOLD[model.task]]
    for size in SIZES:
        assert_equal_in_onnxruntime(file, model, size)


@pytest.mark.parametrize("size", [(1, 256, 256), (1, 720, 1280)])
@pytest.mark.parametrize("name", ["default", "photo"])
def test_large_images_give_what_torch_gives(name: str, size: tuple[int, int, int], folder: Path) -> None:
    weights = tiny(folder, name)
    assert_equal_in_onnxruntime(exported(weights), vheatir.load_model(weights), size)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_in_onnx_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = trained(**VARIANTS[name])
    save_weights(path, network, name="denoise-gray", ranges={"sigma": (0, 55)}, training={}, licence="CC0-1.0")
    with pytest.raises(ValueError, match="attention, windows, or a spectrum_ratio below 1 has no ONNX form"):
        onnx_model(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_keep_the_type_of_their_file(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    ranges = trained_ranges("denoise-gray")
    save_weights(path, trained(), name="denoise-gray", ranges=ranges, training={}, licence="CC0-1.0", dtype=dtype)
    file = exported(path)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(file).graph.initializer if "." in tensor.name}
    assert kinds == {{torch.float32: onnx.TensorProto.FLOAT, torch.bfloat16: onnx.TensorProto.BFLOAT16}[dtype]}
    assert_equal_in_onnxruntime(file, vheatir.load_model(path), (2, 17, 30))


@pytest.mark.parametrize("name", MODELS)
def test_the_bundled_graphs_are_up_to_date_and_give_what_torch_gives(name: ModelName, tmp_path: Path) -> None:
    weights = BUNDLED_WEIGHTS / f"{name}.safetensors"
    shutil.copy(weights, tmp_path)
    renew = "run: vheatir export --format graph vheatir/weights"
    for fresh in write_graphs(tmp_path / weights.name):
        assert fresh.read_bytes() == (BUNDLED_WEIGHTS / fresh.name).read_bytes(), renew
        assert fresh.stat().st_size < 150_000, "the weights are not in it"
    model = vheatir.load_model(name)
    for size in [(1, 1, 1), (1, 17, 301)]:
        assert_equal_in_onnxruntime(graph_path(weights), model, size)


def test_a_graph_reads_the_file_beside_it(tmp_path: Path) -> None:
    """Values too: of other weights of the same shapes, the graph is the same and its results are theirs."""
    weights = save_tiny_weights(tmp_path / "mine.safetensors", "photo")
    assert main(["export", "--format", "graph", str(tmp_path)]) == 0
    graph = graph_path(weights)
    size = (1, 17, 30)
    assert_equal_in_onnxruntime(graph, vheatir.load_model(weights), size)
    before = graph.read_bytes()
    save_tiny_weights(weights, "photo", seed=1)
    assert main(["export", "--format", "graph", str(graph)]) == 0
    assert graph.read_bytes() == before
    assert_equal_in_onnxruntime(graph, vheatir.load_model(weights), size)


@pytest.mark.parametrize(
    ("name", "levels", "told"),
    [("identity", Levels(quality=40), "quality 40"), ("photo", Levels(), "blind")],
)
def test_levels_are_built_in(name: str, levels: Levels, told: str, folder: Path) -> None:
    weights = tiny(folder, name)
    file, model = exported(weights, levels), vheatir.load_model(weights)
    assert inputs(file) == ["image"]
    assert metadata(file)["levels"] == told
    x = images(2, model.channels, 17, 30)
    (actual,) = onnxruntime.InferenceSession(file).run(None, {"image": x.numpy()})
    expected = model(x, sigma=levels.sigma, quality=levels.quality)
    np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-4)


def test_the_file_describes_itself(folder: Path) -> None:
    file = exported(tiny(folder, "hcnet"))
    weights = layout_hash(tiny(folder, "hcnet"))
    assert metadata(file) == {
        "weights": weights,
        "model": "jpeg-color",
        "task": "jpeg",
        "levels": "inputs",
        "quality_min": "10",
        "quality_max": "95",
        "licence": "CC0-1.0",
        "version": vheatir.__version__,
    }
    proto = onnx.load_from_string(file)
    for value in (proto.graph.input[0], proto.graph.output[0]):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert dims == ["batch", 3, "height", "width"]


def test_the_example_of_the_page_runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = save_tiny_weights(tmp_path / "small.safetensors", "denoise-color")
    assert main(["export", "--format", "onnx", "--model", str(weights), "denoise-color.onnx"]) == 0
    clean = np.full((20, 31, 3), 120.0)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save("noisy.png")
    code = re.search(r"```python\n(.*?)```", (repository / "docs" / "onnx.md").read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "example.py").write_text(code[1])
    runpy.run_path("example.py")
    restored = np.asarray(Image.open("restored.png"))
    expected = vheatir.Restorer("denoise", model=weights).restore(noisy, sigma=25)
    assert np.abs(restored.astype(int) - expected.astype(int)).max() <= 1


# ---------------------------------------------------------------------------------------------------------- errors


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
        (["--format", "graph", "--blind", "x.onnx"], "--blind does not belong to --format graph"),
        (["--format", "graph", "nothing.onnx"], "nothing.safetensors is neither a weights file nor"),
        (["x.safetensors"], "A weights file needs -opt, the option file, and the checkpoint"),
    ],
)
def test_wrong_usage_is_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path(words[-1]).exists()


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "vheatir.inference.onnx_export")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "--format", "onnx", str(tmp_path / "x.onnx")]) == 2
    assert capsys.readouterr().err == 'error: onnx is not installed: pip install "vheatir[onnx]".\n'
