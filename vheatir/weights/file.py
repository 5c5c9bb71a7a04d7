"""Weights files: safetensors, with everything that rebuilds and describes the network in the header.

A weights file holds the network's state dict in half precision and these metadata strings: ``format``
("vheatir"), ``format_version`` ("2"), ``network`` (its class; "VHeatIR" if missing), ``arch`` (JSON of the
constructor's arguments), ``model`` (its name), ``level_min`` and ``level_max`` (the trained range: σ in 8-bit
units, or JPEG quality), for "photo" ``quality_min`` and ``quality_max`` beside these of σ, ``training`` (JSON, free)
and ``licence``. Nothing in it is executed on loading.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from safetensors import SafetensorError, safe_open

from vheatir.system.atomic import atomic_path

if TYPE_CHECKING:  # headers are read without torch too
    import torch
    from torch import Tensor

    from vheatir.nn import VHeatIR, VHeatPyramid

__all__ = [
    "BUNDLED_WEIGHTS",
    "LEVEL_LIMITS",
    "MODELS",
    "LevelName",
    "ModelName",
    "Ranges",
    "Task",
    "WeightsError",
    "WeightsHeader",
    "estimate_path",
    "graph_path",
    "header_bytes",
    "load_weights",
    "read_header",
    "save_weights",
    "weights_path",
]

ModelName = Literal["denoise-gray", "denoise-color", "jpeg-gray", "jpeg-color", "photo"]
Task = Literal["denoise", "jpeg", "photo"]
LevelName = Literal["sigma", "quality"]
#: smallest and largest level of each kind
Ranges: TypeAlias = Mapping[LevelName, tuple[float, float]]

MODELS: Final[tuple[ModelName, ...]] = get_args(ModelName)
#: levels that mean something at all: σ in 8-bit units, JPEG quality
LEVEL_LIMITS: Final[Ranges] = {
    "sigma": (0.0, 255.0),
    "quality": (1.0, 100.0),
}
#: folder of the weights inside the package, one ``<model>.safetensors`` each
BUNDLED_WEIGHTS: Final = Path(__file__).parent

#: which levels a network of each task knows
_LEVELS: Final[Mapping[Task, tuple[LevelName, ...]]] = {
    "denoise": ("sigma",),
    "jpeg": ("quality",),
    "photo": ("sigma", "quality"),
}
#: classes of networks that weights files may hold: those of :data:`vheatir.nn.NETWORKS`
_NETWORKS: Final = ("VHeatIR", "VHeatPyramid")
_FORMAT: Final = "vheatir"
_FORMAT_VERSION: Final = "2"


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes:
        name: of the model: what it was trained for, in gray or in colour.
        ranges: smallest and largest level of the training: of "sigma" in 8-bit units, of JPEG "quality", or both.
        network: its class, :class:`vheatir.nn.VHeatIR` or :class:`vheatir.nn.VHeatPyramid`.
        arch: keyword arguments of the class.
        training: summary of the training recipe.
        licence: SPDX identifier or sentence.
    """

    name: ModelName
    ranges: Ranges
    network: str
    arch: Mapping[str, object]
    training: Mapping[str, object]
    licence: str

    @property
    def task(self) -> Task:
        """What the network removes: ``"denoise"``, ``"jpeg"``, or for ``"photo"`` all of it."""
        return _task_of(self.name)

    @property
    def channels(self) -> int:
        """Image channels: 1 for gray, 3 for RGB."""
        return 1 if self.name.endswith("gray") else 3

    @property
    def level_range(self) -> tuple[float, float]:
        """Smallest and largest σ, or quality where the network knows no σ."""
        return self.ranges[_LEVELS[self.task][0]]


def weights_path(name_or_path: str | Path) -> Path:
    """Find the weights file of a bundled name ("denoise-gray", "denoise-color", ...) or of a path.

    Raises:
        WeightsError: if it is neither, with the bundled names; or if the package lacks its own weights.
    """
    if name_or_path in MODELS:
        path = BUNDLED_WEIGHTS / f"{name_or_path}.safetensors"
        if not path.is_file():
            raise WeightsError(f"The bundled weights {path} are missing; install vheatir again.")
        return path
    path = Path(name_or_path)
    if not path.is_file():
        raise WeightsError(f"{path} is neither a weights file nor a bundled model: those are {', '.join(MODELS)}.")
    return path


def header_bytes(path: Path) -> bytes:
    """The header of a safetensors file as it stands there, between 8 bytes of its length and the tensors."""
    with path.open("rb") as file:
        return file.read(int.from_bytes(file.read(8), "little"))


def graph_path(weights: Path) -> Path:
    """Where the ONNX graph of a weights file stands: beside it."""
    return weights.with_suffix(".onnx")


def estimate_path(weights: Path) -> Path:
    """Where the ONNX graph stands that estimates the levels alone, of weights for "photo"."""
    return weights.with_name(f"{weights.stem}-estimate.onnx")


def save_weights(
    path: str | Path,
    net: VHeatIR | VHeatPyramid,
    *,
    name: ModelName,
    ranges: Ranges,
    training: Mapping[str, object],
    licence: str,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a network as a weights file, atomically.

    Args:
        path: file to write; its folder must exist.
        net: the network; its ``config`` goes into the header.
        name: of the model, which must agree with the network's channels.
        ranges: smallest and largest level of the training: of "sigma" in 8-bit units, of JPEG "quality", or, for the
            task "photo", of both.
        training: summary of the recipe, JSON-serialisable.
        licence: SPDX identifier or sentence.
        dtype: type in which floating-point tensors are stored; None means float16.

    Raises:
        WeightsError: if the name, the levels or the channels are inconsistent, or a weight is not finite
            in ``dtype``. Nothing is written then.
    """
    import torch
    from safetensors.torch import save_file

    path, dtype = Path(path), dtype or torch.float16
    header = _checked_header(
        path,
        WeightsHeader(name, ranges, type(net).__name__, asdict(net.config), training, licence),
    )
    tensors = {key: _stored(tensor, dtype) for key, tensor in net.state_dict().items()}
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path} was not written: weight {key} is not finite in {dtype}; use torch.float32.")
    metadata = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "network": header.network,
        "arch": json.dumps(header.arch),
        "model": header.name,
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
        WeightsError: if the file is missing, is no safetensors file, or its header is not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist; check its name.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as a safetensors file ({error}); pass one written by vheatir.weights.file."
        ) from error
    return _parse_header(path, metadata)


def load_weights(path: str | Path) -> tuple[VHeatIR | VHeatPyramid, WeightsHeader]:
    """Rebuild the network of a weights file.

    Returns:
        The network, in float32, on the CPU, in training mode as every new module; and the file's header.

    Raises:
        WeightsError: as :func:`read_header`; or if the tensors are not those of the network in the header.
    """
    from safetensors.torch import load_file

    from vheatir.nn import NETWORKS

    path = Path(path)
    header = read_header(path)
    arguments: dict[str, Any] = dict(header.arch)  # from JSON: their types are the constructor's to check
    try:
        network = NETWORKS[header.network](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
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
    for name, level in _range_names(header.task):
        smallest, largest = header.ranges[level]
        strings |= {f"{name}_min": f"{smallest:g}", f"{name}_max": f"{largest:g}"}
    return strings


def _read_ranges(model: ModelName, metadata: Mapping[str, str]) -> Ranges:
    return {
        level: (float(metadata[f"{name}_min"]), float(metadata[f"{name}_max"]))
        for name, level in _range_names(_task_of(model))
    }


def _range_names(task: Task) -> list[tuple[str, LevelName]]:
    """Name of each range in the metadata, and the level it is of."""
    levels = _LEVELS[task]
    return list(zip(("level", *levels[1:]), levels, strict=True))


def _task_of(name: ModelName) -> Task:
    if name == "photo":
        return "photo"
    return "denoise" if name.startswith("denoise") else "jpeg"


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def _parse_header(path: Path, metadata: Mapping[str, str]) -> WeightsHeader:
    if metadata.get("format") != _FORMAT:
        raise WeightsError(f"{path} is not a vHeatIR weights file; `vheatir export` writes one.")
    if metadata.get("format_version") != _FORMAT_VERSION:
        raise WeightsError(
            f"{path} has weights format version {metadata.get('format_version')}, this vheatir reads version "
            f"{_FORMAT_VERSION}; export it again from its checkpoint, with one vheatir for both."
        )
    try:
        header = WeightsHeader(
            name=cast("ModelName", metadata["model"]),
            ranges=_read_ranges(cast("ModelName", metadata["model"]), metadata),
            network=metadata.get("network", "VHeatIR"),
            arch=_json_object(metadata["arch"]),
            training=_json_object(metadata["training"]),
            licence=metadata["licence"],
        )
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} has a damaged header ({error}); download or convert it again.") from error
    return _checked_header(path, header)


def _json_object(text: str) -> Mapping[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {text[:40]!r}")
    return value


def _checked_header(path: Path, header: WeightsHeader) -> WeightsHeader:
    if header.name not in MODELS:
        raise WeightsError(f"{path} names the model {header.name!r}; use one of {', '.join(MODELS)}.")
    if header.network not in _NETWORKS:
        raise WeightsError(f"{path} holds a {header.network}, which this vheatir does not know; update vheatir.")
    if set(header.ranges) != set(_LEVELS[header.task]):
        levels = " and ".join(_LEVELS[header.task])
        raise WeightsError(
            f"{path} needs the range of {levels} for {header.name}, not of {' and '.join(header.ranges)}."
        )
    for level, (smallest, largest) in header.ranges.items():
        low, high = LEVEL_LIMITS[level]
        if not (math.isfinite(largest) and low <= smallest <= largest <= high):
            raise WeightsError(
                f"{path} has levels {smallest:g} to {largest:g}; "
                f"for {header.name} they must lie within {low:g} to {high:g}."
            )
    if header.arch.get("in_chans") != header.channels:
        raise WeightsError(
            f"{path} holds a network with in_chans={header.arch.get('in_chans')}, but {header.name} needs "
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
            raise WeightsError(
                f"{path} {fault} tensors of the network in its header ({names[0]}{more}); download or convert it again."
            )
