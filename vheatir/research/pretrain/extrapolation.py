"""Linear extrapolation of a block of features: dz/dx = A z and dz/dy = B z, solved in closed form.

Source: Chen et al., arXiv 2211.13228: the steady-state heat equation z_xx + S z_yy = 0 in feature space, split into
two first-order equations, one an axis. From one position to the next z changes by a fixed matrix, exp(A) along x and
exp(B) along y (or I + A and I + B, Euler's reading of the same equations), and over a distance Δ by its power Δ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

import torch
from torch import Tensor

from vheatir.training.options.schema import Source

__all__ = ["SOURCES", "Source", "block_source", "extrapolate", "extrapolate_axis", "matrix_powers"]

SOURCES: Final[tuple[Source, ...]] = get_args(Source)


def matrix_powers(matrix: Tensor, count: int) -> Tensor:
    """M^0, M^1, ..., M^(count - 1).

    By doubling, M^(n + i) = M^n M^i: about log2(count) products deep, so that neither rounding nor the gradient passes
    through one product after another.

    Args:
        matrix: M, shape (C, C).
        count: number of powers, at least 1.

    Returns:
        Shape (count, C, C).
    """
    powers = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)[None]
    step = matrix  # M^len(powers)
    while len(powers) < count:
        powers = torch.cat((powers, step @ powers))
        step = step @ step
    return powers[:count]


def block_source(position: int, size: int, source: Source) -> int:
    """Position in the block, along one axis, from which the features at ``position`` are predicted.

    ``nearest`` is the block's last position: the shortest way, from the border, as in a boundary value problem.
    ``mirrored`` is as far inside the block as ``position`` is outside: every position of the block is used once.
    ``corresponding`` is the same place in the block: all ways are as long as the block.

    Args:
        position: outside the block, from ``size`` to 2 ``size`` - 1.
        size: number of positions of the block, which begins at 0.
        source: which rule.
    """
    return {"nearest": size - 1, "mirrored": 2 * size - 1 - position, "corresponding": position - size}[source]


def extrapolate_axis(block: Tensor, step: Tensor, sources: Sequence[Source]) -> Tensor:
    """Continue features to twice their width: z(x + Δ) = M^Δ z(x), Δ > 0.

    Args:
        block: z, shape (B, C, H, w).
        step: M, shape (C, C), the change from one position to the next.
        sources: rules by which the positions to start from are chosen; the predictions of several are averaged.

    Returns:
        Shape (B, C, H, 2w); the first w positions are ``block`` itself.
    """
    width = block.shape[-1]
    outside = range(width, 2 * width)
    powers = matrix_powers(step, 2 * width)
    predictions = []
    for source in sources:
        starts = [block_source(position, width, source) for position in outside]
        distances = [position - start for position, start in zip(outside, starts, strict=True)]
        predictions.append(torch.einsum("xdc,bchx->bdhx", powers[distances], block[..., starts]))
    return torch.cat((block, torch.stack(predictions).mean(dim=0)), dim=-1)


def extrapolate(block: Tensor, step_x: Tensor, step_y: Tensor, sources: Sequence[Source]) -> Tensor:
    """Continue the block in the top left corner to the three other quarters.

    First along x, then along y; where the two matrices commute, the other order gives the same.

    Args:
        block: features, shape (B, C, h, w).
        step_x: change of the features from one column to the next, exp(A) or I + A, shape (C, C).
        step_y: change from one row to the next, exp(B) or I + B.
        sources: as in :func:`extrapolate_axis`, along each axis.

    Returns:
        Shape (B, C, 2h, 2w).
    """
    wide = extrapolate_axis(block, step_x, sources)
    return extrapolate_axis(wide.transpose(-1, -2), step_y, sources).transpose(-1, -2)
