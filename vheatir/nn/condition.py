"""The condition: what a network is told of a level, as a number from 0 (nothing to remove) to about 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["UNKNOWN", "jpeg_condition", "noise_condition"]

#: one level, or a tensor of them
Level = TypeVar("Level", float, "Tensor")

#: the condition for a level that is not known; any negative number means the same
UNKNOWN: Final = -1.0


def noise_condition(sigma: Level) -> Level:
    """Return the condition for noise of standard deviation ``sigma`` (8-bit units): σ/255."""
    return sigma / 255


def jpeg_condition(quality: Level) -> Level:
    """Return the condition for a JPEG quality, 1 to 100: (100 - quality)/100."""
    return (100 - quality) / 100
