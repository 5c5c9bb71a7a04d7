"""Decays that are kept between calls: always those of the weights, of the size and of the type."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from heat_layers import OPTIONS, HeatLayer, random_layer, random_map
from torch import Tensor, nn

from vheatir.nn.cpu import conduction, fast_on_cpu
from vheatir.nn.cpu.cache import TensorCache
from vheatir.nn.cpu.conduction import kept_basis
from vheatir.nn.heat import HeatConduction2d, heat_conduction, heat_decay

LEVELS = torch.tensor([10 / 255, 70 / 255], dtype=torch.float64)

every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@pytest.fixture
def decays(monkeypatch: pytest.MonkeyPatch) -> TensorCache:
    """An empty store in place of the one that all operators share."""
    cache = TensorCache(max_bytes=2**20)
    monkeypatch.setattr(conduction, "_DECAYS", cache)
    return cache


def fast_layer(**options: Any) -> HeatLayer:
    return fast_on_cpu(random_layer(**options))


@every_option
def test_inference_gives_what_training_gives(options: dict[str, Any]) -> None:
    layer, u = fast_layer(dtype=torch.float32, **options), random_map(2, 9, 6, 3)
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):  # the coarse first, lest it be reused
        expected = layer(u.to(dtype), LEVELS)
        for context in (torch.no_grad(), torch.inference_mode()):
            with context:
                for _ in range(2):  # the decay is built at first and kept for the second time
                    assert torch.equal(layer(u.to(dtype), LEVELS), expected)


def test_bases_are_kept_by_size_and_dtype() -> None:
    basis = kept_basis(23, 23, dtype=torch.float32)
    assert kept_basis(23, 23, dtype=torch.float32) is basis
    assert kept_basis(23, 23, dtype=torch.float64).dtype == torch.float64
    assert kept_basis(24, 24, dtype=torch.float32).shape == (24, 24)
    assert torch.equal(kept_basis(23, 5, dtype=torch.float32), basis[:5])


def test_decays_are_kept_between_calls_of_inference(decays: TensorCache, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[torch.Size] = []

    def recorded(operator: HeatConduction2d, nodes: Tensor, size: tuple[int, ...]) -> Tensor:
        built.append(nodes.shape)
        return plain(operator, nodes, size)

    plain = HeatConduction2d.decay
    monkeypatch.setattr(HeatConduction2d, "decay", recorded)
    layer = fast_layer()
    with torch.no_grad():
        for _ in range(3):
            layer(random_map(2, 4, 6, 3))
    assert len(built) == len(decays) == 1
    layer(random_map(2, 4, 6, 3))  # training: the decay must carry a gradient
    assert len(built) == 2


@pytest.mark.parametrize("name", ["content", "level"])
def test_decays_of_single_images_are_not_kept(name: str, decays: TensorCache) -> None:
    """They are hardly ever met again, and as many as the batch has images."""
    with torch.no_grad():
        fast_layer(**OPTIONS[name])(random_map(2, 4, 6, 3), LEVELS)
    assert len(decays) == 0


def test_kept_decays_are_bounded_and_always_right(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TensorCache(max_bytes=20_000)
    monkeypatch.setattr(conduction, "_DECAYS", cache)
    layer = fast_layer()
    for side in (*range(1, 33), *range(32, 0, -1)):
        u = random_map(1, side, 33 - side, 3)
        expected = layer(u)
        with torch.no_grad():
            assert torch.equal(layer(u), expected)
        assert 0 < cache.nbytes <= 20_000


def test_kept_decays_are_told_apart_by_shape() -> None:
    """The same number of bytes, all alike: 4 nodes of 9 channels and 9 nodes of 4, a map and its transpose."""
    with torch.no_grad():
        for channels, resolution in ((9, 1), (4, 2)):
            layer = fast_on_cpu(HeatLayer(channels, resolution, k_min=0.5, k_max=0.5))
            nn.init.zeros_(layer.embedding.weight)
            for height, width in ((4, 6), (6, 4), (3, 8)):
                u = random_map(1, height, width, channels, dtype=torch.float32)
                decay = heat_decay(torch.full((height, width, channels), 0.5))
                torch.testing.assert_close(layer(u), heat_conduction(u, decay), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["plain", "level", "content", "window"])
def test_a_kept_decay_never_outlives_its_weights(name: str) -> None:
    """Assignment to .data, as BasicSR's moving average does it, bumps no version counter."""
    layer, other = fast_layer(**OPTIONS[name]), fast_layer(seed=1, **OPTIONS[name])
    u, level = random_map(1, 6, 7, 3), LEVELS[:1]
    with torch.no_grad():
        before = layer(u, level)
        for parameter, new in zip(layer.parameters(), other.parameters(), strict=True):
            parameter.data = new.detach().clone()
        assert torch.equal(layer(u, level), other(u, level))
        for parameter in layer.parameters():
            parameter.data.mul_(0.5)
        halved = layer(u, level)
    assert torch.equal(halved, layer(u, level))
    assert not torch.allclose(halved, other(u, level), atol=1e-4)
    assert not torch.allclose(before, other(u, level), atol=1e-4)


@every_option
def test_what_inference_kept_can_take_part_in_training(options: dict[str, Any]) -> None:
    layer, u = fast_layer(**options), random_map(2, 19, 18, 3)  # sizes that no other test has used
    with torch.inference_mode():
        layer(u, LEVELS)
    u.requires_grad_()
    layer(u, LEVELS).sum().backward()
    assert u.grad is not None
    layer.requires_grad_(False)
    layer(u, LEVELS).sum().backward()  # frozen weights


def test_decays_of_a_part_of_the_spectrum_are_kept_apart(decays: TensorCache) -> None:
    u = random_map(1, 8, 8, 3)
    with torch.no_grad():
        first = [fast_layer(spectrum_ratio=ratio)(u) for ratio in (1.0, 0.5, 0.25)]
        assert len(decays) == 3
        again = [fast_layer(spectrum_ratio=ratio)(u) for ratio in (1.0, 0.5, 0.25)]
    assert len(decays) == 3
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    for ratio, kept in zip((1.0, 0.5, 0.25), first, strict=True):
        torch.testing.assert_close(kept, random_layer(spectrum_ratio=ratio)(u), rtol=0, atol=1e-12)
