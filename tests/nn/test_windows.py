from __future__ import annotations

import pytest
import torch
from heat_layers import random_map

from vheatir.nn.ops import cut_windows, join_windows, merge_windows, split_windows


def test_windows_by_hand() -> None:
    x = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.float32)[None, :, :, None]
    windows = split_windows(x, 2, 0)[..., 0]
    assert windows.tolist() == [[[1, 2], [4, 5]], [[3, 3], [6, 6]]]


def test_shifted_windows_by_hand() -> None:
    """The first window starts outside; what is missing is filled with the nearest pixels, not from the other side."""
    x = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.float32)[None, :, :, None]
    windows = split_windows(x, 2, 1)[..., 0]
    assert windows.tolist() == [[[1, 1], [1, 1]], [[2, 3], [2, 3]], [[4, 4], [4, 4]], [[5, 6], [5, 6]]]


@pytest.mark.parametrize("window", [1, 2, 4, 5, 70])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (8, 8), (7, 12), (13, 5)])
def test_merging_undoes_splitting(height: int, width: int, window: int) -> None:
    x = random_map(3, height, width, 2)
    for shift in {0, window // 2, window - 1}:
        windows = split_windows(x, window, shift)
        assert windows.shape[1:] == (window, window, 2)
        assert torch.equal(merge_windows(windows, shift, height, width), x)


def test_there_are_no_more_windows_than_needed() -> None:
    assert split_windows(random_map(2, 8, 12, 1), 4, 0).shape[0] == 2 * 2 * 3
    assert split_windows(random_map(2, 8, 12, 1), 4, 2).shape[0] == 2 * 3 * 4
    assert split_windows(random_map(2, 9, 12, 1), 4, 0).shape[0] == 2 * 3 * 3


def test_windows_of_an_image_are_neighbours_in_the_batch() -> None:
    x = torch.stack((torch.zeros(4, 6, 1), torch.ones(4, 6, 1)))
    windows = split_windows(x, 2, 0)
    assert windows.amax(dim=(1, 2, 3)).tolist() == [0] * 6 + [1] * 6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_dtype_is_cut(dtype: torch.dtype) -> None:
    x = random_map(1, 5, 7, 2, dtype=dtype)
    windows = split_windows(x, 4, 2)
    assert windows.dtype == dtype
    assert torch.equal(merge_windows(windows, 2, 5, 7), x)


def test_gradients_match_finite_differences() -> None:
    x = random_map(2, 3, 5, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: split_windows(x, 2, 1), x)
    windows = split_windows(x.detach(), 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda windows: merge_windows(windows, 1, 3, 5), windows)


@pytest.mark.parametrize("compiling", [False, True])
def test_whole_windows_by_hand_and_back(compiling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined by shapes, and by indices as an exported graph does it."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    x = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)
    windows = cut_windows(x, 2, 3)
    assert windows.shape == (12, 2, 2, 3)
    assert torch.equal(windows[4], x[0, 2:4, 2:4])  # second row, second column of the first map
    assert torch.equal(join_windows(windows, 2, 3), x)
