from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from heat_layers import random_map
from small_networks import SMALL, VARIANTS, trained, untrained
from torch import Tensor, nn

from vheatir.nn import CONFIGS, VHeatIR, VHeatIRConfig, configuration
from vheatir.nn.complexity import count_parameters
from vheatir.nn.mixers import HeatMixer
from vheatir.nn.vheatir import GatedBranch, ResidualGroup, crop_to, pad_to_multiple

every_variant = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)


def image(height: int, width: int, *, channels: int = 1, batch: int = 2, seed: int = 0) -> Tensor:
    return random_map(batch, channels, height, width, dtype=torch.float32, seed=seed)


def images_for(network: VHeatIR, height: int, width: int, *, batch: int = 2) -> tuple[Tensor, Tensor]:
    return image(height, width, channels=network.config.in_chans, batch=batch), torch.tensor([0.1, 0.3, 0.2])[:batch]


# any size, starting from identity


@every_variant
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (3, 5), (16, 8), (17, 30)])
def test_any_size_comes_back_in_shape(height: int, width: int, options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, height, width)
    output = network(x, level)
    assert (output.shape, output.dtype) == (x.shape, torch.float32)
    assert output.isfinite().all()
    assert not torch.allclose(output, x, atol=1e-3)


@every_variant
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (16, 8)])
def test_starts_as_the_identity(height: int, width: int, options: dict[str, Any]) -> None:
    network = untrained(**options)
    x, level = images_for(network, height, width)
    assert torch.equal(network(x, level), x)


@pytest.mark.parametrize("downscale", [1, 2, 3])
def test_images_are_extended_by_their_edge_pixels_and_cropped_on_return(downscale: int) -> None:
    network, level = trained(downscale=downscale), torch.tensor([0.1, 0.3])
    x = image(7, 5)
    rows, columns = torch.arange(12).clamp(max=6), torch.arange(6).clamp(max=4)
    rows = rows[: -(-7 // downscale) * downscale]
    columns = columns[: -(-5 // downscale) * downscale]
    extended = x[:, :, rows][:, :, :, columns]
    torch.testing.assert_close(network(x, level), network(extended, level)[:, :, :7, :5], rtol=0, atol=1e-6)


def test_images_are_extended_only_where_needed() -> None:
    x = image(8, 6)
    assert torch.equal(pad_to_multiple(x, 2), x)
    assert pad_to_multiple(x, 1) is x
    assert torch.equal(crop_to(pad_to_multiple(x, 5), (8, 6)), x)
    assert pad_to_multiple(x, 3).shape[-2:] == (9, 6)
    assert pad_to_multiple(x, 4).shape[-2:] == (8, 8)


def test_shifted_images_restore_alike_by_whole_windows() -> None:
    """With window 4 on a grid of half the resolution, 8 pixels are one window; edges reach 7 features inwards."""
    network = trained(downscale=2, window=4, depths=(1,), content_conductivity=True)
    x, level = image(56, 64), torch.tensor([0.1, 0.3])
    restored, moved = network(x, level), network(x[:, :, 8:, 8:], level)
    inner = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    torch.testing.assert_close(moved[inner], restored[:, :, 8:, 8:][inner], rtol=0, atol=1e-6)
    off_grid = network(x[:, :, 2:, 2:], level)
    assert not torch.allclose(off_grid[inner], restored[:, :, 2:, 2:][inner], atol=1e-4)


def test_memory_format_does_not_matter() -> None:
    network, x, level = trained(in_chans=3), image(9, 12, channels=3), torch.tensor([0.1, 0.3])
    channels_last = network(x.contiguous(memory_format=torch.channels_last), level)
    torch.testing.assert_close(channels_last, network(x, level), rtol=0, atol=1e-6)


@every_variant
def test_images_of_a_batch_do_not_touch(options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, 9, 14, batch=3)
    together = network(x, level)
    for index in range(3):
        alone = network(x[index : index + 1], level[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-5)


# precision


@every_variant
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 5e-2)])
def test_networks_of_any_dtype_agree(dtype: torch.dtype, tolerance: float, options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, 9, 14)
    expected = network(x, level)
    output = network.to(dtype)(x.to(dtype), level)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0, atol=tolerance)


@every_variant
def test_autocast_changes_little_and_leaves_the_image_in_float32(options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, 9, 14)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(x, level)
    assert output.dtype == torch.float32  # the image itself is never rounded to bfloat16
    torch.testing.assert_close(output, network(x, level), rtol=0, atol=5e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_variant
def test_cuda_agrees_with_the_cpu(options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, 17, 30)
    expected = network(x, level)
    output = network.cuda()(x.cuda(), level.cuda())
    torch.testing.assert_close(output.cpu(), expected, rtol=0, atol=5e-3)


# weights


@every_variant
def test_options_and_weights_rebuild_the_network(options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, 7, 10)
    rebuilt = VHeatIR(**json.loads(json.dumps(asdict(network.config))))
    rebuilt.load_state_dict(network.state_dict())
    assert rebuilt.config == network.config
    assert {**SMALL, **options}.items() <= asdict(network.config).items()
    assert torch.equal(rebuilt(x, level), network(x, level))


@every_variant
def test_a_state_dict_holds_the_trained_weights_and_nothing_else(options: dict[str, Any]) -> None:
    network = trained(**options)
    before = list(network.state_dict())
    for height, width in ((5, 6), (16, 12)):
        with torch.no_grad():
            network(*images_for(network, height, width))
    assert list(network.state_dict()) == before == [name for name, _ in network.named_parameters()]


def test_a_copy_follows_its_own_weights() -> None:
    """As a moving average does: the copy is made first, then its .data is written."""
    network, x, level = trained(), image(8, 8), torch.tensor([0.1, 0.3])
    average = copy.deepcopy(network)
    with torch.no_grad():
        assert torch.equal(average(x, level), network(x, level))
        for parameter in average.parameters():
            parameter.data.mul_(0.5)
        halved = average(x, level)
        whole = network(x, level)
    assert not torch.allclose(halved, whole, atol=1e-3)
    torch.testing.assert_close(halved, average(x, level).detach(), rtol=0, atol=1e-6)  # computed anew, with gradients


@every_variant
def test_one_training_step_reaches_every_parameter(options: dict[str, Any]) -> None:
    network = trained(**options)
    x, level = images_for(network, 13, 18)
    (network(x, level) - image(13, 18, channels=network.config.in_chans, seed=1)).abs().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_training_lowers_the_loss() -> None:
    network, x, level = untrained(), image(12, 12), torch.tensor([0.1, 0.3])
    target = nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = (network(x, level) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


# the level


@pytest.mark.parametrize("level_conductivity", [False, True])
def test_the_level_changes_the_result(level_conductivity: bool) -> None:
    network, x = trained(level_conductivity=level_conductivity), image(8, 8)
    low, high = network(x, torch.tensor([0.1, 0.1])), network(x, torch.tensor([0.1, 0.3]))
    assert torch.equal(low[0], high[0])
    assert not torch.allclose(low[1], high[1], atol=1e-4)


def test_a_level_of_another_dtype_will_do() -> None:
    network, x, level = trained(), image(8, 8), torch.tensor([0.25, 0.5])
    assert torch.equal(network(x, level.double()), network(x, level))


def test_a_missing_level_is_said() -> None:
    with pytest.raises(
        ValueError, match=r"takes a level: pass condition, σ/255 or \(100 - quality\)/100, shape \(B,\)"
    ):
        trained()(image(4, 4))


def test_a_network_without_condition_needs_no_level() -> None:
    network, x = trained(condition=False), image(6, 7)
    assert torch.equal(network(x, torch.tensor([0.1, 0.3])), network(x))


def test_the_image_range_multiplies_image_and_level_alike() -> None:
    network, wide = trained(), trained(img_range=255.0)
    x, level = image(8, 8), torch.tensor([0.1, 0.3])
    torch.testing.assert_close(wide(x, level), network(255 * x, 255 * level) / 255, rtol=0, atol=1e-4)


# the parts


def branch(**options: Any) -> GatedBranch:
    defaults: dict[str, Any] = {"embed_dim": 8, "k_min": 0.1, "k_max": 10.0, "residual_step": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GatedBranch(VHeatIRConfig(**(defaults | options)), shifted=False)


def test_the_gate_is_silu_of_z() -> None:
    module, x, embedding = branch(), random_map(1, 5, 6, 8, dtype=torch.float32), torch.zeros(3, 3, 8)
    assert module.gate is not None
    nn.init.zeros_(module.gate.weight)
    nn.init.zeros_(module.gate.bias)  # SiLU(0) = 0: the gate is closed
    nn.init.eye_(module.project.weight)
    nn.init.zeros_(module.project.bias)
    assert module(x, embedding, None).abs().max() == 0
    nn.init.constant_(module.gate.bias, 1.0)
    ungated = branch(gate=False)
    ungated.load_state_dict(module.state_dict(), strict=False)
    silu_of_1 = 0.7310585786300049
    torch.testing.assert_close(module(x, embedding, None), silu_of_1 * ungated(x, embedding, None))


def test_the_output_norm_forgets_the_scale_of_what_was_conducted() -> None:
    x, embedding = random_map(1, 5, 6, 8, dtype=torch.float32), torch.zeros(3, 3, 8)
    for output_norm in (True, False):
        module = branch(output_norm=output_norm)
        before = module(x, embedding, None)
        with torch.no_grad():
            module.value.weight.mul_(10)
            module.value.bias.mul_(10)
        assert torch.allclose(module(x, embedding, None), before, atol=1e-2) is output_norm


def test_a_share_of_the_channels_conducts_and_the_others_pass_by() -> None:
    """With open taps (identity convolution and linear maps, no gate) one sees u itself on the other side."""
    module, embedding = branch(heat_ratio=0.25, gate=False, k_min=50.0, k_max=50.0), torch.zeros(3, 3, 8)
    nn.init.dirac_(module.local.weight, groups=8)
    for linear in (module.value, module.project):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    assert module.local.bias is not None
    nn.init.zeros_(module.local.bias)
    x = random_map(1, 5, 6, 8, dtype=torch.float32)
    output = module(x, embedding, None)
    assert isinstance(module.mixer, HeatMixer)
    assert module.mixer.conducting == 2
    torch.testing.assert_close(output[..., 2:], x[..., 2:])
    mean = x[..., :2].mean(dim=(1, 2), keepdim=True).expand(-1, 5, 6, -1)
    torch.testing.assert_close(output[..., :2], mean, rtol=0, atol=1e-3)


def groups_of(network: VHeatIR) -> list[ResidualGroup]:
    return [group for group in network.groups if isinstance(group, ResidualGroup)]


def test_blocks_groups_and_network_are_built_around_skips() -> None:
    """Closed branches let everything pass; with a closed body only the shallow convolution is left."""
    network, level = trained(downscale=1), torch.tensor([0.1, 0.3])
    u = random_map(2, 8, 5, 6, dtype=torch.float32)
    group = groups_of(network)[0]
    for block in group.blocks:
        for name in ("branch.project", "mlp.2"):
            for parameter in block.get_submodule(name).parameters():
                nn.init.zeros_(parameter)
        x = u.permute(0, 2, 3, 1)
        assert group.embedding is not None
        assert torch.equal(block(x, group.embedding(), None), x)
    torch.testing.assert_close(group(u, None), u + group.conv(u))
    for parameter in network.conv_after_body.parameters():
        nn.init.zeros_(parameter)
    image_and_level = torch.cat((image(5, 6), level[:, None, None, None].expand(2, 1, 5, 6)), dim=1)
    shallow = network.conv_last(network.conv_first(image_and_level))
    torch.testing.assert_close(network(image(5, 6), level), image(5, 6) + shallow)


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("residual_step", "branch.mixer.gain"),
        ("content_conductivity", "branch.mixer.content."),
        ("level_conductivity", "branch.mixer.level."),
        ("gate", "branch.gate."),
        ("output_norm", "branch.norm."),
    ],
)
def test_each_switch_adds_its_part_to_every_block(option: str, part: str) -> None:
    for switch in (False, True):
        network = untrained(**{option: switch})
        for group in groups_of(network):
            for block in group.blocks:
                assert any(name.startswith(part) for name in block.state_dict()) is switch


def test_widths_follow_their_arguments() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in untrained(mlp_ratio=1.5, downscale=4).state_dict().items()}
    assert shapes["groups.0.blocks.0.mlp.0.weight"] == (12, 8)
    assert shapes["groups.0.embedding.weight"] == (5, 5, 8)  # frequency_resolution 4: five nodes a side
    assert shapes["conv_first.weight"] == (8, 1 * 4 * 4 + 1, 3, 3)  # folded channels and the level
    assert shapes["conv_last.weight"] == (16, 8, 3, 3)


def test_windows_are_shifted_by_half_in_every_second_block() -> None:
    network = untrained(window=6, depths=(3, 2))
    shifts = [[block.get_submodule("branch.mixer").shift for block in group.blocks] for group in groups_of(network)]
    assert shifts == [[0, 3, 0], [0, 3]]


def test_blocks_of_a_group_share_their_frequency_embeddings() -> None:
    names = [name for name in untrained(depths=(3, 2)).state_dict() if "embedding" in name]
    assert names == ["groups.0.embedding.weight", "groups.1.embedding.weight"]


@pytest.mark.parametrize(("kind", "convolutions"), [("1conv", 1), ("3conv", 3), ("identity", 0)])
def test_groups_are_closed_by_the_named_connection(kind: str, convolutions: int) -> None:
    network = untrained(resi_connection=kind)
    for part in (*(group.conv for group in groups_of(network)), network.conv_after_body):
        assert sum(isinstance(module, nn.Conv2d) for module in part.modules()) == convolutions


# configurations


@pytest.mark.parametrize("name", CONFIGS)
def test_named_configurations_build_and_restore(name: str) -> None:
    with torch.device("meta"), torch.no_grad():
        network = VHeatIR(configuration(name, 3))
        output = network(torch.empty(1, 3, 33, 48), torch.empty(1))
    assert output.shape == (1, 3, 33, 48)
    assert VHeatIRConfig(**json.loads(json.dumps(asdict(CONFIGS[name])))) == CONFIGS[name]


def test_sizes_of_the_named_configurations() -> None:
    with torch.device("meta"):
        networks = {name: VHeatIR(config) for name, config in CONFIGS.items()}
    assert 0.85e6 < count_parameters(networks["light"]) < 1.0e6  # SwinIR's lightweight model: 0.9 M
    assert (CONFIGS["light"].depths, CONFIGS["light"].downscale) == ((6, 6, 6, 6), 1)
    assert (CONFIGS["paper"].depths, CONFIGS["paper"].downscale) == ((6, 6, 6, 6, 6, 6), 1)
    assert count_parameters(networks["fast"]) < count_parameters(networks["light"])
    assert configuration("fast", 1) == CONFIGS["fast"]
    assert configuration("light", 3) == replace(CONFIGS["light"], in_chans=3)
    with pytest.raises(ValueError, match="The configurations are paper, light, fast; there is no 'huge'"):
        configuration("huge", 3)


# wrong arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"in_chans": 2},
        {"embed_dim": 0},
        {"depths": ()},
        {"depths": (2, 0)},
        {"mlp_ratio": 0.0},
        {"mlp_ratio": -1.0},
        {"img_range": 0.0},
        {"img_range": -1.0},
        {"resi_connection": "2conv"},
        {"resi_connection": "3conv", "embed_dim": 3},  # a bottleneck of no channels
        {"downscale": 0},
        {"frequency_resolution": 0},
        {"heat_ratio": 0.0},
        {"heat_ratio": 1.1},
        {"spectrum_ratio": 0.0},
        {"spectrum_ratio": 1.1},
        {"mixer": "convolution"},
        {"mlp": "gated"},
        {"num_heads": 3, "mixer": "attention"},
        {"num_heads": 0, "mixer": "attention"},
        {"hcnet_step": "constant", "mixer": "hcnet"},
        {"k_min": 0.0},
        {"k_max": 0.001},
        {"window": 0},
        {"window": 0, "mixer": "attention"},
        {"level_conductivity": True, "condition": False},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        VHeatIR(**{**SMALL, **arguments})


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="window_size"):
        VHeatIR(window_size=8)


def test_options_by_name_take_the_place_of_those_of_a_configuration() -> None:
    config = VHeatIRConfig(**SMALL, mixer="identity")
    assert VHeatIR(config).config == config
    assert VHeatIR(config, depths=[3]).config == replace(config, depths=(3,))
    assert VHeatIR(**SMALL).config == VHeatIRConfig(**SMALL)
