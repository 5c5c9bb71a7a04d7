"""Distances within which a share of a map's energy lies."""

from __future__ import annotations

from typing import Final, TypeAlias

import torch
from torch import Tensor

__all__ = ["SHARES", "Pixel", "enclosed_energy", "energy_radii"]

#: row and column
Pixel: TypeAlias = tuple[int, int]

#: shares of the energy of which radii are told
SHARES: Final = (0.5, 0.9, 0.99)


def enclosed_energy(energy: Tensor, centre: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return the share of a map's energy within each distance of a centre.

    Args:
        energy: shape (H, W), 0 or more.
        centre: row and column, which may lie between pixels.

    Returns:
        Distances of the pixels from the centre, rising, each once, in pixels of the map; and the share of the energy
        that lies no farther, rising to 1 (NaN if there is no energy).
    """
    energy = energy.double()
    rows = torch.arange(energy.shape[0], dtype=energy.dtype) - centre[0]
    columns = torch.arange(energy.shape[1], dtype=energy.dtype) - centre[1]
    squared = rows[:, None].square() + columns[None, :].square()
    distances, ring = torch.unique(squared.flatten(), return_inverse=True)
    rings = torch.zeros_like(distances).index_add_(0, ring, energy.flatten())
    return distances.sqrt(), rings.cumsum(0) / rings.sum()


def energy_radii(energy: Tensor, centre: tuple[float, float], shares: tuple[float, ...] = SHARES) -> tuple[float, ...]:
    """Return the smallest distances within which those shares of the energy lie, in pixels of the map; NaN without any.

    Args:
        energy: shape (H, W), 0 or more.
        centre: row and column, which may lie between pixels.
        shares: 0 to 1 each.
    """
    distances, enclosed = enclosed_energy(energy, centre)
    if not bool(enclosed.isfinite().all()):
        return tuple(float("nan") for _ in shares)
    # sums that reach 1 but for rounding count as 1
    return tuple(float(distances[int((enclosed < share - 1e-12).sum())]) for share in shares)
