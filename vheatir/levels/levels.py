"""Levels of degradation: σ of the noise in 8-bit units, or JPEG quality."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias, TypeGuard, TypeVar

import numpy as np

from vheatir.weights.file import LEVEL_LIMITS, LevelName, WeightsHeader

__all__ = [
    "Levels",
    "Sigma",
    "check_levels",
    "given_numbers",
    "is_auto",
    "mean_sigma",
    "scaled_levels",
    "told_levels",
    "trained_levels",
]

logger = logging.getLogger(__name__)

_NO_COMPRESSION: Final = 100.0

#: standard deviation of the noise in 8-bit units: one for all channels, or one for each of R, G, B
Sigma: TypeAlias = float | Sequence[float]
#: one level, a tensor of them, or None
Level = TypeVar("Level")


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
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"{wanted}, not {type(level).__name__}.") from error
    if np.asarray(level).dtype.kind in "bSU" or numbers.ndim > 1:
        raise TypeError(f"{wanted}, not {level!r}.")
    return tuple(float(number) for number in np.atleast_1d(numbers))


@dataclass(frozen=True)
class Levels:
    """What a network is told of an image's degradation; None for what nobody knows.

    Attributes:
        sigma: standard deviation of the noise in 8-bit units.
        quality: JPEG quality, 1 to 100.
    """

    sigma: float | None = None
    quality: float | None = None

    def __str__(self) -> str:
        told = (("sigma", self.sigma), ("quality", self.quality))
        return ", ".join(f"{name} {value:g}" for name, value in told if value is not None) or "blind"


def check_levels(levels: Levels) -> None:
    """Refuse what is no noise level (0 to 255) or no JPEG quality (1 to 100).

    Raises:
        ValueError: if a level is outside, or not a number.
    """
    for name, (low, high) in LEVEL_LIMITS.items():
        value: float | None = getattr(levels, name)
        if value is not None and not low <= value <= high:  # NaN fails too
            raise ValueError(f"{name} is {low:g} to {high:g}, not {value:g}.")


def told_levels(header: WeightsHeader, given: Mapping[LevelName, Level]) -> dict[LevelName, Level]:
    """Return what is given of each level that a model knows.

    Raises:
        ValueError: if another level is given, or the one level of a model is not.
    """
    known = list(header.ranges)
    for name, value in given.items():
        if value is not None and name not in known:
            raise ValueError(f"Model {header.name} takes {' and '.join(known)}, not {name}.")
        if value is None and known == [name]:
            raise ValueError(f"Model {header.name} needs {name}.")
    return {name: given[name] for name in known}


def trained_levels(header: WeightsHeader, levels: Levels) -> Levels:
    """Return the levels that the model of this header is run with.

    Raises:
        ValueError: if a noise level is outside the trained range, or a quality outside 1 to 100. A quality below the
            trained range becomes the smallest trained one, with a logged note; one above it is as good as known, since
            models do less and less from there to 100.
    """
    used = levels
    if levels.sigma is not None:
        low, high = header.ranges["sigma"]
        if not low <= levels.sigma <= high:
            known = f"{low:g} to {high:g} for model {header.name}, which was trained for that"
            raise ValueError(f"sigma is {known}; not {levels.sigma:g}.")
    if levels.quality is not None:
        check_levels(levels)
        lowest, highest = header.ranges["quality"]
        if levels.quality < lowest:
            _note_quality(header.name, levels.quality, lowest, f"{lowest:g} to {highest:g}")
            used = replace(used, quality=lowest)
    return used


def scaled_levels(header: WeightsHeader, levels: Levels, strength: float) -> Levels:
    """Return levels of which a model of one level removes ``strength`` times as much, within its trained range."""
    if levels.sigma is not None:
        return Levels(sigma=_bounded(levels.sigma * strength, header.ranges["sigma"]))
    assert levels.quality is not None
    scaled = 100.0 - (100.0 - levels.quality) * strength
    return Levels(quality=_bounded(scaled, (header.ranges["quality"][0], _NO_COMPRESSION)))


def _bounded(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


@lru_cache(maxsize=64)
def _note_quality(task: str, quality: float, used: float, known: str) -> None:
    """Log a quality outside the trained range: once, not for each of a thousand files."""
    logger.warning("quality %g: model %s was trained for %s, so %g is used", quality, task, known, used)
