"""Cutting a map into square windows and putting it together again, for any height and width."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "count_windows",
    "cut_windows",
    "extend_by_edges",
    "join_windows",
    "merge_windows",
    "split_windows",
    "take_inner",
]


def split_windows(x: Tensor, window: int, shift: int) -> Tensor:
    """Cut a map into windows, the first of which starts ``shift`` pixels outside the map.

    The map is extended by its own edge pixels where windows overhang, so that no heat leaves through the
    extension and nothing wraps around to the opposite side.

    Args:
        x: shape (B, H, W, C).
        window: side of a window in pixels.
        shift: 0 <= shift < window.

    Returns:
        Windows, shape (B * rows * columns, window, window, C), row-major within each map.
    """
    rows, columns = (count_windows(length, window, shift) for length in x.shape[1:3])
    padded = extend_by_edges(x, 1, shift, rows * window)
    padded = extend_by_edges(padded, 2, shift, columns * window)
    return cut_windows(padded, rows, columns)


def merge_windows(windows: Tensor, shift: int, height: int, width: int) -> Tensor:
    """Inverse of :func:`split_windows`.

    Args:
        windows: shape (B * rows * columns, window, window, C).
        shift: the shift that the map was cut with.
        height: H of the map.
        width: W of the map.

    Returns:
        The map, shape (B, H, W, C).
    """
    rows, columns = (count_windows(length, windows.shape[1], shift) for length in (height, width))
    padded = join_windows(windows, rows, columns)
    return take_inner(take_inner(padded, 1, shift, height), 2, shift, width)


def cut_windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut a map into whole windows.

    Args:
        x: shape (B, rows * M, columns * M, C).
        rows: windows along the height.
        columns: windows along the width.

    Returns:
        Windows, shape (B * rows * columns, M, M, C), row-major within each map.
    """
    batch, height, _, channels = x.shape
    window = height // rows
    grid = x.reshape(batch, rows, window, columns, window, channels)
    return grid.transpose(2, 3).reshape(batch * rows * columns, window, window, channels)


def join_windows(windows: Tensor, rows: int, columns: int) -> Tensor:
    """Inverse of :func:`cut_windows`."""
    window, channels = windows.shape[1], windows.shape[3]
    grid = windows.reshape(-1, rows, columns, window, window, channels)
    if torch.compiler.is_compiling():  # by indices: a reshape would bind an exported graph to its size
        row = torch.arange(rows * window, device=windows.device)[:, None]
        column = torch.arange(columns * window, device=windows.device)
        return grid[:, row // window, column // window, row % window, column % window]
    return grid.transpose(2, 3).reshape(-1, rows * window, columns * window, channels)


def extend_by_edges(x: Tensor, axis: int, before: int, length: int) -> Tensor:
    """Repeat the first and last entries of an axis outwards.

    By indices rather than ``torch.nn.functional.pad``, whose exported graph is bound to the size it was made with.

    Args:
        x: any shape.
        axis: the axis to extend.
        before: entries to add before the first.
        length: of the axis afterwards.

    Returns:
        x with ``length`` entries along ``axis``.
    """
    position = torch.arange(length, device=x.device) - before
    return x.index_select(axis, position.clamp(0, x.shape[axis] - 1))


def take_inner(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """Entries start to start + length of an axis: a view, or in an exported graph a copy bound to no size."""
    if torch.compiler.is_compiling():
        return x.index_select(axis, torch.arange(length, device=x.device) + start)
    return x.narrow(axis, start, length)


def count_windows(length: int, window: int, shift: int = 0) -> int:
    """Windows along an axis of ``length`` pixels, the first of which starts ``shift`` pixels before it."""
    return (length + shift + window - 1) // window
