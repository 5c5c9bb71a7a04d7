"""The fast way on a CPU: the numbers of the plain network, whatever its options, and plain wherever it is needed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from heat_layers import OPTIONS, random_layer, random_map
from small_networks import VARIANTS, trained, trained_pyramid
from torch import Tensor, nn
from torch.export import Dim, export

from vheatir.nn import CONFIGS, VHeatIR
from vheatir.nn.condition import UNKNOWN
from vheatir.nn.cpu import conduction, fast, fast_on_cpu, products
from vheatir.nn.mixers import MIXERS
from vheatir.nn.vheatir import Block, ResidualGroup

SIZES = [(1, 1), (1, 7), (17, 301), (64, 64)]
LEVELS = torch.tensor([0.1, 0.3])

every_size = pytest.mark.parametrize(("height", "width"), SIZES, ids=str)


def image(height: int, width: int, channels: int = 1) -> Tensor:
    return random_map(2, channels, height, width, dtype=torch.float32)


def assert_fast_is_plain(network: nn.Module, x: Tensor, *arguments: Any, **options: Any) -> None:
    """To 1e-5 of the largest value of what the network adds to the image; twice, since something may be kept."""
    with torch.no_grad():
        plain = network(x, *arguments, **options)
    added = plain[0] - x if isinstance(plain, tuple) else plain - x
    fast_on_cpu(network)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            restored = network(x, *arguments, **options)
        torch.testing.assert_close(restored, plain, rtol=1e-5, atol=1e-5 * float(added.abs().max()))


@every_size
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_option(options: dict[str, Any], height: int, width: int) -> None:
    network = trained(**options)
    assert_fast_is_plain(network, image(height, width, network.config.in_chans), LEVELS)


@every_size
@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_made_narrow(name: str, height: int, width: int) -> None:
    torch.manual_seed(0)
    network = VHeatIR(CONFIGS[name], embed_dim=12, depths=(2, 2))
    nn.init.normal_(network.conv_last.weight)
    assert_fast_is_plain(network, image(height, width), LEVELS)


@every_size
@pytest.mark.parametrize("condition", [(UNKNOWN, UNKNOWN), (0.2, 0.1)])
def test_the_pyramid(condition: tuple[float, float], height: int, width: int) -> None:
    x, levels = image(height, width, 3), torch.tensor([condition, (0.1, UNKNOWN)])
    assert_fast_is_plain(trained_pyramid(), x, levels, strength=0.7)
    assert_fast_is_plain(trained_pyramid(mixers=("heat", "identity", "heat")), x, levels, with_levels=True)


@pytest.mark.parametrize("options", [{"mlp": "refinement"}, *({"mixer": mixer} for mixer in MIXERS)])
def test_chunks_of_few_positions(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_VALUES", 8 * 7)
    assert_fast_is_plain(trained(**options), image(33, 26), LEVELS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_dtype(options: dict[str, Any], dtype: torch.dtype) -> None:
    network = trained(**options).to(dtype)
    x = image(70, 33, network.config.in_chans).to(dtype)
    with torch.no_grad():
        plain, restored = network(x, LEVELS), fast_on_cpu(network)(x, LEVELS)
    assert restored.dtype == dtype
    torch.testing.assert_close(restored, plain, rtol=0, atol=1e-6 if dtype == torch.float64 else 0.1)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("height", "width"), [(5, 9), (70, 65)])
def test_the_operator_alone_leaves_its_input(options: dict[str, Any], height: int, width: int) -> None:
    layer, u = random_layer(dtype=torch.float32, **options), random_map(2, height, width, 3, dtype=torch.float32)
    before = u.clone()
    with torch.no_grad():
        plain, conducted = layer(u, LEVELS), fast_on_cpu(layer)(u, LEVELS)
    torch.testing.assert_close(conducted, plain, rtol=0, atol=1e-5)
    assert torch.equal(u, before)


@pytest.mark.parametrize("options", [{}, {"resi_connection": "identity"}, {"mixer": "identity"}, {"heat_ratio": 0.5}])
def test_outputs_of_blocks_and_groups_stay_as_they_are(options: dict[str, Any]) -> None:
    """Whoever collects features by hooks, without gradients too, finds them untouched at the end."""
    network = fast_on_cpu(trained(**options))
    found: list[tuple[Tensor, Tensor]] = []
    for module in network.modules():
        if isinstance(module, Block | ResidualGroup):
            module.register_forward_hook(lambda _, __, output: found.append((output, output.clone())))
    with torch.no_grad():
        network(image(140, 136), torch.tensor([0.1, 0.3]))  # large enough for conduction in place
    assert len(found) == 5
    assert all(torch.equal(output, copy) for output, copy in found)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What only the fast way calls."""
    found: list[str] = []

    def watched(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    watched(fast, "in_chunks")
    watched(fast, "conduct")
    watched(fast, "linear")
    watched(conduction, "plan_transform")
    return found


def test_where_it_is_used(calls: list[str]) -> None:
    network, x = trained(), image(140, 136)
    with torch.no_grad():
        network(x, LEVELS)
        assert not calls
        fast_on_cpu(network)(x, LEVELS)
    assert set(calls) == {"in_chunks", "conduct", "linear", "plan_transform"}


def test_under_autograd_compilers_and_on_other_devices_it_is_plain(calls: list[str]) -> None:
    network, x = trained(), image(8, 8)
    plain = network(x, LEVELS)
    fast_on_cpu(network)
    assert torch.equal(network(x, LEVELS), plain)
    plain.sum().backward()
    with torch.no_grad():
        torch.compile(network, fullgraph=True, backend="eager")(x, LEVELS)
        copy.deepcopy(network).to("meta")(x.to("meta"), LEVELS.to("meta"))
    assert not calls
    torch.compiler.reset()


@pytest.mark.parametrize("mixer", ["heat", "attention"])
def test_what_is_exported_is_plain_and_open_to_any_size(mixer: str) -> None:
    network = fast_on_cpu(trained(mixer=mixer, window=4)).eval()
    sizes = {2: Dim("height", min=10, max=512), 3: Dim("width", min=10, max=512)}
    with torch.no_grad():
        exported = export(network, (image(22, 28), LEVELS), dynamic_shapes=(sizes, None)).module()
        for height, width in ((10, 13), (16, 32), (70, 131)):
            x = image(height, width)
            torch.testing.assert_close(exported(x, LEVELS), network(x, LEVELS), rtol=0, atol=1e-5)


def test_twice_is_once_and_weights_stay() -> None:
    network = trained()
    names = list(network.state_dict())
    assert fast_on_cpu(fast_on_cpu(network)) is network
    assert list(network.state_dict()) == names
    assert type(network) is VHeatIR
    assert_fast_is_plain(network, image(70, 64), LEVELS)


def test_a_copy_follows_its_own_weights() -> None:
    """As a moving average does: the copy is made first, then its .data is written, which no version counter sees."""
    network, x = fast_on_cpu(trained()), image(70, 64)
    average = copy.deepcopy(network)
    with torch.no_grad():
        assert torch.equal(average(x, LEVELS), network(x, LEVELS))
        for parameter in average.parameters():
            parameter.data.mul_(0.5)
        halved, whole = average(x, LEVELS), network(x, LEVELS)
    assert not torch.allclose(halved, whole, atol=1e-3)
    torch.testing.assert_close(halved, average(x, LEVELS).detach(), rtol=0, atol=1e-5)  # computed anew, with gradients
