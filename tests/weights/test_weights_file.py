from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_weights import save_tiny_weights, tiny_network

import vheatir.weights.file
from vheatir.weights.file import (
    WeightsError,
    load_weights,
    read_header,
    save_weights,
    weights_path,
)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def rewrite(
    path: Path,
    *,
    metadata: Mapping[str, str | None] | None = None,
    tensors: Mapping[str, torch.Tensor | None] | None = None,
) -> None:
    """Replace entries of a weights file; None removes one."""
    new_metadata = {**metadata_of(path), **(metadata or {})}
    new_tensors = {**load_file(path), **(tensors or {})}
    save_file(
        {name: tensor for name, tensor in new_tensors.items() if tensor is not None},
        path,
        metadata={key: value for key, value in new_metadata.items() if value is not None},
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_tiny_weights(tmp_path / "tiny.safetensors", "denoise-gray")


def test_the_file_says_everything_about_the_network(weights: Path) -> None:
    metadata = metadata_of(weights)

    arch = json.loads(metadata.pop("arch"))
    assert arch == json.loads(json.dumps(asdict(tiny_network(1).config)))
    assert json.loads(metadata.pop("training")) == {"steps": 0}
    assert metadata == {
        "format": "vheatir",
        "format_version": "2",
        "network": "VHeatIR",
        "model": "denoise-gray",
        "level_min": "0",
        "level_max": "55",
        "licence": "CC0-1.0",
    }
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}


def test_the_network_comes_back_in_float32_with_half_precision_values(weights: Path) -> None:
    original = tiny_network(1)

    network, header = load_weights(weights)

    state = network.state_dict()
    assert state.keys() == original.state_dict().keys()
    for name, tensor in original.state_dict().items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], tensor.half().float()), name
    assert (header.name, header.task, header.channels) == ("denoise-gray", "denoise", 1)
    assert (header.ranges, header.level_range) == ({"sigma": (0.0, 55.0)}, (0.0, 55.0))
    assert header == read_header(weights)


def test_float32_storage_is_exact(tmp_path: Path) -> None:
    net = tiny_network(3, seed=3)
    path = tmp_path / "exact.safetensors"
    save_weights(
        path, net, name="jpeg-color", ranges={"quality": (10, 95)}, training={}, licence="CC0-1.0", dtype=torch.float32
    )
    x = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    condition = torch.tensor([0.1, 0.9])

    network, header = load_weights(path)

    assert (header.task, header.channels) == ("jpeg", 3)
    assert torch.equal(network(x, condition), net(x, condition))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "other"}, "not a vHeatIR weights file"),
        ({"format": None}, "not a vHeatIR weights file"),
        ({"format_version": "1"}, "format version 1"),
        ({"model": "derain-gray"}, "'derain-gray'; use one of denoise-gray"),
        ({"model": "denoise-color"}, "in_chans=1, but denoise-color needs 3"),
        ({"model": None}, "damaged header"),
        ({"level_max": "many"}, "damaged header"),
        ({"level_max": "nan"}, "levels 0 to nan"),
        ({"level_min": "40", "level_max": "30"}, "levels 40 to 30"),
        ({"level_max": "300"}, "must lie within 0 to 255"),
        ({"arch": "{"}, "damaged header"),
        ({"arch": "[1]"}, "damaged header"),
        ({"arch": '{"in_chans": 1, "colour": 7}'}, "cannot build .*colour"),
        ({"arch": '{"in_chans": 1, "embed_dim": -1}'}, "cannot build"),
        ({"arch": '{"in_chans": 1, "embed_dim": 8, "depths": [2], "frequency_resolution": 4}'}, "misses tensors"),
        ({"arch": '{"in_chans": 1, "embed_dim": 4, "depths": [1], "frequency_resolution": 4}'}, "wrong shapes"),
    ],
)
def test_a_header_that_cannot_be_used_is_named(weights: Path, metadata: Mapping[str, str | None], message: str) -> None:
    rewrite(weights, metadata=metadata)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(weights)
    assert str(weights) in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"conv_last.bias": None}, r"misses tensors .*\(conv_last\.bias\)"),
        ({"extra": torch.zeros(1)}, r"unexpected tensors .*\(extra\)"),
        ({"conv_last.bias": torch.zeros(5)}, r"wrong shapes for tensors .*\(conv_last\.bias\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    weights: Path, tensors: Mapping[str, torch.Tensor | None], message: str
) -> None:
    rewrite(weights, tensors=tensors)
    with pytest.raises(WeightsError, match=message):
        load_weights(weights)


class CreatesFile:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_never_executed(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "executed"
    path.write_bytes(pickle.dumps(CreatesFile(trace)))

    with pytest.raises(WeightsError, match="cannot be read as a safetensors file"):
        load_weights(path)
    assert not trace.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors does not exist"):
        read_header(tmp_path / "nowhere.safetensors")


def test_bundled_names_and_paths_are_found(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = save_tiny_weights(weights.with_name("jpeg-color.safetensors"), "jpeg-color")
    monkeypatch.setattr(vheatir.weights.file, "BUNDLED_WEIGHTS", weights.parent)
    assert weights_path("jpeg-color") == bundled
    with pytest.raises(WeightsError, match=r"jpeg-gray\.safetensors are missing; install vheatir again"):
        weights_path("jpeg-gray")
    assert weights_path(str(weights)) == weights
    with pytest.raises(WeightsError, match=r"denoise-grey is neither .* denoise-gray, denoise-color"):
        weights_path("denoise-grey")


def test_weights_that_overflow_half_precision_are_refused_and_the_old_file_stays(weights: Path) -> None:
    before = weights.read_bytes()
    net = tiny_network(1)
    torch.nn.init.constant_(net.conv_last.weight, 1e6)

    with pytest.raises(WeightsError, match=r"conv_last\.weight is not finite in torch\.float16"):
        save_weights(weights, net, name="denoise-gray", ranges={"sigma": (0, 55)}, training={}, licence="CC0-1.0")
    assert weights.read_bytes() == before


def test_a_task_of_other_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="in_chans=1, but jpeg-color needs 3"):
        save_weights(
            tmp_path / "a.safetensors",
            tiny_network(1),
            name="jpeg-color",
            ranges={"quality": (10, 95)},
            training={},
            licence="CC0-1.0",
        )
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights.read_bytes()

    def interrupted(_tensors: object, path: Path, **_options: object) -> NoReturn:
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_tiny_weights(weights, "denoise-gray", seed=9)

    assert weights.read_bytes() == before
    assert list(weights.parent.iterdir()) == [weights]
