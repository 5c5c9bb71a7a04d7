"""One graph for every size: torch.compile without breaks, and torch.export with sizes left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from heat_layers import OPTIONS, random_layer, random_map
from skimage import data as skimage_data
from torch import Tensor, nn
from torch.export import Dim, export

import vheatir
from vheatir.nn import VHeatIR
from vheatir.nn.mixers import MIXERS

LEVELS = torch.tensor([10 / 255, 70 / 255])


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def trained(**options: Any) -> VHeatIR:
    """A small network whose last convolution is not zero any more."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small: dict[str, Any] = {"embed_dim": 6, "depths": (1,), "frequency_resolution": 3}
        network = VHeatIR(**(small | options))
        nn.init.normal_(network.conv_last.weight, std=0.1)
    return network


def feature_map(height: int, width: int) -> Tensor:
    return random_map(2, height, width, 3, dtype=torch.float32)


def image(height: int, width: int) -> Tensor:
    return random_map(2, 1, height, width, dtype=torch.float32)


def assert_exported_once_runs_at(
    module: nn.Module, make: Callable[[int, int], Tensor], smallest: int, sizes: list[tuple[int, int]]
) -> None:
    """Export with height and width open from ``smallest`` up, and compare at ``sizes``."""
    height, width = Dim("height", min=smallest, max=512), Dim("width", min=smallest, max=512)
    open_sizes = {1: height, 2: width} if make is feature_map else {2: height, 3: width}
    exported = export(module, (make(11, 14), LEVELS), dynamic_shapes=(open_sizes, None)).module()
    for size in sizes:
        x = make(*size)
        torch.testing.assert_close(exported(x, LEVELS), module(x, LEVELS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "all"])
def test_the_operator_compiles_to_one_graph(name: str) -> None:
    layer, u = random_layer(dtype=torch.float32, **OPTIONS[name]), feature_map(7, 10)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(u, LEVELS), layer(u, LEVELS), rtol=0, atol=1e-6)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(u, LEVELS), layer(u, LEVELS), rtol=0, atol=1e-2)


def test_the_compiled_operator_trains_alike() -> None:
    layer = random_layer(dtype=torch.float32, **OPTIONS["all"])
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    parameters = list(layer.parameters())
    expected = torch.autograd.grad(layer(feature_map(7, 10), LEVELS).square().sum(), parameters)
    actual = torch.autograd.grad(compiled(feature_map(7, 10), LEVELS).square().sum(), parameters)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_one_compiled_graph_of_the_operator_serves_every_size() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def record(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    layer = random_layer(dtype=torch.float32, **OPTIONS["residual"])
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=record)
    for height, width in ((7, 10), (16, 9), (33, 64)):
        u = feature_map(height, width)
        torch.testing.assert_close(compiled(u, LEVELS), layer(u, LEVELS), rtol=0, atol=1e-6)
    assert len(graphs) == 1


def test_the_network_compiles_to_one_graph() -> None:
    network = trained(window=4, content_conductivity=True, level_conductivity=True)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(image(9, 12), LEVELS), network(image(9, 12), LEVELS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mixer", MIXERS)
def test_networks_of_every_mixer_compile_to_one_graph(mixer: str) -> None:
    network = trained(mixer=mixer, mlp="refinement", spectrum_ratio=0.5)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(image(9, 12), LEVELS), network(image(9, 12), LEVELS), rtol=0, atol=1e-6)


def test_the_operator_is_exported_for_every_size() -> None:
    layer = random_layer(dtype=torch.float32, residual=True, content=True, level=True)
    assert_exported_once_runs_at(layer, feature_map, 1, [(11, 14), (1, 1), (8, 33), (64, 3)])


def test_the_operator_in_windows_is_exported_for_every_size_from_a_few_windows_up() -> None:
    layer = random_layer(dtype=torch.float32, **OPTIONS["all"])
    assert_exported_once_runs_at(layer, feature_map, 8, [(11, 14), (8, 8), (16, 33)])


def test_the_network_is_exported_for_every_size() -> None:
    assert_exported_once_runs_at(trained(downscale=1), image, 1, [(11, 14), (1, 1), (8, 32), (33, 5)])


def test_the_network_on_a_coarser_grid_is_exported_for_even_and_odd_sizes() -> None:
    assert_exported_once_runs_at(trained(downscale=2), image, 4, [(11, 14), (4, 5), (8, 32), (33, 17)])


def test_a_network_of_low_frequencies_is_exported_for_one_size() -> None:
    """The number of frequencies kept is rounded up, which torch cannot keep open."""
    network, x = trained(spectrum_ratio=0.3), image(11, 14)
    exported = export(network, (x, LEVELS)).module()
    torch.testing.assert_close(exported(x, LEVELS), network(x, LEVELS), rtol=0, atol=1e-6)


def test_a_network_with_attention_is_exported_for_every_size_from_a_few_windows_up() -> None:
    network = trained(downscale=1, mixer="attention", depths=(2,), window=4)
    assert_exported_once_runs_at(network, image, 5, [(11, 14), (5, 6), (8, 32), (33, 17)])


def test_a_network_of_explicit_steps_is_exported_for_every_size() -> None:
    network = trained(downscale=1, mixer="hcnet", mlp="refinement")
    assert_exported_once_runs_at(network, image, 2, [(11, 14), (2, 3), (8, 32), (33, 17)])


def test_a_compiled_model_restores_like_the_plain_one() -> None:
    """``model.network.compile()`` reaches what Restorer calls, tiles and all."""
    photo = skimage_data.camera()[100:180, 200:330]
    graphs: list[torch.fx.GraphModule] = []

    def record(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    model = vheatir.load_model("denoise-gray")
    plain = vheatir.Restorer("denoise", model=model, tile=64).restore(photo, sigma=15)
    model.network.compile(backend=record)
    compiled = vheatir.Restorer("denoise", model=model, tile=64).restore(photo, sigma=15)
    assert graphs
    np.testing.assert_allclose(compiled.astype(int), plain.astype(int), rtol=0, atol=1)
    assert (compiled != plain).mean() < 0.001
