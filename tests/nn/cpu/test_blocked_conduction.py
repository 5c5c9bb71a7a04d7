"""Halved cosine transforms, and conduction in blocks: the same numbers as the dense products."""

from __future__ import annotations

import pytest
import scipy.fft
import torch
from heat_layers import random_map

from vheatir.nn.cpu import conduction, fast_on_cpu
from vheatir.nn.cpu.cache import TensorCache
from vheatir.nn.cpu.conduction import BlockedConduction, blocked_conduction
from vheatir.nn.cpu.cosine import HalvedCosine, plan_transform
from vheatir.nn.heat import HeatConduction2d, dct_basis, heat_conduction, heat_decay, interpolate_spectrum

CPU = torch.device("cpu")


def _forward(plan: HalvedCosine, x: torch.Tensor) -> torch.Tensor:
    spectrum = torch.empty_like(x)
    plan.forward(x[plan.gather], spectrum)
    return spectrum


def _inverse(plan: HalvedCosine, spectrum: torch.Tensor) -> torch.Tensor:
    gathered, x = torch.empty_like(spectrum), torch.empty_like(spectrum)
    plan.inverse(spectrum.clone(), gathered)
    x[plan.gather] = gathered
    return x


def _blocked(height: int, width: int, *, block: int) -> BlockedConduction:
    rows, columns = (plan_transform(size, leaf=4, dtype=torch.float64, device=CPU) for size in (height, width))
    return BlockedConduction(rows, columns, block)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7, 8, 12, 20, 64, 100, 256])
@pytest.mark.parametrize("leaf", [1, 2, 5, 16, 512])
def test_halved_transforms_are_the_cosine_transform(size: int, leaf: int) -> None:
    plan = plan_transform(size, leaf=leaf, dtype=torch.float64, device=CPU)
    x = torch.randn(size, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = _forward(plan, x)
    assert sorted(plan.order.tolist()) == list(range(size))
    expected = torch.from_numpy(scipy.fft.dct(x.numpy(), axis=0, norm="ortho"))
    torch.testing.assert_close(spectrum, expected[plan.order], rtol=0, atol=1e-12)
    torch.testing.assert_close(_inverse(plan, spectrum), x, rtol=0, atol=1e-12)


def test_every_level_gathers_mirrored_partners_half_a_length_apart() -> None:
    gather = plan_transform(12, leaf=3, dtype=torch.float64, device=CPU).gather.tolist()
    assert gather == [0, 1, 2, 5, 4, 3, 11, 10, 9, 6, 7, 8]


def test_rounding_errors_do_not_grow_with_the_halvings() -> None:
    x = torch.randn(1024, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(scipy.fft.dct(x.double().numpy(), axis=0, norm="ortho"))
    errors = []
    for leaf in (1024, 4):
        plan = plan_transform(1024, leaf=leaf, dtype=torch.float32, device=CPU)
        errors.append(float((_forward(plan, x) - expected[plan.order]).norm() / expected.norm()))
    assert errors[1] < max(2 * errors[0], 1e-6)


def test_a_plan_of_one_leaf_is_the_basis() -> None:
    plan = plan_transform(10, leaf=10, dtype=torch.float64, device=CPU)
    basis = dct_basis(10, dtype=torch.float64, device=CPU)
    torch.testing.assert_close(_forward(plan, torch.eye(10, dtype=torch.float64)), basis, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("height", "width"), [(1, 40), (16, 24), (40, 18), (33, 20), (7, 9)])
@pytest.mark.parametrize("block", [1, 100, 10**6])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("kept", [True, False])
def test_blocks_give_the_same_temperatures(
    height: int, width: int, block: int, images: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduction, "_SPECTRA", TensorCache(max_bytes=10**6 if kept else 0))
    u = random_map(2, height, width, 5, dtype=torch.float64)
    nodes = torch.rand(images, 4, 4, 5, dtype=torch.float64) * 3
    expected = heat_conduction(u, heat_decay(interpolate_spectrum(nodes, height, width)))
    blocked = _blocked(height, width, block=block)
    for _ in range(2):
        torch.testing.assert_close(blocked.conduct(u, nodes), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kept", [True, False])
def test_the_step_is_part_of_the_decay(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """u + g (heat(u) - u) for two gains in turn, so that what is kept must know them apart."""
    monkeypatch.setattr(conduction, "_SPECTRA", TensorCache(max_bytes=10**6 if kept else 0))
    u = random_map(1, 20, 12, 3, dtype=torch.float64)
    nodes = torch.rand(1, 4, 4, 3, dtype=torch.float64) * 3
    heated = heat_conduction(u, heat_decay(interpolate_spectrum(nodes, 20, 12)))
    blocked = _blocked(20, 12, block=100)
    for gain in (torch.tensor([0.0, 0.3, -0.7]), torch.tensor([1.0, 0.1, 2.0])):
        expected = u + gain.double() * (heated - u)
        torch.testing.assert_close(blocked.conduct(u, nodes, gain.double()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_conduction_in_place_on_some_channels_of_a_map(block: int) -> None:
    whole = random_map(2, 20, 12, 7, dtype=torch.float64)
    before = whole.clone()
    nodes = torch.rand(2, 4, 4, 3, dtype=torch.float64) * 3
    blocked = _blocked(20, 12, block=block)
    part = whole[..., 2:5]
    expected = blocked.conduct(part.clone(), nodes)
    assert blocked.conduct(part, nodes, out=part) is part
    torch.testing.assert_close(whole[..., 2:5], expected, rtol=0, atol=1e-13)
    assert torch.equal(whole[..., :2], before[..., :2])
    assert torch.equal(whole[..., 5:], before[..., 5:])


def test_a_decay_without_end_is_no_danger() -> None:
    """Conductivities so large that the decay leaves the range of float32: the mean stays, and nothing else."""
    u = random_map(1, 64, 64, 3, dtype=torch.float32)
    blocked = blocked_conduction(u)
    assert blocked is not None
    conducted = blocked.conduct(u, torch.full((1, 3, 3, 3), 1e6))
    torch.testing.assert_close(conducted, u.mean(dim=(1, 2), keepdim=True).expand_as(u), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(96, 130), (200, 97), (400, 33)])
@pytest.mark.parametrize("options", [{}, {"residual": True}, {"content": True}, {"window": 100, "shifted": True}])
def test_the_operator_computes_the_same_with_blocks(height: int, width: int, options: dict[str, bool | int]) -> None:
    torch.manual_seed(0)
    operator = HeatConduction2d(6, embedding_channels=3, k_min=0.05, k_max=50.0, **options)  # type: ignore[arg-type]
    if operator.content is not None:
        torch.nn.init.normal_(operator.content.linear.weight)
    embedding = torch.randn(5, 5, 3)
    u = random_map(2, height, width, 6, dtype=torch.float32)
    dense = operator(u, embedding).detach()
    fast_on_cpu(operator)
    before = u.clone()
    with torch.no_grad():
        in_blocks = operator(u, embedding)
        repeated = operator(u, embedding)
    assert torch.equal(u, before)
    assert torch.equal(in_blocks, repeated)
    assert float((in_blocks - dense).abs().max() / dense.abs().max()) < 1e-5


def test_where_blocks_are_used() -> None:
    large, small = torch.zeros(1, 64, 20, 4), torch.zeros(1, 63, 40, 4)
    assert blocked_conduction(large) is not None
    assert blocked_conduction(large.double()) is not None
    assert blocked_conduction(small) is None
    assert blocked_conduction(large.bfloat16()) is None
