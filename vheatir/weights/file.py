"""Weights files: safetensors, with everything that rebuilds and describes the network in the header.

A weights file holds the network's state dict in half precision and these metadata strings: ``format``
("vheatir"), ``format_version`` ("1"), ``network`` (its class; "VHeatIR" if missing), ``arch`` (JSON of the
constructor's arguments), ``task``, ``level_min`` and ``level_max`` (the trained range: σ in 8-bit units, or JPEG
quality), for the task "photo" ``quality_min`` and ``quality_max`` beside these of σ, ``training`` (JSON, free)
and ``licence``. Nothing in it is executed on loading.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vheatir.nn import VHeatIR, VHeatPyramid
from vheatir.system.atomic import atomic_path

__all__ = [
    "BUNDLED_WEIGHTS",
    "LEVEL_LIMITS",
    "NETWORKS",
    "TASKS",
    "CheckpointError",
    "Degradation",
    "LevelName",
    "Ranges",
    "Task",
    "WeightsHeader",
    "load_weights",
    "read_header",
    "save_weights",
    "weights_path",
]

Task = Literal["denoise-gray", "denoise-color", "jpeg-gray", "jpeg-color", "photo"]
Degradation = Literal["denoise", "jpeg", "photo"]
LevelName = Literal["sigma", "quality"]
#: smallest and largest level of each kind
Ranges: TypeAlias = Mapping[LevelName, tuple[float, float]]

TASKS: Final[tuple[Task, ...]] = get_args(Task)
#: levels that mean something at all: σ in 8-bit units, JPEG quality
LEVEL_LIMITS: Final[Ranges] = {
    "sigma": (0.0, 255.0),
    "quality": (1.0, 100.0),
}
#: classes of networks that weights files may hold
NETWORKS: Final[Mapping[str, type[VHeatIR | VHeatPyramid]]] = {"VHeatIR": VHeatIR, "VHeatPyramid": VHeatPyramid}
#: folder of the weights inside the package, one ``<task>.safetensors`` each
BUNDLED_WEIGHTS: Final = Path(__file__).parent

#: which levels a network of each task knows
_LEVELS: Final[Mapping[Degradation, tuple[LevelName, ...]]] = {
    "denoise": ("sigma",),
    "jpeg": ("quality",),
    "photo": ("sigma", "quality"),
}
_FORMAT: Final = "vheatir"
_FORMAT_VERSION: Final = "1"


class CheckpointError(ValueError):
    """A weights file that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes:
        task: what the network was trained for.
        ranges: smallest and largest level of the training: of "sigma" in 8-bit units, of JPEG "quality", or both.
        network: its class, :class:`vheatir.nn.VHeatIR` or :class:`vheatir.nn.VHeatPyramid`.
        arch: keyword arguments of the class.
        training: summary of the training recipe.
        licence: SPDX identifier or sentence.
    """

    task: Task
    ranges: Ranges
    network: str
    arch: Mapping[str, object]
    training: Mapping[str, object]
    licence: str

    @property
    def degradation(self) -> Degradation:
        """What the network removes: ``"denoise"``, ``"jpeg"``, or for ``"photo"`` all of it."""
        return _degradation_of(self.task)

    @property
    def channels(self) -> int:
        """Image channels: 1 for gray, 3 for RGB."""
        return 1 if self.task.endswith("gray") else 3

    @property
    def level_range(self) -> tuple[float, float]:
        """Smallest and largest σ, or quality where the network knows no σ."""
        return self.ranges[_LEVELS[self.degradation][0]]


def weights_path(name_or_path: str | Path) -> Path:
    """Find the weights file of a bundled name ("denoise-gray", "denoise-color", ...) or of a path.

    Raises:
        CheckpointError: if it is neither, with the bundled names; or if the package lacks its own weights.
    """
    if name_or_path in TASKS:
        path = BUNDLED_WEIGHTS / f"{name_or_path}.safetensors"
        if not path.is_file():
            raise CheckpointError(f"The bundled weights {path} are missing; install vheatir again.")
        return path
    path = Path(name_or_path)
    if not path.is_file():
        raise CheckpointError(f"{path} is neither a weights file nor a bundled model: those are {', '.join(TASKS)}.")
    return path


def save_weights(
    path: str | Path,
    net: VHeatIR | VHeatPyramid,
    *,
    task: Task,
    ranges: Ranges,
    training: Mapping[str, object],
    licence: str,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a network as a weights file, atomically.

    Args:
        path: file to write; its folder must exist.
        net: the network; its ``config`` goes into the header.
        task: what it was trained for; must agree with the network's channels.
        ranges: smallest and largest level of the training: of "sigma" in 8-bit units, of JPEG "quality", or, for the
            task "photo", of both.
        training: summary of the recipe, JSON-serialisable.
        licence: SPDX identifier or sentence.
        dtype: type in which floating-point tensors are stored.

    Raises:
        CheckpointError: if the task, the levels or the channels are inconsistent, or a weight is not finite
            in ``dtype``. Nothing is written then.
    """
    path = Path(path)
    header = _checked_header(
        path,
        WeightsHeader(task, ranges, type(net).__name__, asdict(net.config), training, licence),
    )
    tensors = {name: _stored(tensor, dtype) for name, tensor in net.state_dict().items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path} was not written: weight {name} is not finite in {dtype}; use torch.float32.")
    metadata = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "network": header.network,
        "arch": json.dumps(header.arch),
        "task": header.task,
        **_range_strings(header),
        "training": json.dumps(header.training),
        "licence": header.licence,
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(0o644)  # safetensors lets nobody but the owner read what it writes


def read_header(path: str | Path) -> WeightsHeader:
    """Read the header of a weights file, and nothing else.

    Raises:
        CheckpointError: if the file is missing, is no safetensors file, or its header is not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"The weights file {path} does not exist; check its name.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a safetensors file ({error}); pass one written by vheatir.weights.file."
        ) from error
    return _parse_header(path, metadata)


def load_weights(path: str | Path) -> tuple[VHeatIR | VHeatPyramid, WeightsHeader]:
    """Rebuild the network of a weights file.

    Returns:
        The network, in float32, on the CPU, in training mode as every new module; and the file's header.

    Raises:
        CheckpointError: as :func:`read_header`; or if the tensors are not those of the network in the header.
    """
    path = Path(path)
    header = read_header(path)
    arguments: dict[str, Any] = dict(header.arch)  # from JSON: their types are the constructor's to check
    try:
        network = NETWORKS[header.network](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} describes a network that this version cannot build ({error}); "
            "update vheatir, or convert the file again."
        ) from error
    tensors = load_file(path)
    _check_tensors(path, expected=network.state_dict(), found=tensors)
    network.load_state_dict(tensors)
    return network, header


def _range_strings(header: WeightsHeader) -> dict[str, str]:
    """The header's ranges: the first as level_min and level_max, quality beside σ under its own name."""
    strings: dict[str, str] = {}
    for name, level in _range_names(header.degradation):
        smallest, largest = header.ranges[level]
        strings |= {f"{name}_min": f"{smallest:g}", f"{name}_max": f"{largest:g}"}
    return strings


def _read_ranges(task: Task, metadata: Mapping[str, str]) -> Ranges:
    return {
        level: (float(metadata[f"{name}_min"]), float(metadata[f"{name}_max"]))
        for name, level in _range_names(_degradation_of(task))
    }


def _range_names(degradation: Degradation) -> list[tuple[str, LevelName]]:
    """Name of each range in the metadata, and the level it is of."""
    levels = _LEVELS[degradation]
    return list(zip(("level", *levels[1:]), levels, strict=True))


def _degradation_of(task: Task) -> Degradation:
    if task == "photo":
        return "photo"
    return "denoise" if task.startswith("denoise") else "jpeg"


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def _parse_header(path: Path, metadata: Mapping[str, str]) -> WeightsHeader:
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a vHeatIR weights file; `vheatir export` writes one.")
    if metadata.get("format_version") != _FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has weights format version {metadata.get('format_version')}, this vheatir reads version "
            f"{_FORMAT_VERSION}; update vheatir."
        )
    try:
        header = WeightsHeader(
            task=cast("Task", metadata["task"]),
            ranges=_read_ranges(cast("Task", metadata["task"]), metadata),
            network=metadata.get("network", "VHeatIR"),
            arch=_json_object(metadata["arch"]),
            training=_json_object(metadata["training"]),
            licence=metadata["licence"],
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); download or convert it again.") from error
    return _checked_header(path, header)


def _json_object(text: str) -> Mapping[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {text[:40]!r}")
    return value


def _checked_header(path: Path, header: WeightsHeader) -> WeightsHeader:
    if header.task not in TASKS:
        raise CheckpointError(f"{path} names the task {header.task!r}; use one of {', '.join(TASKS)}.")
    if header.network not in NETWORKS:
        raise CheckpointError(f"{path} holds a {header.network}, which this vheatir does not know; update vheatir.")
    if set(header.ranges) != set(_LEVELS[header.degradation]):
        levels = " and ".join(_LEVELS[header.degradation])
        raise CheckpointError(
            f"{path} needs the range of {levels} for {header.task}, not of {' and '.join(header.ranges)}."
        )
    for level, (smallest, largest) in header.ranges.items():
        low, high = LEVEL_LIMITS[level]
        if not (math.isfinite(largest) and low <= smallest <= largest <= high):
            raise CheckpointError(
                f"{path} has levels {smallest:g} to {largest:g}; "
                f"for {header.task} they must lie within {low:g} to {high:g}."
            )
    if header.arch.get("in_chans") != header.channels:
        raise CheckpointError(
            f"{path} holds a network with in_chans={header.arch.get('in_chans')}, but {header.task} needs "
            f"{header.channels}; change the task or the network."
        )
    return header


def _check_tensors(path: Path, *, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys())
    misshapen = sorted(name for name in expected.keys() & found.keys() if expected[name].shape != found[name].shape)
    for fault, names in (
        ("misses", missing),
        ("has unexpected", unexpected),
        ("has wrong shapes for", misshapen),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{path} {fault} tensors of the network in its header ({names[0]}{more}); download or convert it again."
            )
