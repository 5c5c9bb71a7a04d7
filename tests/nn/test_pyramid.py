"""The pyramid: any size, the identity where there is nothing to remove, levels told or estimated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_networks import SMALL_PYRAMID as SMALL
from small_networks import trained_pyramid as trained
from tiny_weights import tiny_pyramid
from torch import Tensor, nn

from vheatir.nn import VHeatPyramid
from vheatir.nn.complexity import count_parameters, image_multiply_adds
from vheatir.nn.condition import UNKNOWN
from vheatir.nn.mixers import HeatMixer, IdentityMixer
from vheatir.nn.pyramid import LevelEstimator, correction_weight

BLIND = (UNKNOWN, UNKNOWN)


def image(height: int, width: int, *, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def conditions(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (8, 8), (9, 16), (17, 30), (33, 5)])
@pytest.mark.parametrize("condition", [(0.1, 0.0), (0.0, 0.9), BLIND, (UNKNOWN, 0.5)])
def test_any_size_comes_back_in_shape(height: int, width: int, condition: tuple[float, float]) -> None:
    network, x = trained(), image(height, width)
    restored, levels = network(x, conditions(condition, condition), with_levels=True)
    assert (restored.shape, restored.dtype) == (x.shape, torch.float32)
    assert restored.isfinite().all()
    assert not torch.allclose(restored, x, atol=1e-4)
    assert levels.shape == (2, 2, -(-height // 8), -(-width // 8))
    assert bool((levels >= 0).all())


def test_starts_as_the_identity() -> None:
    x = image(16, 24)
    assert torch.equal(VHeatPyramid(**SMALL)(x, conditions(BLIND, (0.2, 0.3))), x)


def test_images_are_extended_by_their_edge_pixels_to_multiples_of_the_coarsest_grid() -> None:
    network, x = trained(), image(11, 13)
    rows, columns = torch.arange(16).clamp(max=10), torch.arange(16).clamp(max=12)
    extended = x[:, :, rows][:, :, :, columns]
    condition = conditions(BLIND, (0.1, 0.4))
    expected = network(extended, condition)[:, :, :11, :13]
    torch.testing.assert_close(network(x, condition), expected, rtol=0, atol=1e-6)


def test_without_a_level_nothing_changes() -> None:
    """Level 0 for both, or strength 0 whatever the levels are: the result is the input, to the bit."""
    network, x = trained(), image(16, 16)
    assert torch.equal(network(x, conditions((0.0, 0.0), (0.0, 0.0))), x)
    assert torch.equal(network(x, conditions(BLIND, (0.2, 0.5)), strength=0.0), x)


def test_the_correction_grows_evenly_from_level_zero() -> None:
    network, x = trained(), image(16, 16, batch=1)
    with torch.inference_mode():
        changes = [float((network(x, conditions((sigma / 255, 0.0))) - x).abs().max()) for sigma in (0.001, 0.01, 1.0)]
    assert changes[0] < 2e-3 * changes[2]
    assert changes[1] == pytest.approx(10 * changes[0], rel=0.05)


def test_weight_of_the_correction_by_hand() -> None:
    """σ 3 and quality 96 count as 3 + 4 = 7: 7/8. Quality 50 alone: 50/51."""
    levels = torch.tensor([[3 / 255, 0.04], [0.0, 0.5], [0.0, 0.0]])[:, :, None, None]
    torch.testing.assert_close(correction_weight(levels)[:, 0, 0, 0], torch.tensor([7 / 8, 50 / 51, 0.0]))


def test_a_told_level_takes_the_place_of_the_estimate() -> None:
    network, x = trained(), image(24, 24)
    estimate = network.estimate_levels(x)
    assert not torch.allclose(estimate, torch.full_like(estimate, 0.3), atol=0.05)
    blind = network(x, conditions(BLIND, BLIND))
    told = network(x, conditions((0.3, 0.3), (0.3, 0.3)))
    assert not torch.allclose(blind, told, atol=1e-4)
    # an estimator that sees exactly this everywhere makes both the same
    last = network.estimator.layers[-1]
    nn.init.zeros_(last.get_parameter("weight"))
    nn.init.constant_(last.get_parameter("bias"), float(torch.tensor(0.3).expm1().log()))
    torch.testing.assert_close(network(x, conditions(BLIND, BLIND)), told, rtol=0, atol=1e-6)


def test_each_level_is_told_or_estimated_by_itself() -> None:
    network, x = trained(), image(24, 24, batch=1)
    blind = network(x, conditions(BLIND))
    for condition in ((0.4, UNKNOWN), (UNKNOWN, 0.4)):
        assert not torch.allclose(network(x, conditions(condition)), blind, atol=1e-5)


def test_strength_scales_estimated_levels_as_told_ones() -> None:
    network, x = trained(), image(24, 24)
    told = network(x, conditions((0.1, 0.2), (0.1, 0.2)), strength=1.5)
    torch.testing.assert_close(told, network(x, conditions((0.15, 0.3), (0.15, 0.3))), rtol=0, atol=1e-6)
    assert not torch.allclose(network(x, conditions(BLIND, BLIND), strength=1.5), network(x, conditions(BLIND, BLIND)))


def test_the_estimator_sees_38_pixels() -> None:
    """On the grid of 1/2: 3, with a stride of 2; then 2 x 2 more, 2 x 2 more with a stride of 2, and 2 x 4 more: 19."""
    torch.manual_seed(0)
    network = VHeatPyramid(**SMALL)
    x = image(128, 128, batch=1).requires_grad_()
    network.estimate_levels(x)[0, 0, 8, 8].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(dim=0) > 0
    rows, columns = seen.any(dim=1).nonzero(), seen.any(dim=0).nonzero()
    sides = {int(places.max() - places.min()) + 1 for places in (rows, columns)}
    assert sides == {38}


def test_images_of_a_batch_do_not_touch() -> None:
    network, x = trained(), image(9, 14, batch=3)
    condition = conditions(BLIND, (0.1, 0.0), (UNKNOWN, 0.6))
    together = network(x, condition)
    for index in range(3):
        alone = network(x[index : index + 1], condition[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)])
def test_networks_of_any_dtype_agree(dtype: torch.dtype, tolerance: float) -> None:
    network, x = trained(), image(16, 24)
    condition = conditions(BLIND, (0.2, 0.1))
    expected = network(x, condition)
    output = network.to(dtype)(x.to(dtype), condition)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), expected, rtol=0, atol=tolerance)


def test_every_weight_moves() -> None:
    network = trained()
    restored, levels = network(image(32, 32), conditions(BLIND, (0.2, 0.1)), with_levels=True)
    (restored.square().mean() + levels.square().mean()).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert still == []


def test_mixers_stand_where_they_are_asked_for() -> None:
    network = VHeatPyramid(**SMALL, mixers=("identity", "heat", "heat"), heat_ratios=(1.0, 0.25, 1.0))
    kinds = [
        [type(m) for m in group.modules() if isinstance(m, (HeatMixer, IdentityMixer))]
        for group in (
            network.down_groups[0],
            network.down_groups[1],
            network.bottom,
            network.up_groups[0],
            network.up_groups[1],
        )
    ]
    assert kinds == [[IdentityMixer], [HeatMixer] * 2, [HeatMixer], [HeatMixer], [IdentityMixer]]
    conducting = [m.conducting for m in network.modules() if isinstance(m, HeatMixer)]
    assert sorted(conducting) == [3, 3, 3, 16]  # a quarter of 12 at 1/4, all of 16 at 1/8


def test_conductivities_have_the_same_reach_on_every_grid() -> None:
    """k_max 500 square pixels of the grid 1/2 are 125 of the grid 1/4 and 31.25 of the grid 1/8."""
    network = VHeatPyramid(**SMALL, mixers=("heat", "heat", "heat"), k_min=0.5, k_max=500.0)
    largest = []
    for group in (network.down_groups[0], network.down_groups[1], network.bottom):
        mixer = next(m for m in group.modules() if isinstance(m, HeatMixer))
        largest.append(float(nn.functional.softplus(mixer.conductivity.linear.bias).max()))
    assert largest == pytest.approx([500, 125, 31.25], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_chans": 2}, "in_chans is 1"),
        ({"depths": (1, 1)}, "depths are 5 numbers"),
        ({"depths": (1, 1, 0, 1, 1)}, "depths are 5 numbers"),
        ({"mixers": ("heat",)}, "one for each of widths"),
        ({"mixers": ("heat", "attention", "heat")}, 'mixers are "heat" or "identity"'),
        ({"widths": (8, 0, 8)}, "are more than 0"),
        ({"heat_ratios": (1.0, 2.0, 1.0)}, "heat_ratio is a share"),
        ({"k_min": 0.0}, "0 < k_min"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VHeatPyramid(**{**SMALL, **options})


def test_the_network_that_ships_is_under_five_million_parameters() -> None:
    with torch.device("meta"):
        network = VHeatPyramid()
    assert count_parameters(network) < 5e6


def test_multiply_adds_grow_with_the_pixels() -> None:
    network = tiny_pyramid()
    small, large = image_multiply_adds(network, 64, 64), image_multiply_adds(network, 128, 128)
    assert 4 * small < large < 5 * small  # a little more, for the transforms


def test_the_estimator_rounds_sizes_up() -> None:
    assert LevelEstimator(12, 4)(torch.zeros(1, 12, 5, 9)).shape == (1, 2, 2, 3)
