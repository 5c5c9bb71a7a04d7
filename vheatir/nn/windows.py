"""Cutting a map into square windows and putting it together again, for any height and width.

By one gathering of positions, rather than by reshapes and slices: an exported graph stays open to any size.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["count_windows", "cut_windows", "join_windows", "merge_windows", "split_windows"]


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
    rows, columns = (
        (torch.arange(count_windows(length, window, shift) * window, device=x.device) - shift).clamp(0, length - 1)
        for length in x.shape[1:3]
    )
    return cut_windows(x, window, rows, columns)


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
    rows, columns = (torch.arange(length, device=windows.device) + shift for length in (height, width))
    counts = [count_windows(length, windows.shape[1], shift) for length in (height, width)]
    return join_windows(windows, (counts[0], counts[1]), rows, columns)


def cut_windows(x: Tensor, window: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut windows from a map whose rows and columns are put in an order first.

    Args:
        x: shape (B, H, W, C).
        window: M, side of the windows.
        rows: row of x that stands in each row of windows, one below the other, shape (n M,).
        columns: the same for columns, shape (m M,).

    Returns:
        Windows, shape (B n m, M, M, C), row-major within each map.
    """
    batch, height, width, channels = x.shape
    place = rows.view(-1, 1, window, 1) * width + columns.view(1, -1, 1, window)
    tokens = x.reshape(batch, height * width, channels).index_select(1, place.flatten())
    return tokens.reshape(batch * place.shape[0] * place.shape[1], window, window, channels)


def join_windows(windows: Tensor, counts: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Put a map together from windows.

    Args:
        windows: shape (B n m, M, M, C).
        counts: n and m, windows along height and width.
        rows: row of the windows, counted from the first one down, that each row of the map is, shape (H,).
        columns: the same for columns, shape (W,).

    Returns:
        The map, shape (B, H, W, C).
    """
    total, window, _, channels = windows.shape
    down, across = counts
    place = ((rows // window * across)[:, None] + columns // window) * window**2
    place = place + (rows % window * window)[:, None] + columns % window
    tokens = windows.reshape(total // (down * across), down * across * window**2, channels)
    joined: Tensor = tokens.index_select(1, place.flatten()).unflatten(1, place.shape)
    return joined


def count_windows(length: int, window: int, shift: int = 0) -> int:
    """Windows along an axis of ``length`` pixels, the first of which starts ``shift`` pixels before it."""
    return (length + shift + window - 1) // window
