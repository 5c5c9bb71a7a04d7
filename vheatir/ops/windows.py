"""Cutting a map into square windows and putting it together again, for any height and width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["merge_windows", "split_windows"]


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
    batch, height, width, channels = x.shape
    bottom, right = (-(height + shift)) % window, (-(width + shift)) % window
    padded = F.pad(x.permute(0, 3, 1, 2), (shift, right, shift, bottom), mode="replicate")
    rows, columns = (height + shift + bottom) // window, (width + shift + right) // window
    grid = padded.permute(0, 2, 3, 1).reshape(batch, rows, window, columns, window, channels)
    return grid.transpose(2, 3).reshape(batch * rows * columns, window, window, channels)


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
    window, channels = windows.shape[1], windows.shape[3]
    rows, columns = -(-(height + shift) // window), -(-(width + shift) // window)
    grid = windows.reshape(-1, rows, columns, window, window, channels).transpose(2, 3)
    padded = grid.reshape(-1, rows * window, columns * window, channels)
    return padded[:, shift : shift + height, shift : shift + width]
