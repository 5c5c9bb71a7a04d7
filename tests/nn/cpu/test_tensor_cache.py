from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vheatir.nn.cpu.cache import TensorCache


def fill(cache: TensorCache, key: str, size: int = 10) -> Tensor:
    return cache.get(key, lambda: torch.zeros(size, dtype=torch.uint8))


def fail() -> Tensor:
    pytest.fail("this tensor should have been kept")


def test_a_tensor_is_built_once() -> None:
    cache = TensorCache(max_bytes=100)
    first = fill(cache, "a")
    assert cache.get("a", fail) is first
    assert fill(cache, "b") is not first
    assert (len(cache), cache.nbytes) == (2, 20)


def test_the_least_recently_used_go_first() -> None:
    cache = TensorCache(max_bytes=30)
    for key in "abc":
        fill(cache, key)
    cache.get("a", fail)  # now b has waited longest
    fill(cache, "d")
    assert (len(cache), cache.nbytes) == (3, 30)
    for key in "acd":
        cache.get(key, fail)
    built: list[str] = []
    cache.get("b", lambda: built.append("b") or torch.zeros(10, dtype=torch.uint8))  # type: ignore[func-returns-value]
    assert built == ["b"]


def test_it_never_holds_more_than_its_bytes() -> None:
    cache = TensorCache(max_bytes=100)
    for size in (60, 30, 50, 1, 100, 99, 2, 40):
        assert fill(cache, f"{size} bytes", size).nbytes == size
        assert 0 < cache.nbytes <= 100
    assert (len(cache), cache.nbytes) == (2, 42)


def test_bytes_are_counted_not_elements() -> None:
    cache = TensorCache(max_bytes=100)
    cache.get("a", lambda: torch.zeros(12, dtype=torch.float64))
    assert cache.nbytes == 96


def test_a_tensor_beyond_the_budget_is_returned_and_not_kept() -> None:
    cache = TensorCache(max_bytes=100)
    fill(cache, "small")
    assert fill(cache, "large", 101).nbytes == 101
    assert (len(cache), cache.nbytes) == (1, 10)
    cache.get("small", fail)


def test_a_key_built_twice_at_once_is_counted_once() -> None:
    cache = TensorCache(max_bytes=100)
    cache.get("a", lambda: fill(cache, "a"))  # as two threads do that meet
    assert (len(cache), cache.nbytes) == (1, 10)


def test_forgetting() -> None:
    cache = TensorCache(max_bytes=100)
    fill(cache, "a")
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_tensors_kept_during_inference_can_take_part_in_training() -> None:
    cache = TensorCache(max_bytes=100)
    weight = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        kept = cache.get("a", lambda: torch.arange(3.0))
    assert not kept.is_inference()
    (weight * cache.get("a", fail)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [0, 1, 2]


def test_tensors_are_built_outside_autograd() -> None:
    weight = torch.ones(3, requires_grad=True)
    assert not TensorCache(max_bytes=100).get("a", lambda: 2 * weight).requires_grad


def room(cache: TensorCache, key: str, size: int) -> Tensor | None:
    return cache.get_if_room(key, size, lambda: torch.zeros(size, dtype=torch.uint8))


def test_what_is_in_use_is_not_thrown_out_for_what_comes_next() -> None:
    cache = TensorCache(max_bytes=25)
    for _ in range(300):  # a network of four blocks, of which two fit
        assert room(cache, "a", 10) is not None
        assert room(cache, "b", 10) is not None
        assert room(cache, "c", 10) is None
        assert room(cache, "d", 10) is None
    assert (len(cache), cache.nbytes) == (2, 20)


def test_what_nobody_asks_for_any_more_gives_way() -> None:
    cache = TensorCache(max_bytes=25)
    room(cache, "old", 20)
    found = [room(cache, "new", 10) is not None for _ in range(200)]
    assert found == [False] * 99 + [True] * 101
    assert (len(cache), cache.nbytes) == (1, 10)


def test_what_can_never_fit_throws_nothing_out() -> None:
    cache = TensorCache(max_bytes=25)
    room(cache, "small", 10)
    assert [room(cache, "large", 26) for _ in range(200)] == [None] * 200
    assert room(cache, "small", 10) is not None
