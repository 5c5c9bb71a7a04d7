"""Heat conduction on an insulated rectangle, in closed form.

A temperature u0 on a rectangle whose edges let no heat pass (Neumann boundary) is a sum of cosines, and each
cosine decays by itself: ``u(t) = IDCT2(DCT2(u0) * exp(-k (w_n^2 + w_m^2)))`` with ``w_n = pi n / H``,
``w_m = pi m / W`` and k the conductivity times the time, in square pixels. A constant k blurs by a Gaussian of
standard deviation ``sqrt(2 k)`` pixels.

Source: vHeat, "Building Vision Models upon Heat Conduction", CVPR 2025, equations 4 to 8. What differs from its
public code: any H and W; the decay is exp(-k w^2) in float32 or wider; half precision works.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vheatir.nn.ops.dct import dct2, idct2

__all__ = ["heat_conduction", "heat_decay", "squared_frequencies"]


def squared_frequencies(
    height: int, width: int, *, dtype: torch.dtype, device: torch.device, kept: tuple[int, int] | None = None
) -> Tensor:
    """``w_n^2 + w_m^2`` for every cosine of an H x W grid, or the lowest ``kept``: (H, W), square radians a pixel."""
    row_count, column_count = (height, width) if kept is None else kept
    rows = torch.arange(row_count, dtype=dtype, device=device) * math.pi / height
    columns = torch.arange(column_count, dtype=dtype, device=device) * math.pi / width
    return rows[:, None].square() + columns[None, :].square()


def heat_decay(conductivity: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
    """Factor by which each cosine coefficient decays: ``exp(-k (w_n^2 + w_m^2))``.

    Args:
        conductivity: k >= 0 in square pixels, shape (..., H, W, C), float32 or float64.
        size: height and width of the map, where ``conductivity`` is given at its lowest frequencies only.

    Returns:
        Tensor of the same shape and dtype with values in [0, 1]; exactly 1 at the mean, (n, m) = (0, 0).
    """
    kept = (conductivity.shape[-3], conductivity.shape[-2])
    height, width = kept if size is None else size
    squared = squared_frequencies(height, width, dtype=conductivity.dtype, device=conductivity.device, kept=kept)
    return torch.exp(-conductivity * squared[:, :, None])


def heat_conduction(u: Tensor, decay: Tensor) -> Tensor:
    """Let the temperature u diffuse over an insulated rectangle.

    The transforms run in the dtype of u, except that float16 is computed in float32: the mean's coefficient
    grows with sqrt(H W) and would leave float16's range.

    Args:
        u: temperatures, shape (B, H, W, C), any floating dtype.
        decay: :func:`heat_decay` of the conductivity, shape (H, W, C) or (B, H, W, C), float32 or float64.

    Returns:
        Temperatures after conduction, shape and dtype of u.
    """
    working = torch.float32 if u.dtype == torch.float16 else u.dtype
    coefficients = dct2(u.to(working))
    return idct2(coefficients * decay.to(working)).to(u.dtype)
