from __future__ import annotations

import pytest
import torch
from heat_layers import random_map

from vheatir.nn.windows import cut_windows, join_windows, merge_windows, split_windows


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


def test_whole_windows_by_hand_and_back() -> None:
    x = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)
    rows, columns = torch.arange(4), torch.arange(6)
    windows = cut_windows(x, 2, rows, columns)
    assert windows.shape == (12, 2, 2, 3)
    assert torch.equal(windows[4], x[0, 2:4, 2:4])  # second row, second column of the first map
    assert torch.equal(join_windows(windows, (2, 3), rows, columns), x)


def test_windows_of_rows_and_columns_in_another_order() -> None:
    """As windows that wrap around: cut from a map rolled by one, and put together the other way round."""
    x = torch.arange(2 * 4 * 6 * 3).view(2, 4, 6, 3)
    rolled = torch.roll(x, (-1, -1), (1, 2))
    windows = cut_windows(x, 2, (torch.arange(4) + 1) % 4, (torch.arange(6) + 1) % 6)
    assert torch.equal(windows, cut_windows(rolled, 2, torch.arange(4), torch.arange(6)))
    assert torch.equal(join_windows(windows, (2, 3), (torch.arange(4) - 1) % 4, (torch.arange(6) - 1) % 6), x)
