"""Pictures of heat: the numbers behind them, against planted conductivities and known gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny_weights import tiny_network
from torch import Tensor, nn

from vheatir.inference.network import RestorationNetwork
from vheatir.nn import VHeatIR
from vheatir.nn.heat import HeatConduction2d, interpolate_spectrum
from vheatir.research.explain.blocks import block_label, block_outputs, conductions
from vheatir.research.explain.conduction import (
    Conduction,
    averaging_length,
    diffusion_length,
    impulse_response,
    radial_decay,
    read_conductivity,
    transfer,
)
from vheatir.research.explain.explanation import explain, summary
from vheatir.research.explain.radii import enclosed_energy, energy_radii
from vheatir.research.explain.receptive import gradient_energy, receptive_field
from vheatir.research.explain.samples import cut_around, natural_inputs, random_inputs, sample_radius
from vheatir.research.explain.spread import OUTPUT, pixel_spread
from vheatir.weights.file import WeightsHeader

PLANTED = (1.0, 4.5, 32.0)


def model_of(network: nn.Module, *, channels: int = 1) -> RestorationNetwork:
    task = "denoise-gray" if channels == 1 else "denoise-color"
    header = WeightsHeader(task, {"sigma": (0.0, 55.0)}, "VHeatIR", {"in_chans": channels}, {}, "CC0-1.0")  # type: ignore[arg-type]
    return RestorationNetwork(network, header).eval().requires_grad_(False)


def random_image(height: int, width: int, channels: int = 1) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))


def constant(*conductivities: float) -> Tensor:
    return torch.tensor(conductivities, dtype=torch.float64).expand(9, 9, -1)


def uneven_nodes(channels: int = 3) -> Tensor:
    """k that differs at every node."""
    return torch.rand(9, 9, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4


def conduction(nodes: Tensor, gain: float = 1.0) -> Conduction:
    return Conduction("heat", nodes, torch.full(nodes.shape[-1:], gain, dtype=torch.float64), 65, 65)


def heat_of(network: nn.Module) -> HeatConduction2d:
    """The one heat operator of a network."""
    (heat,) = (module for module in network.modules() if isinstance(module, HeatConduction2d))
    return heat


def plant(operator: HeatConduction2d, conductivities: Tensor) -> None:
    """Give an operator a constant k a channel, whatever its embeddings are."""
    with torch.no_grad():
        operator.conductivity.linear.weight.zero_()
        operator.conductivity.linear.bias.copy_(torch.log(torch.expm1(conductivities)))


def second_moment(response: Tensor) -> Tensor:
    """Σ x² h along the columns of (side, side, C), by NumPy's sums."""
    offsets = np.arange(response.shape[1]) - response.shape[1] // 2
    return torch.from_numpy((response.numpy() * (offsets**2)[None, :, None]).sum(axis=(0, 1)))


# ---------------------------------------------------------------------------------------------- conductivity, lengths


def test_constant_conductivity_has_the_length_of_its_gaussian() -> None:
    expected = torch.tensor([math.sqrt(2 * k) for k in PLANTED], dtype=torch.float64)
    torch.testing.assert_close(diffusion_length(constant(*PLANTED)), expected)
    torch.testing.assert_close(averaging_length(constant(*PLANTED)), expected, rtol=0.01, atol=0)


def test_the_diffusion_length_is_the_second_moment_of_the_operator_itself() -> None:
    operator = HeatConduction2d(3, embedding_channels=4).double()
    plant(operator, torch.tensor(PLANTED, dtype=torch.float64))
    hot = torch.zeros(1, 129, 129, 3, dtype=torch.float64)
    hot[:, 64, 64] = 1
    embedding = torch.randn(9, 9, 4, dtype=torch.float64)
    with torch.no_grad():
        measured = second_moment(operator(hot, embedding)[0]).sqrt()
        nodes = operator.conductivity_nodes(hot, embedding, None)[0]
    torch.testing.assert_close(measured, diffusion_length(nodes), rtol=1e-6, atol=0)


def test_the_diffusion_length_of_a_k_that_depends_on_frequency_is_its_second_moment() -> None:
    # equal around ω = 0, so that the response's tails are short enough for a sum over a finite map
    nodes = uneven_nodes()
    nodes[:3, :3] = torch.tensor(PLANTED, dtype=torch.float64)
    response = impulse_response(conduction(nodes), 257, step=False)
    torch.testing.assert_close(second_moment(response).sqrt(), diffusion_length(nodes), rtol=0.02, atol=0)


def test_the_averaging_length_is_the_energy_of_the_response() -> None:
    nodes = uneven_nodes()
    energy = impulse_response(conduction(nodes), 129, step=False).square().sum(dim=(0, 1))
    torch.testing.assert_close(averaging_length(nodes), 1 / (4 * math.pi * energy).sqrt(), rtol=0.01, atol=0)


def test_a_channel_that_does_not_conduct() -> None:
    assert diffusion_length(constant(0.0)).item() == 0
    assert averaging_length(constant(0.0)).item() == pytest.approx(1 / math.sqrt(4 * math.pi))


def test_conductivity_is_read_as_the_operator_reads_it() -> None:
    nodes = uneven_nodes()
    down = torch.arange(12, dtype=torch.float64) * math.pi / 12
    across = torch.arange(20, dtype=torch.float64) * math.pi / 20
    read = read_conductivity(nodes, *torch.meshgrid(down, across, indexing="ij"))
    torch.testing.assert_close(read, interpolate_spectrum(nodes, 12, 20))
    last = torch.tensor(math.pi, dtype=torch.float64)
    torch.testing.assert_close(read_conductivity(nodes, last, last), nodes[-1, -1])


def test_the_radial_decay_of_a_constant_k_is_its_decay() -> None:
    frequencies = torch.linspace(0, math.pi, 7, dtype=torch.float64)
    expected = torch.exp(-frequencies[:, None].square() * torch.tensor(PLANTED, dtype=torch.float64))
    torch.testing.assert_close(radial_decay(constant(*PLANTED), frequencies), expected)


def test_the_transfer_of_a_step() -> None:
    decay, gain = torch.tensor([[1.0, 1.0], [0.5, 0.0]]), torch.tensor([1.0, -0.5])
    assert transfer(decay, gain).tolist() == [[1.0, 1.0], [0.5, 1.5]]


# ---------------------------------------------------------------------------------------------- impulse response


@pytest.mark.parametrize("gain", [1.0, 0.3, -0.7])
def test_the_impulse_response_is_symmetric_and_keeps_the_mean(gain: float) -> None:
    response = impulse_response(conduction(uneven_nodes(), gain), 33)
    torch.testing.assert_close(response, response.flip(0))
    torch.testing.assert_close(response, response.flip(1))
    assert not torch.allclose(response, response.transpose(0, 1))  # k differs along the two axes
    torch.testing.assert_close(response.sum(dim=(0, 1)), torch.ones(3, dtype=torch.float64))


def test_the_impulse_response_is_what_the_network_does_to_a_hot_pixel() -> None:
    network = tiny_network(1)
    model = model_of(network).double()
    heat = heat_of(network)
    heat.get_parameter("gain").data.uniform_(-1, 1)
    (found,) = conductions(model, random_image(20, 24).double(), 25.0)
    assert (found.height, found.width) == (10, 12)
    hot = torch.zeros(1, 21, 21, 8, dtype=torch.float64)
    hot[:, 10, 10] = 1
    with torch.no_grad():
        expected = heat(hot, network.get_parameter("groups.0.embedding.weight"))[0]
    torch.testing.assert_close(impulse_response(found, 21), expected)


def test_an_even_square_has_no_middle() -> None:
    with pytest.raises(ValueError, match="odd side, not 8"):
        impulse_response(conduction(uneven_nodes()), 8)


# ---------------------------------------------------------------------------------------------- operators of a network


def test_every_operator_is_found_in_order() -> None:
    network = VHeatIR(embed_dim=8, depths=(2, 1), frequency_resolution=4)
    found = conductions(model_of(network), random_image(16, 16), 25.0)
    assert [block_label(one.name) for one in found] == ["group 1, block 1", "group 1, block 2", "group 2, block 1"]
    assert block_label("body.3.heat") == "body.3.heat"


def test_conductivity_follows_the_level() -> None:
    network = VHeatIR(embed_dim=8, depths=(1,), frequency_resolution=4, level_conductivity=True)
    weak, strong = (conductions(model_of(network), random_image(16, 16), sigma)[0].nodes for sigma in (50.0, 100.0))
    torch.testing.assert_close(strong / weak, torch.full_like(weak, 2.5))  # (1/2 + 1/2 2²) / (1/2 + 1/2)


def test_windows_conduct_within_themselves() -> None:
    network = VHeatIR(
        embed_dim=8, depths=(2,), frequency_resolution=4, window=4, content_conductivity=True, heat_ratio=0.5
    )
    plain = VHeatIR(embed_dim=8, depths=(2,), frequency_resolution=4, heat_ratio=0.5)
    plain.load_state_dict(network.state_dict(), strict=False)
    image = random_image(20, 24)
    found = conductions(model_of(network), image, 25.0)
    assert {(one.height, one.width) for one in found} == {(4, 4)}
    # content starts with the factor 1 in every window
    for one, whole in zip(found, conductions(model_of(plain), image, 25.0), strict=True):
        torch.testing.assert_close(one.nodes, whole.nodes, rtol=1e-6, atol=0)


def test_a_network_without_a_residual_step_has_a_gain_of_one() -> None:
    network = VHeatIR(embed_dim=8, depths=(1,), frequency_resolution=4, residual_step=False)
    (found,) = conductions(model_of(network), random_image(16, 16), 25.0)
    assert found.gain.tolist() == [1.0] * 8


# ---------------------------------------------------------------------------------------------- radii


def test_radii_of_a_flat_square() -> None:
    assert energy_radii(torch.ones(3, 3), (1, 1), (0.1, 0.5, 5 / 9, 0.9, 1.0)) == pytest.approx(
        (0.0, 1.0, 1.0, math.sqrt(2), math.sqrt(2))
    )


def test_radii_about_a_centre_between_pixels() -> None:
    energy = torch.zeros(4, 4)
    energy[0, 1] = 3.0
    energy[3, 3] = 1.0
    assert energy_radii(energy, (0.5, 1.0), (0.75, 0.9)) == pytest.approx((0.5, math.hypot(2.5, 2)))
    distances, enclosed = enclosed_energy(energy, (0.5, 1.0))
    assert bool((distances.diff() > 0).all())
    assert enclosed[-1].item() == pytest.approx(1.0)


def test_nothing_has_no_radius() -> None:
    assert all(math.isnan(radius) for radius in energy_radii(torch.zeros(3, 3), (1, 1)))


# ---------------------------------------------------------------------------------------------- receptive field


def summing_convolutions(count: int) -> nn.Sequential:
    """3x3 convolutions that add up their neighbourhoods."""
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(count)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers)


def test_the_receptive_field_of_two_convolutions() -> None:
    paths = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0])  # ways through two layers to an offset of -2 to 2
    expected = torch.zeros(11, 11, dtype=torch.float64)
    expected[3:8, 3:8] = torch.outer(paths, paths).square()
    inputs = [(random_image(16, 20), (8, 9)), (random_image(16, 20), (6, 12))]
    field = receptive_field(summing_convolutions(2), inputs, 5)
    torch.testing.assert_close(field.energy, expected)
    assert field.inputs == 2
    # of 361, 81 lie in the middle, 225 within 1, 289 within sqrt(2), 325 within 2, 357 within sqrt(5)
    assert field.radii == pytest.approx((1.0, 2.0, math.sqrt(8)))


def test_gradients_of_other_signs_do_not_cancel() -> None:
    images = [torch.full((1, 1, 3, 3), value) for value in (-1.0, 2.0)]
    field = receptive_field(lambda x: x.square(), [(image, (1, 1)) for image in images], 1)
    assert field.energy[1, 1].item() == pytest.approx((2.0**2 + 4.0**2) / 2)
    assert field.radii == (0.0, 0.0, 0.0)


def test_a_colour_pixel_is_the_mean_of_its_channels() -> None:
    energy = gradient_energy(
        lambda x: x * torch.tensor([3.0, 6.0, 0.0])[:, None, None], torch.zeros(1, 3, 2, 2), (0, 1)
    )
    assert energy.tolist() == [[0.0, 5.0], [0.0, 0.0]]


def test_a_pixel_too_near_to_an_edge_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Pixel \(2, 8\) lies nearer than 3 pixels"):
        receptive_field(summing_convolutions(1), [(random_image(16, 16), (2, 8))], 3)
    with pytest.raises(ValueError, match="one input or more"):
        receptive_field(summing_convolutions(1), [], 3)


# ---------------------------------------------------------------------------------------------- cuts


@pytest.mark.parametrize(("height", "width", "size"), [(40, 37, 16), (100, 33, 32), (9, 5, 16), (1, 1, 4)])
def test_a_cut_holds_its_pixel_and_lies_on_the_grid(height: int, width: int, size: int) -> None:
    image = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    for row, column in ((0, 0), (height - 1, width - 1), (height // 2, width // 3), (height - 1, 0)):
        cut = cut_around(image, (row, column), size)
        assert cut.image[0, 0, cut.pixel[0], cut.pixel[1]] == image[0, 0, row, column]
        assert (row - cut.pixel[0], column - cut.pixel[1]) == cut.corner
        assert [place % 8 for place in cut.corner] == [0, 0]
        for side, length in zip(cut.image.shape[-2:], (height, width), strict=True):
            assert min(size, length) <= side < size + 8


@pytest.mark.parametrize(("height", "width", "size"), [(40, 37, 16), (64, 64, 64), (9, 5, 16), (1, 1, 4)])
def test_inputs_leave_room_for_the_field(height: int, width: int, size: int) -> None:
    radius = sample_radius(height, width, size)
    image = random_image(height, width)
    natural, random = (list(draw(image, size, 20, 0)) for draw in (natural_inputs, random_inputs))
    for cut, (row, column) in natural:
        assert radius <= row < cut.shape[-2] - radius
        assert radius <= column < cut.shape[-1] - radius
    assert [pixel for _, pixel in natural] == [pixel for _, pixel in random]
    assert len({pixel for _, pixel in natural}) > 1 or min(height, width) < 8


# ---------------------------------------------------------------------------------------------- spread


@pytest.mark.parametrize("channels", [1, 3])
def test_the_spread_is_the_derivative_by_the_pixel(channels: int) -> None:
    model = model_of(tiny_network(channels), channels=channels)
    image = random_image(14, 11, channels)
    spreads = pixel_spread(model, image, 25.0, (5, 4))
    assert [spread.name for spread in spreads] == ["groups.0.blocks.0", OUTPUT]
    assert [spread.scale for spread in spreads] == [2, 1]
    direction = torch.zeros_like(image, dtype=torch.float64)
    direction[..., 5, 4] = 1
    precise = model.double()
    _, derivative = torch.autograd.functional.jvp(lambda x: precise(x, 25.0), image.double(), direction)
    expected = derivative[0].square().sum(dim=0).sqrt()
    torch.testing.assert_close(spreads[1].change, expected, rtol=1e-4, atol=1e-7)
    assert spreads[0].change.shape == (7, 6)

    def block(x: Tensor) -> Tensor:
        with block_outputs(precise.network) as outputs:
            precise(x, 25.0)
        return outputs["groups.0.blocks.0"]

    _, derivative = torch.autograd.functional.jvp(block, image.double(), direction)
    torch.testing.assert_close(spreads[0].change, derivative[0].square().sum(dim=-1).sqrt(), rtol=1e-4, atol=1e-7)


def test_the_model_keeps_its_precision() -> None:
    model = model_of(tiny_network(1))
    pixel_spread(model, random_image(8, 8), 25.0, (0, 0))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# ---------------------------------------------------------------------------------------------- all of it


def test_the_summary_tells_lengths_in_image_pixels() -> None:
    network = tiny_network(1)
    heat = heat_of(network)
    plant(heat, torch.full((8,), 4.5))
    facts = summary(explain(model_of(network), random_image(40, 36), 25.0, pixel=(7, 30), size=32, samples=1))
    assert facts["pixel"] == {"x": 30, "y": 7}
    assert facts["sigma"] == 25.0
    assert facts["image_pixels_per_feature_pixel"] == 2
    blocks: Any = facts["blocks"]
    assert len(blocks) == 1
    for channel in blocks[0]["channels"]:
        assert channel["diffusion_length_feature_px"] == pytest.approx(3.0, rel=1e-5)
        assert channel["diffusion_length_image_px"] == pytest.approx(6.0, rel=1e-5)
        assert channel["second_moment_after_step_square_feature_px"] == pytest.approx(0.1 * 9, rel=1e-5)


def test_explanations_repeat() -> None:
    model, image = model_of(tiny_network(1)), random_image(40, 36)
    first, second, third = (explain(model, image, 25.0, size=24, samples=2, seed=seed) for seed in (0, 0, 1))
    assert summary(first) == summary(second)
    for energy, same, other in (
        (first.natural.energy, second.natural.energy, third.natural.energy),
        (first.random.energy, second.random.energy, third.random.energy),
    ):
        assert torch.equal(energy, same)
        assert not torch.equal(energy, other)


@pytest.mark.parametrize("pixel", [(40, 0), (0, 36), (-1, 0)])
def test_a_pixel_outside_is_refused(pixel: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="lies outside of the image, which has 36x40 pixels"):
        explain(model_of(tiny_network(1)), random_image(40, 36), 25.0, pixel=pixel)
