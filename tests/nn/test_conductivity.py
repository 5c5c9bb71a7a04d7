from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from heat_layers import HeatLayer, random_map
from torch import Tensor

from vheatir.nn.heat import Conductivity, FrequencyValueEmbedding, interpolate_spectrum, log_spaced_conductivity


def test_frequencies_read_their_own_grid_positions_by_hand() -> None:
    """Frequency πn/H lies at position n R/H; here R = 2, along the height first and then along the width."""
    nodes = torch.tensor([10.0, 20.0, 40.0])[:, None, None].expand(3, 3, 1)
    expected = {1: [10.0], 2: [10.0, 20.0], 3: [10.0, 20 - 10 / 3, 20 + 20 / 3], 4: [10.0, 15.0, 20.0, 30.0]}
    for size, values in expected.items():
        torch.testing.assert_close(interpolate_spectrum(nodes, size, 1)[:, 0, 0], torch.tensor(values))
        across = interpolate_spectrum(nodes.transpose(0, 1), 1, size)
        torch.testing.assert_close(across[0, :, 0], torch.tensor(values))


def test_reading_is_bilinear_by_hand() -> None:
    nodes = torch.tensor([[0.0, 4.0], [8.0, 100.0]])[:, :, None]
    # position (1/2, 1/4): a quarter of the way from 4 (between 0 and 8) to 52 (between 4 and 100)
    assert float(interpolate_spectrum(nodes, 2, 4)[1, 1, 0]) == 16.0


def test_a_plane_is_read_exactly_at_every_size_from_1_to_65() -> None:
    position = torch.arange(9, dtype=torch.float64) / 8
    nodes = (2 + 3 * position[:, None] + 5 * position[None, :])[:, :, None]
    for height in range(1, 66):
        width = 66 - height
        rows = torch.arange(height, dtype=torch.float64)[:, None] / height
        columns = torch.arange(width, dtype=torch.float64)[None, :] / width
        expected = (2 + 3 * rows + 5 * columns)[:, :, None]
        torch.testing.assert_close(interpolate_spectrum(nodes, height, width), expected, rtol=0, atol=1e-12)


def test_stacks_of_maps_are_read_each_for_itself() -> None:
    nodes = random_map(3, 5, 5, 2)
    stacked = interpolate_spectrum(nodes, 7, 4)
    assert stacked.shape == (3, 7, 4, 2)
    for index in range(3):
        torch.testing.assert_close(stacked[index], interpolate_spectrum(nodes[index], 7, 4), rtol=0, atol=1e-14)


def test_a_smooth_spectrum_learned_at_16_is_right_at_32() -> None:
    """Resizing by half-pixel bilinear interpolation, as the public code does, is more than ten times worse."""

    def smooth(angles: Tensor) -> Tensor:
        return torch.exp(-(angles[:, None].square() + angles[None, :].square()) / 4)

    def angles(count: int, size: int) -> Tensor:
        return math.pi * torch.arange(count, dtype=torch.float64) / size

    truth = smooth(angles(32, 32))
    exact = interpolate_spectrum(smooth(angles(17, 16))[:, :, None], 32, 32)[:, :, 0]
    resized = F.interpolate(smooth(angles(16, 16))[None, None], size=(32, 32), mode="bilinear")[0, 0]
    error, resized_error = (exact - truth).abs().mean(), (resized - truth).abs().mean()
    assert error < 0.001
    assert error < resized_error / 10


def test_conductivities_start_evenly_spaced_in_log_k() -> None:
    torch.testing.assert_close(log_spaced_conductivity(3, 0.01, 1.0), torch.tensor([0.01, 0.1, 1.0]))
    torch.testing.assert_close(log_spaced_conductivity(1, 0.5, 500.0), torch.tensor([0.5]))
    conductivity = Conductivity(4, 6, k_min=1e-4, k_max=500.0)
    nodes = conductivity(torch.zeros(3, 3, 4))
    expected = torch.tensor([1e-4 * (5e6) ** (i / 5) for i in range(6)])
    torch.testing.assert_close(nodes, expected.expand(3, 3, 6), rtol=1e-4, atol=0)


def test_embeddings_start_small_so_that_conductivities_start_where_they_should() -> None:
    torch.manual_seed(0)
    layer = HeatLayer(6, 8, k_min=0.01, k_max=10.0)
    expected = log_spaced_conductivity(6, 0.01, 10.0)
    ratio = layer.conductivity() / expected
    assert ratio.shape == (9, 9, 6)
    assert ((ratio > 0.8) & (ratio < 1.25)).all()
    assert layer.embedding.weight.std() > 0  # not all alike, or all frequencies would learn alike


def test_conductivity_is_never_negative_and_never_dies() -> None:
    torch.manual_seed(0)
    conductivity = Conductivity(4, 3, k_min=0.01, k_max=1.0)
    for bias in (-60.0, -20.0, -3.0, 0.0, 50.0):
        torch.nn.init.constant_(conductivity.linear.bias, bias)
        embedding = torch.randn(3, 3, 4, requires_grad=True)
        nodes = conductivity(embedding)
        (gradient,) = torch.autograd.grad(nodes.sum(), embedding)
        assert (nodes > 0).all(), bias
        assert nodes.isfinite().all()
        assert (gradient.abs().sum(dim=-1) > 0).all(), bias


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_conductivity_is_computed_in_float32_also_from_half_precision_weights(dtype: torch.dtype) -> None:
    conductivity = Conductivity(4, 3, k_min=0.01, k_max=100.0).to(dtype)
    embedding = random_map(5, 5, 4, dtype=dtype)
    nodes = conductivity(embedding)
    assert nodes.dtype == torch.float32
    exact = conductivity.double()(embedding.double())
    torch.testing.assert_close(nodes.double(), exact, rtol=1e-5, atol=0)


def test_conductivity_ignores_autocast() -> None:
    conductivity, embedding = Conductivity(4, 3, k_min=0.01, k_max=100.0), random_map(5, 5, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = conductivity(embedding)
    assert torch.equal(under_autocast, conductivity(embedding))


def test_embeddings_belong_to_the_nodes_of_the_grid() -> None:
    embedding = FrequencyValueEmbedding(6, 8)
    assert embedding().shape == (9, 9, 6)
    assert [(name, tuple(tensor.shape)) for name, tensor in embedding.state_dict().items()] == [("weight", (9, 9, 6))]


@pytest.mark.parametrize(("k_min", "k_max"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_impossible_conductivities_are_refused(k_min: float, k_max: float) -> None:
    with pytest.raises(ValueError, match=f"0 < k_min <= k_max, not k_min={k_min}, k_max={k_max}"):
        Conductivity(4, 3, k_min=k_min, k_max=k_max)


def test_a_grid_without_intervals_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution of 1 or more, not 0"):
        FrequencyValueEmbedding(4, 0)
