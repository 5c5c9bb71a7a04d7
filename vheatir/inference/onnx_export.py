"""Writes weights as an ONNX file for images of any size, for programs that have no torch.

The file computes what :meth:`RestorationNetwork.forward` computes, levels in the user's units. docs/onnx.md describes
its inputs and outputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

import vheatir
from vheatir.inference.network import FULL_SIGMA
from vheatir.levels.levels import Levels, check_levels, told_levels
from vheatir.nn import VHeatIR, VHeatPyramid
from vheatir.nn.condition import UNKNOWN, jpeg_condition
from vheatir.nn.onnx.graph import OPSET, Graph, Value
from vheatir.nn.onnx.networks import add_estimate, add_network, add_pyramid
from vheatir.system.atomic import atomic_path
from vheatir.weights.file import WeightsHeader, estimate_path, graph_path, header_bytes, load_weights, weights_path

__all__ = ["export_onnx", "onnx_model", "write_graphs"]

#: of the file format: the first that knows the set of operators
_IR_VERSION: Final = 9
_IMAGES: Final = ("image", "restored")
_TYPES: Final = {"F16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "F32": TensorProto.FLOAT}


def export_onnx(weights: str | Path, output: Path, *, levels: Levels | None = None) -> None:
    """Write bundled weights or a weights file as an ONNX file that stands by itself.

    Args:
        weights: name of bundled weights, or path of a weights file.
        output: file to write; its folder must exist.
        levels: built into the file, whose only input is the image then; None makes them inputs.

    Raises:
        WeightsError: if the name or the file is not one of ours.
        ValueError: if a level is missing, outside its range, or not one that the network knows; or if the network has
            attention, windows, or a spectrum_ratio below 1.
    """
    _write(onnx_model(weights_path(weights), levels=levels), output)


def write_graphs(weights: str | Path) -> list[Path]:
    """Write the graphs of weights beside them, without the weights, which it reads from their file; return the paths.

    For "photo" also that of the estimate of the levels alone: onnxruntime computes a graph as a whole, whatever is
    asked of it.

    Raises:
        WeightsError, ValueError: as :func:`export_onnx`.
    """
    path = weights_path(weights)
    models = {graph_path(path): onnx_model(path, beside=True)}
    network, header = load_weights(path)
    if isinstance(network, VHeatPyramid):
        graph = Graph(_stored_weights(path, beside=True))
        seen = _add_seen(graph, add_estimate(graph, network, "image"))
        models[estimate_path(path)] = _model(graph, header, [], seen, _metadata(path, header, "none"))
    for output, model in models.items():
        _write(model, output)
    return list(models)


def onnx_model(weights: Path, *, levels: Levels | None = None, beside: bool = False) -> ModelProto:
    """Return weights as ONNX: image and levels in; the restored image, and for "photo" the levels seen in it, out.

    With levels built in, the image alone goes in, and comes out. The batch, height and width are open. Weights keep the
    type of their file, and are cast to float32 in the graph. Metadata tell the task, the levels, the licence and the
    version.

    Args:
        weights: a weights file.
        levels: built into the graph; None makes them inputs.
        beside: leave the weights in their file, beside which the graph has to stand.

    Raises:
        WeightsError, ValueError: as :func:`export_onnx`.
    """
    network, header = load_weights(weights)
    if levels is not None:
        told_levels(header, {"sigma": levels.sigma, "quality": levels.quality})
        check_levels(levels)
    graph = Graph(_stored_weights(weights, beside=beside))

    def told(name: str) -> Value:
        value = None if levels is None else getattr(levels, name, 1.0)
        return name if levels is None else graph.constant(np.array([UNKNOWN if value is None else value], np.float32))

    conditions = {name: _add_condition(graph, name, told(name)) for name in header.ranges}
    if isinstance(network, VHeatPyramid):
        columns = [graph.add("Reshape", column, graph.integers(-1, 1)) for column in conditions.values()]
        condition = graph.add("Concat", *columns, axis=1)
        restored, seen = add_pyramid(graph, network, "image", condition, told("strength"))
        outputs = {"restored": restored, **(_add_seen(graph, seen) if levels is None else {})}
    else:
        ((name, condition),) = conditions.items()
        outputs = {"restored": _add_faded(graph, network, name, condition, header)}
    inputs = [*header.ranges, *(["strength"] if header.task == "photo" else [])] if levels is None else []
    return _model(graph, header, inputs, outputs, _metadata(weights, header, str(levels or "inputs")))


def _model(
    graph: Graph, header: WeightsHeader, inputs: Sequence[str], outputs: Mapping[str, Value], metadata: dict[str, str]
) -> ModelProto:
    """The nodes as a model of these inputs, beside the image, and outputs."""
    graph.nodes += [helper.make_node("Identity", [value], [name]) for name, value in outputs.items()]
    shapes: dict[str, list[str | int]] = {name: ["batch", header.channels, "height", "width"] for name in _IMAGES}
    described, results = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes.get(name, ["batch"])) for name in names]
        for names in (["image", *inputs], outputs)
    )
    proto = helper.make_model(
        helper.make_graph(graph.nodes, header.name, described, results, graph.initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="vheatir",
        producer_version=vheatir.__version__,
    )
    helper.set_model_props(proto, metadata)
    return proto


def _write(proto: ModelProto, output: Path) -> None:
    with atomic_path(output) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        onnx.checker.check_model(temporary, full_check=True)


def _stored_weights(path: Path, *, beside: bool) -> Callable[[str], TensorProto]:
    """What gives the tensors of a weights file: their bytes, or where these are in it."""
    header = header_bytes(path)
    entries, start = json.loads(header), 8 + len(header)

    def stored(name: str) -> TensorProto:
        entry = entries[name]
        first, last = (start + offset for offset in entry["data_offsets"])
        tensor = TensorProto(name=name, dims=entry["shape"], data_type=_TYPES[entry["dtype"]])
        if not beside:
            with path.open("rb") as file:
                file.seek(first)
                tensor.raw_data = file.read(last - first)
            return tensor
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", path.name), ("offset", first), ("length", last - first)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    return stored


def _add_condition(graph: Graph, name: str, level: Value) -> Value:
    """What the network takes of a level in the user's units: :mod:`vheatir.nn.condition`."""
    if name == "sigma":
        known = graph.add("Div", level, graph.number(255))
    else:
        known = graph.add("Div", graph.add("Sub", graph.number(100), level), graph.number(100))
    return graph.add("Where", graph.add("Less", level, graph.number(0)), graph.number(UNKNOWN), known)


def _add_faded(graph: Graph, network: VHeatIR, name: str, condition: Value, header: WeightsHeader) -> Value:
    """:meth:`RestorationNetwork.forward` of networks of one level: less and less towards level 0."""
    add = graph.add
    if name == "sigma":
        restored = add_network(graph, network, "image", condition)
        weight = add("Div", condition, graph.number(FULL_SIGMA))
        weight = add("Min", weight, graph.number(1))
    else:
        lowest = graph.number(jpeg_condition(header.level_range[1]))
        restored = add_network(graph, network, "image", add("Max", condition, lowest))
        lost = add("Mul", condition, graph.number(100))
        first = add("Mul", add("Clip", lost, graph.number(0), graph.number(5)), graph.number(0.06))
        beyond = add("Div", add("Sub", lost, graph.number(5)), graph.number(3))
        beyond = add("Mul", add("Clip", beyond, graph.number(0), graph.number(1)), graph.number(0.7))
        weight = add("Add", first, beyond)
    weight = add("Reshape", weight, graph.integers(-1, 1, 1, 1))
    return add("Add", "image", add("Mul", add("Sub", restored, "image"), weight))


def _add_seen(graph: Graph, estimate: Value) -> dict[str, Value]:
    """The levels of :meth:`RestorationNetwork.estimate`, one for each image."""
    mean = graph.add("ReduceMean", estimate, graph.integers(2, 3), keepdims=0)
    noise, jpeg = graph.add_many("Split", 2, mean, axis=1, num_outputs=2)
    sigma = graph.add("Mul", noise, graph.number(255))
    quality = graph.add("Sub", graph.number(100), graph.add("Mul", jpeg, graph.number(100)))
    levels = {"estimated_sigma": sigma, "estimated_quality": graph.add("Max", quality, graph.number(1))}
    return {name: graph.add("Reshape", level, graph.integers(-1)) for name, level in levels.items()}


def _metadata(weights: Path, header: WeightsHeader, levels: str) -> dict[str, str]:
    ranges = {
        f"{name}_{end}": f"{value:g}"
        for name, limits in header.ranges.items()
        for end, value in zip(("min", "max"), limits, strict=True)
    }
    return {
        "model": header.name,
        "task": header.task,
        "levels": levels,
        **ranges,
        "licence": header.licence,
        "weights": sha256(header_bytes(weights)).hexdigest(),  # by which a graph knows its file
        "version": vheatir.__version__,
    }
