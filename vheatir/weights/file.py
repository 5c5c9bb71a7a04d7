"""Weights files: safetensors, with everything that rebuilds and describes the network in one of the tensors.

A weights file holds the network's state dict in half precision and the tensor ``vheatir.header``, the bytes (uint8) of
a JSON object: ``format_version`` (3) and the fields of :class:`WeightsHeader`. As a tensor, and not among the metadata
of safetensors, the header also reaches programs that know a model by its tensors alone. Nothing in a file is executed
on loading.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from safetensors import SafetensorError, safe_open

from vheatir.system.atomic import atomic_path

if TYPE_CHECKING:  # headers are read without torch too
    import torch
    from torch import Tensor

    from vheatir.nn import VHeatIR, VHeatPyramid

__all__ = [
    "BUNDLED_WEIGHTS",
    "HEADER",
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
    "layout_hash",
    "load_weights",
    "network_of",
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
#: name of the tensor that holds the header
HEADER: Final = "vheatir.header"
_FORMAT_VERSION: Final = 3


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


def layout_hash(path: Path) -> str:
    """SHA-256 of all that the graphs of a weights file depend on: places of the tensors, and options of the network."""
    return sha256(header_bytes(path) + _header_content(path)).hexdigest()


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
    content = json.dumps({"format_version": _FORMAT_VERSION, **asdict(header)}).encode("ascii")
    tensors[HEADER] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
        temporary.chmod(0o644)  # safetensors lets nobody but the owner read what it writes


def read_header(path: str | Path) -> WeightsHeader:
    """Read the header of a weights file, and nothing else.

    Raises:
        WeightsError: if the file is missing, is no safetensors file, or its header is not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist; check its name.")
    return _parse_header(str(path), _header_content(path))


def load_weights(path: str | Path) -> tuple[VHeatIR | VHeatPyramid, WeightsHeader]:
    """Rebuild the network of a weights file.

    Returns:
        The network, in float32, on the CPU, in training mode as every new module; and the file's header.

    Raises:
        WeightsError: as :func:`read_header`; or if the tensors are not those of the network in the header.
    """
    from safetensors.torch import load_file

    read_header(path)  # says what is wrong with a file that is none of ours
    return network_of(load_file(path), str(path))


def network_of(tensors: Mapping[str, Tensor], source: str) -> tuple[VHeatIR | VHeatPyramid, WeightsHeader]:
    """Rebuild the network of a weights file's tensors, the header among them.

    Args:
        tensors: what the file holds, on any device and of any type.
        source: name of the file, for messages.

    Returns:
        As :func:`load_weights`.

    Raises:
        WeightsError: as :func:`load_weights`.
    """
    import torch

    from vheatir.nn import NETWORKS

    weights = {key: tensor for key, tensor in tensors.items() if key != HEADER}
    content = bytes(tensors[HEADER].to(torch.uint8).tolist()) if HEADER in tensors else b""
    header = _parse_header(source, content)
    arguments: dict[str, Any] = dict(header.arch)  # from JSON: their types are the constructor's to check
    try:
        network = NETWORKS[header.network](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{source} describes a network that this version cannot build ({error}); "
            "update vheatir, or convert the file again."
        ) from error
    _check_tensors(source, expected=network.state_dict(), found=weights)
    network.load_state_dict(weights)
    return network, header


def _task_of(name: ModelName) -> Task:
    if name == "photo":
        return "photo"
    return "denoise" if name.startswith("denoise") else "jpeg"


def _header_content(path: Path) -> bytes:
    try:
        with safe_open(path, framework="numpy") as file:
            return file.get_tensor(HEADER).tobytes() if HEADER in file.keys() else b""  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as a safetensors file ({error}); pass one written by vheatir.weights.file."
        ) from error


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def _parse_header(source: str, content: bytes) -> WeightsHeader:
    if not content:
        raise WeightsError(
            f"{source} is not a vHeatIR weights file of format {_FORMAT_VERSION}; `vheatir export` writes one."
        )
    try:
        fields = json.loads(content)
        version = fields.pop("format_version")
        if version != _FORMAT_VERSION:
            raise WeightsError(
                f"{source} has weights format version {version}, this vheatir reads version {_FORMAT_VERSION}; "
                "export it again from its checkpoint, with one vheatir for both."
            )
        ranges = {level: (float(low), float(high)) for level, (low, high) in fields.pop("ranges").items()}
        header = WeightsHeader(ranges=ranges, **fields)
        for name, kind in (("network", str), ("arch", dict), ("training", dict), ("licence", str)):
            if not isinstance(fields[name], kind):
                raise TypeError(f"{name} is {fields[name]!r}")
    except WeightsError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{source} has a damaged header ({error}); download or convert it again.") from error
    return _checked_header(source, header)


def _checked_header(source: str | Path, header: WeightsHeader) -> WeightsHeader:
    if header.name not in MODELS:
        raise WeightsError(f"{source} names the model {header.name!r}; use one of {', '.join(MODELS)}.")
    if header.network not in _NETWORKS:
        raise WeightsError(f"{source} holds a {header.network}, which this vheatir does not know; update vheatir.")
    if set(header.ranges) != set(_LEVELS[header.task]):
        levels = " and ".join(_LEVELS[header.task])
        raise WeightsError(
            f"{source} needs the range of {levels} for {header.name}, not of {' and '.join(header.ranges)}."
        )
    for level, (smallest, largest) in header.ranges.items():
        low, high = LEVEL_LIMITS[level]
        if not (math.isfinite(largest) and low <= smallest <= largest <= high):
            raise WeightsError(
                f"{source} has levels {smallest:g} to {largest:g}; "
                f"for {header.name} they must lie within {low:g} to {high:g}."
            )
    if header.arch.get("in_chans") != header.channels:
        raise WeightsError(
            f"{source} holds a network with in_chans={header.arch.get('in_chans')}, but {header.name} needs "
            f"{header.channels}; change the task or the network."
        )
    return header


def _check_tensors(source: str, *, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
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
                f"{source} {fault} tensors of the network in its header ({names[0]}{more}); "
                "download or convert it again."
            )
