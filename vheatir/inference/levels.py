"""Levels of degradation: σ of the noise in 8-bit units, or JPEG quality."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias, TypeGuard

import numpy as np

from vheatir.checkpoint import LEVEL_LIMITS, Degradation, WeightsHeader

__all__ = ["Sigma", "check_level", "given_numbers", "is_auto", "mean_sigma", "scaled_level", "trained_level"]

logger = logging.getLogger(__name__)


#: standard deviation of the noise in 8-bit units: one for all channels, or one for each of R, G, B
Sigma: TypeAlias = float | Sequence[float]


def mean_sigma(channels: Sequence[float]) -> float:
    """Return the level for noise that differs between the channels: the root mean square.

    Measured against running each channel at its own level, and against channels scaled to equal noise:
    docs/levels.md.

    Raises:
        ValueError: if there are neither one nor three channels, or one is below 0 or not finite.
    """
    if len(channels) not in (1, 3):
        raise ValueError(f"sigma is one number, or three for R, G and B, not {len(channels)}.")
    if not all(0 <= sigma < math.inf for sigma in channels):
        raise ValueError(f"sigma is 0 or more in each channel, not {', '.join(f'{sigma:g}' for sigma in channels)}.")
    return math.sqrt(sum(sigma**2 for sigma in channels) / len(channels))


def is_auto(level: object) -> TypeGuard[Literal["auto"]]:
    """Tell whether a level is the word "auto"; arrays do not compare to words."""
    return isinstance(level, str) and level == "auto"


def given_numbers(name: str, level: object) -> tuple[float, ...]:
    """Return a level that somebody gave as numbers: of any type of number, or of several, an array among them.

    Args:
        name: of the level, for messages.
        level: what was given.

    Raises:
        TypeError: if it is no number and holds none.
        ValueError: if it is a text.
    """
    wanted = f'{name} is a number{", or three for R, G and B," if name == "sigma" else ""} or "auto"'
    if isinstance(level, str | bytes):
        raise ValueError(f"{wanted}, not the text {level!r}.")
    try:
        numbers = np.asarray(level, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{wanted}, not {type(level).__name__}.") from error
    if isinstance(level, bool) or numbers.ndim > 1:
        raise TypeError(f"{wanted}, not {level!r}.")
    return tuple(float(number) for number in np.atleast_1d(numbers))


def check_level(degradation: Degradation, level: float) -> None:
    """Refuse what is no noise level (0 to 255) or no JPEG quality (1 to 100).

    Raises:
        ValueError: if the level is outside, or not a number.
    """
    low, high = LEVEL_LIMITS[degradation]
    if not low <= level <= high:  # NaN fails too
        name = "sigma" if degradation == "denoise" else "quality"
        raise ValueError(f"{name} is {low:g} to {high:g}, not {level:g}.")


def trained_level(header: WeightsHeader, level: float) -> float:
    """Return the level that the model of this header is run with.

    Raises:
        ValueError: if a noise level is outside the trained range, or a quality outside 1 to 100. A quality
            outside the trained range becomes the nearest trained one, with a logged note.
    """
    known = f"{header.level_min:g} to {header.level_max:g}"
    bounded = min(max(level, header.level_min), header.level_max)
    if bounded == level:
        return level
    if header.degradation == "denoise":
        raise ValueError(f"sigma is {known} for model {header.task}, which was trained for that; not {level:g}.")
    check_level(header.degradation, level)
    _note_quality(header.task, level, bounded, known)
    return bounded


def scaled_level(header: WeightsHeader, level: float, strength: float) -> float:
    """Return a level of which the model removes ``strength`` times as much, within its trained range."""
    scaled = level * strength if header.degradation == "denoise" else 100.0 - (100.0 - level) * strength
    return min(max(scaled, header.level_min), header.level_max)


@lru_cache(maxsize=64)
def _note_quality(task: str, quality: float, used: float, known: str) -> None:
    """Log a quality outside the trained range: once, not for each of a thousand files."""
    logger.warning("quality %g: model %s was trained for %s, so %g is used", quality, task, known, used)
