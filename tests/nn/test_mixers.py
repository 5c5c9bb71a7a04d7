"""Token mixers: window attention against BasicSR's, HcNet's step against its equation, and what each costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from heat_layers import random_map
from small_networks import VARIANTS
from torch import Tensor, nn
from training_options import needs_basicsr

from vheatir.nn import VHeatIR, VHeatIRConfig
from vheatir.nn.complexity import count_parameters, image_multiply_adds
from vheatir.nn.mixers import MIXERS, AttentionMixer, HcNetMixer, HcNetStep, IdentityMixer, MixerName, default_heads
from vheatir.nn.vheatir import Block, GatedBranch, make_mlp
from vheatir.weights.file import MODELS, load_weights, save_weights, weights_path

STEPS = get_args(HcNetStep)


def randomised(module: nn.Module, seed: int = 0) -> Any:
    """The module in float64, every parameter drawn anew: nothing is zero any more."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return module


def attention(*, shifted: bool, window: int = 4, dim: int = 6, heads: int = 2) -> AttentionMixer:
    config = VHeatIRConfig(embed_dim=dim, window=window, num_heads=heads)
    mixer: AttentionMixer = randomised(AttentionMixer(config, shifted=shifted))
    return mixer


def hcnet(dim: int, step: HcNetStep) -> HcNetMixer:
    return HcNetMixer(VHeatIRConfig(embed_dim=dim, hcnet_step=step), shifted=False).double()


def mix(mixer: nn.Module, u: Tensor) -> Tensor:
    mixed: Tensor = mixer(u, None, None)
    return mixed


# attention


def swin_block(dim: int, height: int, width: int, mixer: AttentionMixer) -> Any:
    """BasicSR's block with the weights of a mixer."""
    from vheatir.training import basicsr

    swinir = basicsr.import_module("basicsr.archs.swinir_arch")
    block = swinir.SwinTransformerBlock(
        dim, (height, width), mixer.heads, window_size=mixer.window, shift_size=mixer.shift, mlp_ratio=2.0
    )
    block = randomised(block, seed=1)
    weights = {name: tensor for name, tensor in mixer.state_dict().items() if name != "bias"}
    block.attn.load_state_dict(weights | {"relative_position_bias_table": mixer.bias.detach()}, strict=False)
    return block


@needs_basicsr
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [4, 5])
def test_a_block_with_attention_is_swinirs(window: int, shifted: bool) -> None:
    """With an open branch (identity convolution and linear maps, no gate) ours is BasicSR's whole block."""
    dim, height, width = 6, 3 * window, 4 * window
    mixer = attention(shifted=shifted, window=window, dim=dim)
    swin = swin_block(dim, height, width, mixer)
    block = open_block(dim, mixer)
    block.norm1.load_state_dict(swin.norm1.state_dict())
    block.norm2.load_state_dict(swin.norm2.state_dict())
    for ours, theirs in ((0, swin.mlp.fc1), (2, swin.mlp.fc2)):
        block.mlp.get_submodule(str(ours)).load_state_dict(theirs.state_dict())
    x = random_map(2, height, width, dim)
    expected = swin(x.flatten(1, 2), (height, width)).view_as(x)
    torch.testing.assert_close(block(x, None, None), expected, rtol=0, atol=1e-12)


def open_block(dim: int, mixer: AttentionMixer) -> Block:
    net = VHeatIR(embed_dim=dim, mixer="attention", depths=(1,), window=mixer.window, num_heads=mixer.heads)
    block = net.groups[0].get_submodule("blocks.0").double()
    assert isinstance(block, Block)
    branch = block.branch
    assert isinstance(branch, GatedBranch)
    branch.mixer, branch.gate = mixer, None
    nn.init.dirac_(branch.local.weight, groups=dim)
    for linear in (branch.value, branch.project):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    assert branch.local.bias is not None
    nn.init.zeros_(branch.local.bias)
    return block


@needs_basicsr
def test_maps_larger_than_the_mask_was_made_for_agree_too() -> None:
    mixer = attention(shifted=True)
    swin = swin_block(6, 8, 8, mixer)
    swin.norm1, swin.mlp = nn.Identity(), nn.Identity()
    x = random_map(2, 16, 12, 6)
    tokens = x.flatten(1, 2)
    mixed = swin(tokens, (16, 12))  # s + norm2(s) with s = x + attention(x)
    s = x + mix(mixer, x)
    torch.testing.assert_close(mixed.view_as(x), s + swin.norm2(s), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (4, 8), (7, 10), (13, 9)])
def test_attention_pixel_by_pixel(height: int, width: int, shifted: bool) -> None:
    """The definition: a pixel attends to those of its window, the map's edge ending windows, whatever the size."""
    mixer, u = attention(shifted=shifted), random_map(2, height, width, 6)
    qkv = nn.functional.linear(u, mixer.qkv.weight, mixer.qkv.bias).detach().numpy()
    table = mixer.bias.detach().numpy()
    expected = np.zeros((2, height, width, 6))

    def window_of(row: int, column: int) -> tuple[int, int]:
        return (row - mixer.shift) // 4, (column - mixer.shift) // 4  # floor: -1 before the first whole window

    for row, column in np.ndindex(height, width):
        others = [p for p in np.ndindex(height, width) if window_of(*p) == window_of(row, column)]
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            query = qkv[:, row, column, :6][:, part]
            keys = np.stack([qkv[:, i, j, 6:12][:, part] for i, j in others], axis=1)
            values = np.stack([qkv[:, i, j, 12:][:, part] for i, j in others], axis=1)
            bias = np.array([table[(row - i + 3) * 7 + column - j + 3, head] for i, j in others])
            logits = np.einsum("bd,bnd->bn", query, keys) / np.sqrt(3) + bias
            weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            expected[:, row, column, part] = np.einsum("bn,bnd->bd", weights, values)
    projected = nn.functional.linear(torch.from_numpy(expected), mixer.proj.weight, mixer.proj.bias)
    torch.testing.assert_close(mix(mixer, u), projected, rtol=0, atol=1e-12)


def test_gradients_of_filled_windows_are_finite() -> None:
    mixer, u = attention(shifted=True), random_map(1, 5, 6, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mixer(x, None, None), (u,))


@pytest.mark.parametrize(("dim", "heads"), [(48, 6), (60, 6), (180, 6), (64, 8), (8, 8), (10, 5), (7, 7), (13, 1)])
def test_heads_divide_the_width(dim: int, heads: int) -> None:
    assert default_heads(dim) == heads


# HcNet


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 3), (6, 7)])
def test_hcnet_is_its_equation(height: int, width: int, step: HcNetStep) -> None:
    """z + k (sum of w_i z_i - W z), the neighbours outside the map being the edge itself."""
    mixer: HcNetMixer = randomised(hcnet(3, step))
    u = random_map(2, height, width, 3)
    weights = 1 / (1 + np.exp(-mixer.neighbours.detach().numpy())) / 8
    z = u.numpy()
    logit = np.zeros((2, 3))
    if mixer.linear is not None:
        logit = z.mean(axis=(1, 2)) @ mixer.linear.weight.detach().numpy().T + mixer.linear.bias.detach().numpy()
    elif mixer.logit is not None:
        logit = np.tile(mixer.logit.detach().numpy(), (2, 1))
    k = 1 / (1 + np.exp(-logit))
    expected = z.copy()
    for row, column in np.ndindex(height, width):
        centre = z[:, row, column]
        for index, (down, right) in enumerate(((-1, 0), (0, -1), (0, 1), (1, 0))):
            i, j = row + down, column + right
            inside = 0 <= i < height and 0 <= j < width
            neighbour = z[:, i, j] if inside else centre
            expected[:, row, column] += k * weights[:, index] * (neighbour - centre)
    torch.testing.assert_close(mix(mixer, u), torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("extreme", [-50.0, 0.0, 50.0])
def test_hcnets_step_is_stable_whatever_its_weights(extreme: float, step: HcNetStep) -> None:
    """k W stays under 1/2: a constant stays, a checkerboard shrinks without changing its sign, nothing grows."""
    mixer: HcNetMixer = randomised(hcnet(2, step))
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.fill_(extreme)
    sums = mixer.weights().sum(dim=1)
    assert (sums <= 0.5).all()
    constant = torch.full((1, 6, 8, 2), 3.7, dtype=torch.float64)
    torch.testing.assert_close(mix(mixer, constant), constant, rtol=0, atol=1e-12)
    signs = (-1.0) ** (torch.arange(6)[:, None] + torch.arange(8))
    board = signs.double()[None, :, :, None].expand(1, -1, -1, 2)
    inner = mix(mixer, board)[:, 1:-1, 1:-1] / board[:, 1:-1, 1:-1]
    assert (inner >= 0).all()
    assert (inner <= 1).all()
    noise = random_map(1, 6, 8, 2) - 0.5
    for _ in range(20):
        after = mix(mixer, noise)
        assert after.max() <= noise.max() + 1e-12
        assert after.min() >= noise.min() - 1e-12
        noise = after


def test_a_checkerboard_is_damped_by_one_minus_two_k_w() -> None:
    mixer = hcnet(1, "fixed")  # k = 1/2, four weights of 1/16
    board = ((-1.0) ** (torch.arange(5)[:, None] + torch.arange(5))).double()[None, :, :, None]
    damped = mix(mixer, board)[0, 2, 2, 0] / board[0, 2, 2, 0]
    assert float(damped.detach()) == pytest.approx(1 - 2 * 0.5 * 0.25, abs=1e-12)


def test_no_heat_leaves_an_insulated_map() -> None:
    """With equal weights what leaves one pixel enters the next, so that the mean is kept."""
    mixer, u = hcnet(2, "fixed"), random_map(2, 5, 7, 2)
    mean = u.mean(dim=(1, 2))
    for _ in range(10):
        u = mix(mixer, u)
    torch.testing.assert_close(u.mean(dim=(1, 2)), mean, rtol=0, atol=1e-12)


def test_steps_start_alike_and_only_the_input_moves_one() -> None:
    mixers = {step: hcnet(3, step) for step in STEPS}
    u = random_map(2, 5, 6, 3)
    first = mix(mixers["fixed"], u)
    assert all(torch.equal(mix(mixer, u), first) for mixer in mixers.values())
    assert [count_parameters(mixers[step]) for step in ("fixed", "learned", "input")] == [12, 15, 24]
    mixer: HcNetMixer = randomised(mixers["input"])
    whole, part = u.clone(), u.clone()
    whole[:, 4:] += 5  # far from the first row, but part of the mean
    part[:, 4:] -= 5
    assert not torch.allclose(mix(mixer, whole)[:, 0], mix(mixer, part)[:, 0], atol=1e-3)


# the refinement


def test_the_refinement_looks_at_neighbours_and_the_mlp_does_not() -> None:
    u = random_map(1, 7, 7, 2)
    touched = u.clone()
    touched[0, 3, 3] += 1
    for kind, side in (("mlp", 1), ("refinement", 3)):
        module = randomised(make_mlp(kind, 2, 5))  # type: ignore[arg-type]
        changed = (module(touched) != module(u)).any(dim=-1)[0].nonzero()
        assert changed.min(dim=0).values.tolist() == [3 - side // 2] * 2
        assert changed.max(dim=0).values.tolist() == [3 + side // 2] * 2


def test_the_refinement_is_its_equation() -> None:
    module, x = randomised(make_mlp("refinement", 2, 3)), random_map(1, 4, 5, 2)
    first, _, depthwise, last = module
    hidden = nn.functional.gelu(x @ first.weight.T + first.bias)
    filtered = nn.functional.conv2d(hidden.permute(0, 3, 1, 2), depthwise.weight, padding=1, groups=3)
    expected = filtered.permute(0, 2, 3, 1) @ last.weight.T + last.bias
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)
    assert depthwise.bias is None


# in the network


def network(mixer: MixerName, **options: Any) -> VHeatIR:
    small: dict[str, Any] = {"embed_dim": 12, "depths": (2,), "downscale": 1, "condition": False, "in_chans": 1}
    return VHeatIR(**(small | {"resi_connection": "identity", "mixer": mixer} | options))


@pytest.mark.parametrize("mixer", get_args(MixerName))
def test_only_the_mixer_differs(mixer: MixerName) -> None:
    """Everything around it has the same names and shapes."""
    shapes = {name: tensor.shape for name, tensor in network(mixer).state_dict().items()}
    common = {name: tensor.shape for name, tensor in network("identity").state_dict().items()}
    assert common.items() <= shapes.items()
    own = {name for name in shapes.keys() - common.keys() if ".embedding." not in name}
    assert all(".branch.mixer." in name for name in own)
    assert bool(own) is (mixer != "identity")


@pytest.mark.parametrize("mixer", get_args(MixerName))
@pytest.mark.parametrize("mlp", ["mlp", "refinement"])
def test_multiply_adds_by_hand(mixer: MixerName, mlp: str) -> None:
    """Two blocks on 16 x 24; Swin (ICCV 2021): 4 h w C^2 + 2 M^2 h w C for attention in windows of side M."""
    height, width, channels, nodes = 16, 24, 12, 9
    pixels = height * width
    around = pixels * (9 * channels + 3 * channels**2)  # depthwise; value, gate, project
    second = pixels * (2 * channels * 2 * channels + (9 * 2 * channels if mlp == "refinement" else 0))
    transforms = 2 * channels * (height**2 * width + height * width**2)
    conductivity = nodes**2 * channels**2 + height * nodes * nodes * channels + pixels * nodes * channels
    own = {
        "heat": transforms + conductivity,
        "attention": 4 * pixels * channels**2 + 2 * 8**2 * pixels * channels,
        "hcnet": pixels * 9 * channels + channels**2,  # the stencil as a 3 x 3 convolution; k of the pooled input
        "identity": 0,
    }
    convolutions = pixels * 9 * 2 * channels
    expected = convolutions + 2 * (around + second + own[mixer])
    assert image_multiply_adds(network(mixer, mlp=mlp), height, width) == expected


def test_a_share_of_the_spectrum_costs_less_in_the_network() -> None:
    height, width, channels, nodes, ratio = 16, 24, 12, 9, 0.25
    whole, low = (image_multiply_adds(network("heat", spectrum_ratio=r), height, width) for r in (1.0, ratio))
    transforms = 2 * channels * (height**2 * width * (1 - ratio) + height * width**2 * (1 - ratio**2))
    rows = nodes * nodes * channels * height * (1 - ratio)
    columns = nodes * channels * height * width * (1 - ratio**2)
    assert whole - low == 2 * (transforms + rows + columns)


@pytest.mark.parametrize("mixer", get_args(MixerName))
def test_bf16_training_reaches_every_weight(mixer: MixerName) -> None:
    torch.manual_seed(0)
    net = network(mixer, mlp="refinement")
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as trainings lay it out
    x = random_map(2, 1, 18, 21, dtype=torch.float32)
    nn.init.normal_(net.conv_last.weight, std=0.05)
    gradients = []
    for enabled in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            restored = net(x)
        (restored.float() - 0.5).square().mean().backward()
        assert all(parameter.grad is not None for parameter in net.parameters())
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    exact, rounded = gradients
    assert exact.dtype == rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("mixer", get_args(MixerName))
def test_weights_files_hold_the_mixer(mixer: MixerName, tmp_path: Path) -> None:
    net = network(mixer, condition=True)
    path = tmp_path / "model.safetensors"
    save_weights(path, net, name="denoise-gray", ranges={"sigma": (0, 55)}, training={}, licence="CC0-1.0")
    loaded, header = load_weights(path)
    assert header.arch["mixer"] == mixer
    assert loaded.config == net.config
    assert isinstance(loaded, VHeatIR)
    assert isinstance(loaded.groups[0].get_submodule("blocks.1.branch.mixer"), MIXERS[mixer])


@pytest.mark.parametrize("task", [task for task in MODELS if task != "photo"])
def test_bundled_weights_are_heat_told_or_not(task: Any) -> None:
    """Files from before there was a choice do not name their mixer."""
    loaded, header = load_weights(weights_path(task))
    assert isinstance(loaded, VHeatIR)
    assert header.arch.get("mixer", "heat") == loaded.config.mixer == "heat"
    untold: dict[str, Any] = {key: value for key, value in header.arch.items() if key != "mixer"}
    VHeatIR(**untold).load_state_dict(loaded.state_dict())


def test_every_mixer_has_its_class() -> None:
    assert set(MIXERS) == set(get_args(MixerName))


def test_every_mixer_is_in_the_networks_that_all_tests_take() -> None:
    assert {options.get("mixer", "heat") for options in VARIANTS.values()} == set(MIXERS)


@pytest.mark.parametrize("mixer", get_args(MixerName))
def test_frequency_embeddings_are_for_mixers_that_read_them(mixer: MixerName) -> None:
    """A group learns them where its mixers say so, and what they hold then changes the output."""
    net = randomised(network(mixer, condition=False)).eval()
    reads = MIXERS[mixer].reads_frequencies
    embeddings = [group.embedding for group in net.groups]
    assert [embedding is not None for embedding in embeddings] == [reads] * len(embeddings)
    x = torch.rand(1, 1, 12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    before = net(x)
    randomised(embeddings[0] or nn.Identity(), seed=3)
    assert torch.equal(net(x), before) == (not reads)


def test_identity_hands_on_what_it_is_given() -> None:
    u = random_map(1, 3, 4, 5)
    assert mix(IdentityMixer(VHeatIRConfig(), shifted=False), u) is u
