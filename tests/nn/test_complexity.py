from __future__ import annotations

import pytest
import torch

from vheatir.nn import CONFIGS, VHeatIR
from vheatir.nn.complexity import count_parameters, image_multiply_adds


@pytest.fixture
def tiny() -> VHeatIR:
    return VHeatIR(
        in_chans=1, embed_dim=4, depths=(1,), downscale=1, condition=False, resi_connection="identity", mlp_ratio=2
    )


def test_parameters_by_hand(tiny: VHeatIR) -> None:
    convolutions = (9 * 4 + 4) + (9 * 4 + 1) + (9 * 4 + 4)  # first, last, depthwise
    linear_maps = 3 * (4 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4)  # value, gate, project; MLP
    heat = (4 * 4 + 4) + 4 + 9 * 9 * 4  # conductivity, gain, frequency embeddings
    norms = 3 * 2 * 4
    assert count_parameters(tiny) == convolutions + linear_maps + heat + norms


def test_multiply_adds_by_hand_count_the_transforms(tiny: VHeatIR) -> None:
    height, width, channels, nodes = 6, 10, 4, 9
    convolutions = height * width * 9 * (4 + 4 + 4)
    linear_maps = height * width * (3 * 16 + 2 * 32)
    transforms = 2 * channels * (height**2 * width + height * width**2)
    conductivity = nodes**2 * 16
    interpolation = height * nodes * nodes * channels + height * width * nodes * channels
    expected = convolutions + linear_maps + transforms + conductivity + interpolation
    assert image_multiply_adds(tiny, height, width) == expected


def test_transforms_outgrow_the_rest_as_published() -> None:
    """O(N^1.5): at four times the pixels a full-resolution network costs more than four times as much."""
    network = VHeatIR(CONFIGS["light"])
    ratio = image_multiply_adds(network, 512, 512) / image_multiply_adds(network, 256, 256)
    assert 4.5 < ratio < 8


def test_counting_leaves_the_network_alone(tiny: VHeatIR) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    image_multiply_adds(tiny, 8, 8)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.state_dict().items())
