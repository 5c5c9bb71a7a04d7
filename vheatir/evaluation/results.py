"""Results as files: what was measured, on which images, by which protocol, on which machine.

A result file is one JSON object::

    {
      "format": "vheatir-benchmark", "format_version": 1,
      "results": [
        {
          "task": "denoise",              denoise or jpeg
          "channels": "gray",             gray or color
          "set": "Set12",                 name of the set of images
          "level": 25,                    σ in 8-bit units, or JPEG quality
          "protocol": "...",              the line that is printed with every table
          "method": "vHeatIR fast",       "noisy" or "JPEG" is the degraded image itself
          "images": {                     the metrics of every image, by its path within the set
            "01.png": {"psnr": 30.1, "ssim": 0.86, "psnr_b": null, "lpips": null}, ...
          },
          "means": {"psnr": 30.0, "ssim": 0.85},            over the images, of the metrics that were computed
          "parameters": 262000,           or null where unknown
          "multiply_adds_per_pixel": 31000.0,               mean over the set's pixels, or null
          "seconds_per_megapixel": 2.3,   of the method's calls in this run, where asked (--time), or null
          "peak_memory_bytes": null,      device memory on CUDA; null on a CPU, where the speed command measures it
          "environment": {"machine": "...", "device": "cpu", "threads": 1, "torch": "2.13.0", "python": "3.12.3",
                          "vheatir": "0.1.0", "commit": "6ee37cc", "date": "2026-01-31"}
        }, ...
      ]
    }

Metrics: ``psnr`` and ``psnr_b`` in dB, ``ssim`` up to 1, ``lpips`` (lower is better); one that was not computed is
missing or null. An infinite PSNR, of two equal images, is the string "inf".
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from vheatir.evaluation.environment import Environment
from vheatir.evaluation.metrics import METRICS, MetricName
from vheatir.evaluation.record_file import RecordFormat
from vheatir.system.atomic import atomic_path

__all__ = [
    "Channels",
    "Result",
    "ResultError",
    "Task",
    "read_results",
    "write_csv",
    "write_results",
]

Task = Literal["denoise", "jpeg"]
Channels = Literal["gray", "color"]


class ResultError(ValueError):
    """A result file that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Result:
    """One method on one set at one level; the module's text explains each field.

    Attributes:
        images: metric values by image and metric; None where a metric was asked for and could not be had.
    """

    task: Task
    channels: Channels
    set: str
    level: float
    protocol: str
    method: str
    images: Mapping[str, Mapping[MetricName, float | None]]
    environment: Environment
    parameters: int | None = None
    multiply_adds_per_pixel: float | None = None
    seconds_per_megapixel: float | None = None
    peak_memory_bytes: int | None = None
    means: Mapping[MetricName, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "means", {name: mean for name in METRICS if (mean := self._mean(name)) is not None})

    def values(self, metric: MetricName) -> list[float]:
        """The metric's value of every image, in the order of the images; empty if one image has none."""
        values = [scores.get(metric) for scores in self.images.values()]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else []

    def _mean(self, metric: MetricName) -> float | None:
        values = self.values(metric)
        return math.fsum(values) / len(values) if values else None


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write a result file, atomically; its folder must exist.

    Raises:
        OSError: if it cannot be written.
    """
    _FILE.write(path, _Results(results))


def read_results(path: Path) -> list[Result]:
    """Read a result file.

    Raises:
        ResultError: if the file is missing, is no result file, or its means are not those of its images.
    """
    return list(_FILE.read(path).results)


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write one line an image, method, set and level, atomically; metrics that were not computed are empty.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "channels", "set", "level", "method", "image", *METRICS, "protocol"])
        for result in results:
            for image, scores in result.images.items():
                values = ["" if scores.get(name) is None else scores[name] for name in METRICS]
                key = [result.task, result.channels, result.set, f"{result.level:g}", result.method, image]
                writer.writerow([*key, *values, result.protocol])


def _result(entry: Mapping[str, Any]) -> Result:
    known = {item.name for item in fields(Result)}
    if unknown := set(entry) - known:
        raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
    arguments = {name: value for name, value in entry.items() if name not in ("means", "environment", "images")}
    result = Result(
        **arguments,
        images={
            image: {name: _number(value) for name, value in scores.items()} for image, scores in entry["images"].items()
        },
        environment=Environment(**entry["environment"]),
    )
    stated = {name: _number(value) for name, value in entry["means"].items()}
    if stated != result.means:
        raise ValueError(f"the means of {result.method} on {result.set} are not those of its images")
    return result


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)


@dataclass(frozen=True)
class _Results:
    results: Sequence[Result]


_FILE: Final = RecordFormat(
    _Results,
    "vheatir-benchmark",
    1,
    "result file",
    "run the benchmark again",
    ResultError,
    build=lambda content: _Results([_result(entry) for entry in content["results"]]),
)
