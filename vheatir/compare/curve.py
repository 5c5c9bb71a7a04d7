"""What one training learned by when: its file, written after every validation.

A curve file is one JSON object: ``format`` ("vheatir-curve"), ``format_version`` (1), ``parameters``, ``environment``,
``finished``, and ``points``, each with ``iteration``, ``seconds`` (of training: validation and saving are left out) and
``psnr`` by the name of the validation set, in dB, the mean over its images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from vheatir.atomic import atomic_path
from vheatir.benchmark.environment import Environment

__all__ = ["CompareError", "Curve", "Point", "read_curve", "read_json", "write_curve", "write_json"]

_FORMAT: Final = "vheatir-curve"

Built = TypeVar("Built")


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
    points: Sequence[Point] = ()
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

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Curve:
        """Rebuild a curve from ``dataclasses.asdict`` of it, other keys beside it being left alone."""
        return cls(
            parameters=content["parameters"],
            environment=Environment(**content["environment"]),
            points=tuple(Point(**point) for point in content["points"]),
            finished=content["finished"],
        )


def write_curve(path: Path, curve: Curve) -> None:
    """Write a curve file, atomically."""
    write_json(path, _FORMAT, asdict(curve))


def read_curve(path: Path) -> Curve:
    """Read a curve file.

    Raises:
        CompareError: if it is missing, no curve file, or damaged.
    """
    return read_json(path, _FORMAT, Curve.from_json, remedy="remove it and run again")


def write_json(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its format's name and version in front, atomically."""
    whole = {"format": kind, "format_version": 1, **content}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def read_json(path: Path, kind: str, build: Callable[[Mapping[str, Any]], Built], *, remedy: str) -> Built:
    """Read a JSON object of one format.

    Args:
        path: the file.
        kind: its format.
        build: what to make of the object; raises KeyError or TypeError where something is missing.
        remedy: what to do if it does.

    Raises:
        CompareError: if the file is missing, of another format or version, or damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CompareError(f"{path} cannot be read ({error}); run the comparison again.") from error
    if not isinstance(content, dict) or content.get("format") != kind or content.get("format_version") != 1:
        raise CompareError(f"{path} is not a file of format {kind}, version 1; give another.")
    try:
        return build(content)
    except (KeyError, TypeError) as error:
        raise CompareError(f"{path} is damaged ({type(error).__name__}: {error}); {remedy}.") from error
