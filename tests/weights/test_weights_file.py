from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_weights import save_tiny_weights, tiny_network

import vheatir.weights.file
from vheatir.weights.file import (
    HEADER,
    WeightsError,
    load_weights,
    network_of,
    read_header,
    save_weights,
    weights_path,
)


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        header: dict[str, Any] = json.loads(file.get_tensor(HEADER).tobytes())
    return header


def rewrite(
    path: Path,
    *,
    header: Mapping[str, object] | None = None,
    tensors: Mapping[str, torch.Tensor | None] | None = None,
) -> None:
    """Replace entries of a weights file; None removes one."""
    fields = {**header_of(path), **(header or {})}
    content = json.dumps({key: value for key, value in fields.items() if value is not None}).encode()
    new = {**load_file(path), HEADER: torch.tensor(list(content), dtype=torch.uint8), **(tensors or {})}
    save_file({name: tensor for name, tensor in new.items() if tensor is not None}, path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_tiny_weights(tmp_path / "tiny.safetensors", "denoise-gray")


def test_the_file_says_everything_about_the_network(weights: Path) -> None:
    assert header_of(weights) == {
        "format_version": 3,
        "name": "denoise-gray",
        "ranges": {"sigma": [0.0, 55.0]},
        "network": "VHeatIR",
        "arch": json.loads(json.dumps(asdict(tiny_network(1).config))),
        "training": {"steps": 0},
        "licence": "CC0-1.0",
    }
    types = {name: tensor.dtype for name, tensor in load_file(weights).items()}
    assert types.pop(HEADER) == torch.uint8
    assert set(types.values()) == {torch.float16}


def test_the_header_stands_in_one_place(weights: Path) -> None:
    with safe_open(weights, framework="numpy") as file:
        assert not file.metadata()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
def test_programs_that_know_the_tensors_alone_rebuild_the_network(weights: Path, dtype: torch.dtype) -> None:
    """Some convert all of them to one type."""
    tensors = load_file(weights)
    tensors[HEADER] = tensors[HEADER].to(dtype)

    network, header = network_of(tensors, "tensors")

    expected, _ = load_weights(weights)
    assert header == read_header(weights)
    x, condition = torch.rand(1, 1, 9, 7), torch.tensor([0.1])
    assert torch.equal(network(x, condition), expected(x, condition))
    assert HEADER in tensors, "the caller's dict was changed"


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


SMALL: Final = {"in_chans": 1, "embed_dim": 8, "depths": [1], "frequency_resolution": 4}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format_version": 2}, "format version 2, this vheatir reads version 3"),
        ({"format_version": None}, "damaged header"),
        ({"name": "derain-gray"}, "'derain-gray'; use one of denoise-gray"),
        ({"name": "denoise-color"}, "in_chans=1, but denoise-color needs 3"),
        ({"name": None}, "damaged header"),
        ({"name": ["photo"]}, "names the model"),
        ({"ranges": {"sigma": [0, "many"]}}, "damaged header"),
        ({"ranges": {"sigma": [0]}}, "damaged header"),
        ({"ranges": [0, 55]}, "damaged header"),
        ({"ranges": {"quality": [10, 95]}}, "needs the range of sigma"),
        ({"ranges": {"sigma": [0, math.nan]}}, "levels 0 to nan"),
        ({"ranges": {"sigma": [40, 30]}}, "levels 40 to 30"),
        ({"ranges": {"sigma": [0, 300]}}, "must lie within 0 to 255"),
        ({"network": "VHeat3d"}, "holds a VHeat3d, which this vheatir does not know"),
        ({"network": ["VHeatIR"]}, "damaged header"),
        ({"colour": 7}, "damaged header .*colour"),
        ({"arch": [1]}, "damaged header"),
        ({"arch": SMALL | {"colour": 7}}, "cannot build .*colour"),
        ({"arch": SMALL | {"embed_dim": -1}}, "cannot build"),
        ({"arch": SMALL | {"depths": [2]}}, "misses tensors"),
        ({"arch": SMALL | {"embed_dim": 4}}, "wrong shapes"),
    ],
)
def test_a_header_that_cannot_be_used_is_named(weights: Path, header: Mapping[str, object], message: str) -> None:
    rewrite(weights, header=header)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(weights)
    assert str(weights) in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({HEADER: None}, "is not a vHeatIR weights file of format 3"),
        ({HEADER: torch.zeros(0, dtype=torch.uint8)}, "is not a vHeatIR weights file of format 3"),
        ({HEADER: torch.zeros(9)}, "damaged header"),
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
