from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from heat_layers import OPTIONS, HeatLayer, inverse_softplus, random_layer, random_map, uniform_layer
from torch import Tensor, nn

from vheatir.nn.heat import HeatConduction2d, heat_conduction, heat_decay, interpolate_spectrum

LEVELS = torch.tensor([10 / 255, 70 / 255], dtype=torch.float64)
SIZES = [(1, 1), (1, 7), (3, 2), (8, 8), (13, 5)]
#: options under which each window is a whole rectangle of its own, so that the laws of a rectangle hold exactly
CLOSED = ["plain", "residual", "content", "level"]

every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
closed_options = pytest.mark.parametrize("options", [OPTIONS[name] for name in CLOSED], ids=CLOSED)


def conduct(u: Tensor, k: Tensor) -> Tensor:
    """Conduction with one k for all frequencies, k (C,) or (B, 1, 1, C)."""
    return heat_conduction(u, heat_decay(k.expand(*k.shape[:-3], *u.shape[1:])))


def influence(layer: nn.Module, size: int, row: int, column: int) -> tuple[int, int, int, int]:
    """First and last row, first and last column that change when one pixel does."""
    u = random_map(1, size, size, 1)
    touched = u.clone()
    touched[0, row, column] += 1
    changed = (layer(touched) != layer(u))[0, :, :, 0]
    rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


# the laws of conduction


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_conducts_with_its_conductivity_at_each_frequency(height: int, width: int) -> None:
    layer, u = random_layer(), random_map(2, height, width, 3)
    decay = heat_decay(interpolate_spectrum(layer.conductivity(), height, width))
    torch.testing.assert_close(layer(u), heat_conduction(u, decay), rtol=0, atol=1e-12)


@every_option
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_constant_maps_stay(height: int, width: int, options: dict[str, Any]) -> None:
    u = torch.tensor([0.3, -7.0, 2.0], dtype=torch.float64).expand(2, height, width, 3)
    torch.testing.assert_close(random_layer(**options)(u, LEVELS), u, rtol=0, atol=1e-12)


@closed_options
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_mean_is_kept_and_energy_never_grows(height: int, width: int, options: dict[str, Any]) -> None:
    u = random_map(2, height, width, 3) - 0.4
    conducted = random_layer(**options)(u, LEVELS)
    torch.testing.assert_close(conducted.mean(dim=(1, 2)), u.mean(dim=(1, 2)), rtol=0, atol=1e-12)
    assert (conducted.square().sum(dim=(1, 2)) <= u.square().sum(dim=(1, 2)) * (1 + 1e-12)).all()


def test_windows_that_fill_the_map_keep_the_mean_and_the_energy_of_each() -> None:
    layer, u = random_layer(window=4), random_map(1, 8, 12, 3)
    conducted = layer(u)
    for rows in (slice(0, 4), slice(4, 8)):
        for columns in (slice(0, 4), slice(4, 8), slice(8, 12)):
            before, after = u[:, rows, columns], conducted[:, rows, columns]
            torch.testing.assert_close(after.mean(dim=(1, 2)), before.mean(dim=(1, 2)), rtol=0, atol=1e-12)
            assert after.square().sum() < before.square().sum()


@every_option
def test_images_of_a_batch_do_not_touch(options: dict[str, Any]) -> None:
    layer, u = random_layer(**options), random_map(2, 7, 10, 3)
    together = layer(u, LEVELS)
    for index in range(2):
        alone = layer(u[index : index + 1], LEVELS[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-12)


@closed_options
def test_one_set_of_weights_conducts_alike_at_two_resolutions(options: dict[str, Any]) -> None:
    """A map beside its mirror images is the same heat problem at twice the size."""
    layer, u = random_layer(**options), random_map(2, 6, 9, 3)
    mirrored = torch.cat((u, u.flip(1)), dim=1)
    mirrored = torch.cat((mirrored, mirrored.flip(2)), dim=2)
    torch.testing.assert_close(layer(mirrored, LEVELS)[:, :6, :9], layer(u, LEVELS), rtol=0, atol=1e-12)


@every_option
def test_gradients_match_finite_differences(options: dict[str, Any]) -> None:
    layer = random_layer(channels=2, resolution=2, **options)
    names = [name for name, _ in layer.named_parameters()]

    def forward(u: Tensor, level: Tensor, *values: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (u, level))
        return output

    u, level = random_map(2, 3, 5, 2).requires_grad_(), LEVELS.clone().requires_grad_()
    assert torch.autograd.gradcheck(forward, (u, level, *layer.parameters()))


@every_option
def test_every_parameter_is_trained(options: dict[str, Any]) -> None:
    layer = random_layer(dtype=torch.float32, **options)
    u = random_map(2, 9, 11, 3, dtype=torch.float32)
    layer(u, LEVELS.float()).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


# the start


@pytest.mark.parametrize("window", [None, 4])
def test_the_residual_step_starts_near_identity_whatever_k_is(window: int | None) -> None:
    layer, u = HeatLayer(8, 4, residual=True, k_min=0.5, k_max=500.0, window=window).double(), random_map(2, 16, 16, 8)
    moved = (layer(u) - u).norm() / (u - u.mean(dim=(1, 2), keepdim=True)).norm()
    assert 0.01 < moved < 0.1


def test_without_it_small_conductivities_start_near_identity() -> None:
    """1 - exp(-k w²), w² at most 2π², is the largest share of any frequency that is lost."""
    layer, u = HeatLayer(8, 4, k_min=1e-3, k_max=5e-3).double(), random_map(2, 16, 16, 8)
    moved = (layer(u) - u).norm() / u.norm()
    assert 1e-4 < moved < 1 - math.exp(-1.25 * 5e-3 * 2 * math.pi**2)


def test_channels_start_with_diffusion_lengths_spread_evenly_in_log_scale() -> None:
    """An impulse in channel c has variance 2 k_c along each axis after conduction, k_c = 0.5, 2, 8."""
    torch.manual_seed(0)
    layer = HeatLayer(3, 4, k_min=0.5, k_max=8.0).double()
    nn.init.zeros_(layer.embedding.weight)
    u = torch.zeros(1, 65, 65, 3, dtype=torch.float64)
    u[0, 32, 32] = 1
    profile = layer(u).sum(dim=2)[0]
    variance = ((torch.arange(65) - 32).square()[:, None] * profile).sum(dim=0)
    torch.testing.assert_close(variance, 2 * torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64), rtol=1e-4, atol=0)


@pytest.mark.parametrize("option", ["content", "level"])
def test_scaled_conductivity_starts_as_the_unscaled(option: str) -> None:
    u, reference_level = random_map(2, 8, 9, 1), torch.full((2,), 50 / 255, dtype=torch.float64)
    scaled, plain = uniform_layer(0.7, **{option: True}), uniform_layer(0.7)
    torch.testing.assert_close(scaled(u, reference_level), plain(u), rtol=0, atol=1e-7)


# the options


def test_residual_is_a_learned_step_from_the_map_to_the_conducted_map() -> None:
    layer, u = random_layer(residual=True), random_map(2, 6, 7, 3)
    gain = torch.tensor([0.0, 1.0, -0.25], dtype=torch.float64)
    layer.operator.load_state_dict({"gain": gain}, strict=False)
    heat = heat_conduction(u, heat_decay(interpolate_spectrum(layer.conductivity(), 6, 7)))
    torch.testing.assert_close(layer(u), u + gain * (heat - u), rtol=0, atol=1e-12)


def test_content_scales_conductivity_by_the_mean_of_each_image() -> None:
    layer, u = uniform_layer(0.7, channels=2, content=True), random_map(3, 5, 8, 2)
    assert layer.operator.content is not None
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    bias = torch.tensor([0.2, -1.0], dtype=torch.float64)
    layer.operator.content.linear.load_state_dict({"weight": weight, "bias": bias})
    scale = 2 * torch.sigmoid(u.mean(dim=(1, 2)) @ weight.T + bias)
    torch.testing.assert_close(layer(u), conduct(u, 0.7 * scale[:, None, None, :]), rtol=0, atol=1e-12)


def test_content_is_pooled_over_each_window() -> None:
    layer, u = random_layer(content=True, window=4), random_map(1, 8, 8, 3)
    whole = random_layer(content=True)  # the same weights
    brighter = u.clone()
    brighter[:, :4, :4] += 1
    assert not torch.allclose(layer(brighter)[:, :4, :4] - 1, layer(u)[:, :4, :4], atol=1e-3)
    assert torch.equal(layer(brighter)[:, 4:], layer(u)[:, 4:])
    assert not torch.allclose(whole(brighter)[:, 4:], whole(u)[:, 4:], atol=1e-3)
    torch.testing.assert_close(layer(u)[:, 4:, 4:], whole(u[:, 4:, 4:]), rtol=0, atol=1e-12)


def test_level_scales_conductivity_by_its_square() -> None:
    """k (a + b (σ/50)²) with a = 0.25, b = 2: the factor is 0.25 at σ 0, 0.75 at σ 25, 8.25 at σ 100."""
    layer, u = uniform_layer(0.3, level=True), random_map(3, 9, 7, 1)
    assert layer.operator.level is not None
    nn.init.constant_(layer.operator.level.base, inverse_softplus(0.25))
    nn.init.constant_(layer.operator.level.slope, inverse_softplus(2.0))
    scale = torch.tensor([0.25, 0.75, 8.25], dtype=torch.float64)[:, None, None, None]
    levels = torch.tensor([0.0, 25.0, 100.0], dtype=torch.float64) / 255
    torch.testing.assert_close(layer(u, levels), conduct(u, 0.3 * scale), rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [None, 4])
def test_conduction_grows_with_level(window: int | None) -> None:
    layer = random_layer(level=True, window=window)
    levels = torch.arange(0, 256, 51, dtype=torch.float64) / 255
    u = random_map(1, 8, 8, 3).expand(len(levels), -1, -1, -1)
    energy = layer(u, levels).square().sum(dim=(1, 2))
    assert (energy.diff(dim=0) < 0).all()


def test_a_missing_level_is_said() -> None:
    with pytest.raises(ValueError, match=r"scales its conductivity by the level: pass level, shape \(B,\)"):
        random_layer(level=True)(random_map(1, 4, 4, 3))


def test_heat_stays_in_its_window() -> None:
    assert influence(uniform_layer(2.0, window=4), 12, 5, 3) == (4, 7, 0, 3)


def test_heat_crosses_the_borders_of_unshifted_windows_when_shifted() -> None:
    assert influence(uniform_layer(2.0, window=4, shifted=True), 12, 5, 3) == (2, 5, 2, 5)


@pytest.mark.parametrize(("row", "rows"), [(0, (0, 1)), (11, (10, 11))])
def test_heat_does_not_wrap_around(row: int, rows: tuple[int, int]) -> None:
    layer = uniform_layer(2.0, window=4, shifted=True)
    assert influence(layer, 12, row, 0) == (*rows, 0, 1)
    assert influence(layer, 12, 0, row) == (0, 1, *rows)


def test_windows_conduct_as_maps_of_their_own() -> None:
    layer, whole, u = random_layer(window=4), random_layer(), random_map(2, 8, 12, 3)
    for top in (0, 4):
        for left in (0, 4, 8):
            place = (slice(None), slice(top, top + 4), slice(left, left + 4))
            torch.testing.assert_close(layer(u)[place], whole(u[place]), rtol=0, atol=1e-12)


def test_overhanging_windows_are_filled_with_edge_pixels() -> None:
    layer, whole, u = random_layer(window=4, shifted=True), random_layer(), random_map(1, 5, 5, 3)
    index = torch.tensor([0, 0, 0, 1])
    corner = whole(u[:, index][:, :, index])
    torch.testing.assert_close(layer(u)[:, :2, :2], corner[:, 2:, 2:], rtol=0, atol=1e-12)
    index = torch.tensor([2, 3, 4, 4])
    corner = whole(u[:, index][:, :, index])
    torch.testing.assert_close(layer(u)[:, 2:, 2:], corner[:, :3, :3], rtol=0, atol=1e-12)


def test_a_window_as_large_as_the_map_is_no_window() -> None:
    u = random_map(2, 6, 6, 3)
    torch.testing.assert_close(random_layer(window=6)(u), random_layer()(u), rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [0, -4])
def test_impossible_windows_are_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"window .* 1 pixel or more, not {window}"):
        HeatConduction2d(3, embedding_channels=4, window=window)


def test_impossible_conductivities_are_refused() -> None:
    with pytest.raises(ValueError, match="0 < k_min <= k_max"):
        HeatConduction2d(3, embedding_channels=4, k_min=2.0, k_max=1.0)


# sizes, dtypes, autocast


@every_option
def test_every_size_from_1_to_65(options: dict[str, Any]) -> None:
    layer = random_layer(channels=2, dtype=torch.float32, **options)
    with torch.no_grad():
        for height in range(1, 66):
            u = random_map(2, height, 66 - height, 2, dtype=torch.float32)
            output = layer(u, LEVELS)
            assert output.shape == u.shape
            assert output.isfinite().all()


@every_option
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-6), (torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)],
)
def test_every_dtype_comes_back_close_to_float64(dtype: torch.dtype, tolerance: float, options: dict[str, Any]) -> None:
    """float32 weights, as under autocast, and weights of the map's own dtype."""
    u = random_map(2, 9, 12, 3)
    layer = random_layer(dtype=torch.float32, **options)
    exact = random_layer(**options)(u, LEVELS)
    for module in (layer, layer.to(dtype)):
        output = module(u.to(dtype), LEVELS)
        assert output.dtype == dtype
        torch.testing.assert_close(output.double(), exact, rtol=0, atol=tolerance)


def test_float64_maps_are_conducted_in_float64_also_by_float32_weights() -> None:
    layer, u = random_layer(dtype=torch.float32), random_map(2, 9, 12, 3)
    decay = heat_decay(interpolate_spectrum(layer.conductivity().double(), 9, 12))
    torch.testing.assert_close(layer(u), heat_conduction(u, decay), rtol=0, atol=1e-12)


@every_option
def test_autocast_decides_the_dtype_as_for_any_matrix_product(options: dict[str, Any]) -> None:
    layer, u = random_layer(dtype=torch.float32, **options), random_map(2, 9, 12, 3, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, exact = layer(u, LEVELS), layer(u.double(), LEVELS)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, layer(u.bfloat16(), LEVELS))
    assert exact.dtype == torch.float64
    assert torch.equal(exact, layer(u.double(), LEVELS))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_what_a_small_conductivity_keeps(dtype: torch.dtype) -> None:
    """The highest frequency has w² near 2π²: exp(-w²) is 0 in float16, and so is any power of it."""
    checkerboard = (1 - 2 * ((torch.arange(32)[:, None] + torch.arange(32)) % 2))[None, :, :, None].double()
    layer = uniform_layer(0.01)
    exact = layer(checkerboard)
    assert exact.square().mean() > 0.5
    torch.testing.assert_close(layer(checkerboard.to(dtype)).double(), exact, rtol=0, atol=2e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_option
def test_cuda_agrees_with_the_cpu(options: dict[str, Any]) -> None:
    layer, u = random_layer(dtype=torch.float32, **options), random_map(2, 17, 30, 3, dtype=torch.float32)
    expected, level = layer(u, LEVELS.float()), LEVELS.float()
    layer.cuda()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            torch.testing.assert_close(layer(u.cuda(), level.cuda()).cpu(), expected, rtol=0, atol=1e-4)
    with torch.autocast("cuda", dtype=torch.float16):
        half = layer(u.cuda(), level.cuda())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float().cpu(), expected, rtol=0, atol=5e-3)


# state


@every_option
def test_weights_learned_at_one_resolution_work_at_another(options: dict[str, Any]) -> None:
    first, u, v = random_layer(**options), random_map(2, 8, 8, 3), random_map(2, 13, 21, 3)
    first(u, LEVELS)
    second = random_layer(seed=1, **options)
    second(v, LEVELS)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(v, LEVELS), first(v, LEVELS))
    assert torch.equal(second(u, LEVELS), first(u, LEVELS))


@every_option
def test_forward_leaves_no_trace_in_the_module(options: dict[str, Any]) -> None:
    layer = random_layer(**options)

    def state() -> list[object]:
        attributes = [(name, key, id(value)) for name, m in layer.named_modules() for key, value in vars(m).items()]
        return [attributes, [name for name, _ in layer.named_buffers()], list(layer.state_dict())]

    before = state()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            layer(random_map(2, 5, 6, 3), LEVELS)
    assert state() == before
    assert {name for name, _ in layer.named_parameters()} == set(layer.state_dict())
