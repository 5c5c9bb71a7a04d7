"""Our weights in spandrel, loaded and run by spandrel itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_weights import save_tiny_weights

import vheatir
from vheatir.weights.file import HEADER, MODELS, ModelName, WeightsError, load_weights, save_weights, weights_path

pytest.importorskip("vheatir.integrations.spandrel", reason="spandrel is not installed")

from spandrel import MAIN_REGISTRY, ImageModelDescriptor, ModelLoader, ModelTiling, UnsupportedModelError

from vheatir.integrations.spandrel import REGISTRY, SpandrelNetwork, install

#: what spandrel's call tells a network of one level
DEFAULTS: dict[str, dict[str, float]] = {"denoise": {"sigma": 15}, "jpeg": {"quality": 75}, "photo": {}}


@pytest.fixture(autouse=True)
def _installed() -> None:
    install()


def load(path: str | Path) -> ImageModelDescriptor[SpandrelNetwork]:
    model: Any = ModelLoader().load_from_file(path)
    assert isinstance(model, ImageModelDescriptor)
    return model


def image(channels: int, *size: int) -> torch.Tensor:
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_bundled_weights_are_known_and_give_what_load_model_gives(name: ModelName) -> None:
    path = weights_path(name)
    state = ModelLoader().load_state_dict_from_file(path)
    network = "VHeatPyramid" if name == "photo" else "VHeatIR"
    assert [support.architecture.id for support in MAIN_REGISTRY if support.detect(state)] == [network]
    assert len(MAIN_REGISTRY) > 40, "spandrel's own are there too"

    descriptor = load(path)

    x = image(1 if name.endswith("gray") else 3, 21, 30)
    reference = vheatir.load_model(name)
    with torch.inference_mode():
        expected = reference(x, **DEFAULTS[reference.task]).clamp(0, 1)
    assert (descriptor(x) - expected).abs().max() < 1e-5
    assert descriptor.purpose == "Restoration"
    assert descriptor.input_channels == descriptor.output_channels == x.shape[1]
    assert descriptor.scale == 1
    assert descriptor.tags == [name]
    assert descriptor.size_requirements.none
    assert descriptor.tiling == ModelTiling.DISCOURAGED


def test_levels_are_attributes_of_the_model(tmp_path: Path) -> None:
    path, x = save_tiny_weights(tmp_path / "a.safetensors", "photo", offset=0.1), image(3, 16, 24) / 2
    descriptor, reference = load(path), vheatir.load_model(path)
    model = descriptor.model
    assert (model.sigma, model.quality, model.strength) == (None, None, 1.0)
    blind = descriptor(x)

    model.sigma, model.quality, model.strength = 40.0, 30.0, 0.5

    with torch.inference_mode():
        expected = reference(x, sigma=40, quality=30, strength=0.5)
        assert torch.equal(descriptor(x), expected)
        assert torch.equal(blind, reference(x))
    assert not torch.equal(blind, expected)
    model.strength = 0.0
    assert torch.equal(descriptor(x), x)
    model.sigma = 300
    with pytest.raises(ValueError, match="sigma is 0 to 255, not 300"):
        descriptor(x)


def test_the_level_at_the_start_lies_within_the_training(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    network, _ = load_weights(save_tiny_weights(path, "denoise-gray"))
    save_weights(path, network, name="denoise-gray", ranges={"sigma": (25, 50)}, training={}, licence="CC0-1.0")
    assert load(path).model.sigma == 25


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["jpeg-color", "photo"])
def test_half_precision_is_supported_as_claimed(name: ModelName, dtype: torch.dtype) -> None:
    descriptor, x = load(weights_path(name)), image(3, 24, 24)
    expected = descriptor(x)

    restored = descriptor.to(dtype)(x.to(dtype))  # refused by spandrel where it is not supported

    assert restored.dtype == dtype
    assert (restored.float() - expected).abs().max() < (2 if dtype == torch.bfloat16 else 0.5) / 255


def test_float16_that_overflows_is_computed_again_in_float32(tmp_path: Path) -> None:
    path = save_tiny_weights(tmp_path / "a.safetensors", "jpeg-color")
    model = vheatir.load_model(path)
    model.network.get_parameter("groups.0.conv.weight").data.mul_(1e5)  # the norm behind it undoes that
    x = image(3, 9, 9)
    with torch.inference_mode():
        expected = model(x, quality=30)
        restored = model.half()(x.half(), quality=30)
    assert next(model.parameters()).dtype == restored.dtype == torch.float16
    assert torch.isfinite(restored).all()
    assert (restored.float() - expected).abs().max() < 1e-2


def test_what_is_not_ours_is_not_taken_for_ours(tmp_path: Path) -> None:
    state = ModelLoader().load_state_dict_from_file(save_tiny_weights(tmp_path / "a.safetensors", "photo"))
    header = state.pop(HEADER)
    assert not any(support.detect(state) for support in REGISTRY)
    with pytest.raises(UnsupportedModelError):
        ModelLoader().load_from_state_dict(state)
    with pytest.raises(WeightsError, match=r"This file has a damaged header .*; download or convert it again"):
        ModelLoader().load_from_state_dict({**state, HEADER: header[:-1]})


def test_the_example_of_the_page_runs_as_it_stands(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", (repository / "docs" / "spandrel.md").read_text("utf-8"), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    noisy = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    Image.fromarray(noisy).save("noisy.png")
    exec(compile(code[1], "spandrel.md", "exec"), {})
    restored = np.asarray(Image.open("restored.png")).astype(int)
    assert np.abs(restored - vheatir.restore(noisy.astype(np.float32) / 255, task="denoise", sigma=25) * 255).max() <= 1


def test_importing_spandrel_costs_the_package_nothing() -> None:
    code = "import sys, vheatir.inference.restorer; print('spandrel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
