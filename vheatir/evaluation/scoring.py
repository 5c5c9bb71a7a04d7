"""Scoring: every method on every image of a set, one image at a time, all methods on the same degraded pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from vheatir.data.evaluation import Task
from vheatir.evaluation.environment import Environment
from vheatir.evaluation.methods import Countable, Method
from vheatir.evaluation.metrics import METRICS, MetricName, load_metric
from vheatir.evaluation.protocol import Protocol, to_eight_bits
from vheatir.evaluation.results import Channels, Result
from vheatir.evaluation.sets import ImageSet, SetError

__all__ = ["Outcome", "ScoringError", "score_set"]


class ScoringError(ValueError):
    """A method that gave no image; the message names method and image."""


@dataclass(frozen=True)
class Outcome:
    """What one method made of one image; for pictures and progress.

    Attributes:
        image: path within the set.
        method: heading.
        restored: 8 bits.
        truth: 8 bits.
    """

    image: str
    method: str
    restored: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass
class _Tally:
    """What has been measured of one method."""

    images: dict[str, dict[MetricName, float | None]] = field(default_factory=dict)
    pixels: int = 0
    seconds: float = 0.0
    multiply_adds: int | None = 0
    peak_memory: int | None = None


def score_set(
    images: ImageSet,
    methods: Mapping[str, Method],
    *,
    task: Task,
    channels: Channels,
    level: float,
    protocol: Protocol,
    metrics: Sequence[MetricName],
    environment: Environment,
    timed: bool = False,
    watch: Callable[[Outcome], None] | None = None,
) -> list[Result]:
    """Score methods on a set at one level.

    Args:
        images: the set.
        methods: by heading, in the order of the table.
        task: what to remove.
        channels: of the images that the methods see.
        level: σ in 8-bit units, or JPEG quality.
        protocol: how.
        metrics: which.
        environment: stored with the results.
        timed: store the seconds too, which mean something on an idle machine alone.
        watch: called after each method's image.

    Returns:
        One result a method, in order.

    Raises:
        ScoringError: if a method raises a ValueError, or returns another shape or values that are not finite.
        SetError: if an image is too small for a metric, or cannot be decoded.
    """
    tallies = {name: _Tally() for name in methods}
    for index, image in enumerate(images.names):
        degraded, truth = _pair(images, index, protocol, task=task, channels=channels, level=level)
        _check_size(image, images, protocol.scored(truth), metrics)
        for name, method in methods.items():
            restored = _restore(method, name, image, degraded, level, tallies[name])
            scores = {metric: _score(metric, protocol, restored, truth) for metric in metrics}
            tallies[name].images[image] = scores
            if watch is not None:
                watch(Outcome(image, name, restored, truth))
    line = protocol.line(images.provenance, task, channels)
    return [
        Result(
            task=task,
            channels=channels,
            set=images.name,
            level=level,
            protocol=line,
            method=name,
            images=tally.images,
            environment=environment,
            parameters=method.parameters if isinstance(method, Countable) else None,
            multiply_adds_per_pixel=None if tally.multiply_adds is None else tally.multiply_adds / tally.pixels,
            seconds_per_megapixel=tally.seconds / tally.pixels * 1e6 if timed else None,
            peak_memory_bytes=tally.peak_memory,
        )
        for (name, method), tally in zip(methods.items(), tallies.values(), strict=True)
    ]


def _pair(
    images: ImageSet, index: int, protocol: Protocol, *, task: Task, channels: Channels, level: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    try:
        return protocol.pair(images.source, index, task=task, channels=channels, level=level)
    except OSError as error:
        raise SetError(str(error)) from error


def _check_size(image: str, images: ImageSet, scored: NDArray[np.uint8], metrics: Sequence[MetricName]) -> None:
    for metric in metrics:
        smallest = METRICS[metric].smallest_side
        if min(scored.shape[:2]) < smallest:
            raise SetError(
                f"{images.folder / image}: {scored.shape[1]}x{scored.shape[0]} scored pixels are too few for {metric}, "
                f"which needs {smallest}; leave out the image, or the metric (--metrics)."
            )


def _restore(
    method: Method, name: str, image: str, degraded: NDArray[np.float32], level: float, tally: _Tally
) -> NDArray[np.uint8]:
    """Restore and measure: 8 bits."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    try:
        restored = np.asarray(method(degraded.copy(), level))  # its own copy, which it may spoil
    except ValueError as error:
        raise ScoringError(f"{name} failed on {image}: {error}") from error
    tally.seconds += time.perf_counter() - start
    if restored.shape != degraded.shape:
        raise ScoringError(f"{name} made shape {restored.shape} of {image}, which has {degraded.shape}.")
    if not np.isfinite(restored).all():
        raise ScoringError(f"{name} made values of {image} that are not finite.")
    height, width = degraded.shape[:2]
    tally.pixels += height * width
    if on_gpu:
        tally.peak_memory = max(tally.peak_memory or 0, torch.cuda.max_memory_allocated()) or None
    if not isinstance(method, Countable):
        tally.multiply_adds = None
    elif tally.multiply_adds is not None:
        tally.multiply_adds += method.multiply_adds(height, width)
    return to_eight_bits(restored.astype(np.float32))


def _score(name: MetricName, protocol: Protocol, restored: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float | None:
    metric = load_metric(name)
    return None if metric is None else metric(protocol.scored(restored), protocol.scored(truth))
