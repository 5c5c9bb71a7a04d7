"""What one training learned by when: its file, written after every validation.

A curve file is one JSON object: ``format`` ("vheatir-curve"), ``format_version`` (1), ``parameters``, ``environment``,
``finished``, and ``points``, each with ``iteration``, ``seconds`` (of training: validation and saving are left out) and
``psnr`` by the name of the validation set, in dB, the mean over its images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from vheatir.evaluation.environment import Environment
from vheatir.evaluation.record_file import RecordFormat

__all__ = ["CURVE_FILE", "CompareError", "Curve", "Point"]


class CompareError(ValueError):
    """A comparison that cannot go on, or a file of it that cannot be used; the message names the remedy."""


@dataclass(frozen=True)
class Point:
    """One validation.

    Attributes:
        iteration: steps of training before it.
        seconds: of training before it.
        psnr: dB by the name of the validation set.
    """

    iteration: int
    seconds: float
    psnr: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """One training.

    Attributes:
        parameters: trainable values of its network.
        environment: where it ran; where it ran last, if it was resumed.
        points: validations, in order.
        finished: the last point is the end of the training.
    """

    parameters: int
    environment: Environment
    points: tuple[Point, ...] = ()
    finished: bool = False

    def until(self, iteration: int) -> Curve:
        """The curve without what came after a step from which the training goes on."""
        return replace(self, points=tuple(point for point in self.points if point.iteration <= iteration))

    def with_point(self, point: Point, *, finished: bool) -> Curve:
        """The curve and one point more."""
        return replace(self, points=(*self.points, point), finished=finished)

    def at(self, seconds: float) -> Point:
        """The validation nearest to a time of training."""
        return min(self.points, key=lambda point: abs(point.seconds - seconds))


CURVE_FILE: Final = RecordFormat(Curve, "vheatir-curve", 1, "curve file", "remove it and run again", CompareError)
