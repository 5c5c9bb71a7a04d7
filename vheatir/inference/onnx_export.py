"""Writes a trained network as an ONNX file for images of any size, for programs that have no torch.

The file computes what :meth:`RestorationNetwork.forward` computes, levels in the user's units. docs/onnx.md describes
its inputs.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxscript  # noqa: F401  # torch.onnx needs it, and says so late
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

import vheatir
from vheatir.inference.network import RestorationNetwork
from vheatir.levels.levels import Levels
from vheatir.nn import VHeatIR
from vheatir.system.atomic import atomic_path
from vheatir.weights.file import WeightsHeader, load_weights, weights_path

__all__ = ["export_onnx", "onnx_model"]

#: an image of the export: no size of it is 1 or the size of anything in a network, so that each stays open
_EXAMPLE_SIZE: Final = (2, 22, 28)
#: weights of fewer numbers stay in float32: a Cast takes as much room as it saves
_SMALL: Final = 256


class _LevelsAsInputs(nn.Module):
    """The names of the arguments become those of the file's inputs."""

    def __init__(self, model: RestorationNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        image: Tensor,
        sigma: Tensor | None = None,
        quality: Tensor | None = None,
        strength: Tensor | None = None,
    ) -> Tensor:
        factor = 1.0 if strength is None else strength
        restored: Tensor = self.model(image, sigma=sigma, quality=quality, strength=factor)
        return restored


class _LevelsBuiltIn(nn.Module):
    """The image is the only input."""

    def __init__(self, model: RestorationNetwork, levels: Levels) -> None:
        super().__init__()
        self.model, self.levels = model, levels

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.model(image, sigma=self.levels.sigma, quality=self.levels.quality)
        return restored


def export_onnx(weights: str | Path, output: Path, *, levels: Levels | None = None) -> None:
    """Write bundled weights or a weights file as an ONNX file.

    Args:
        weights: name of bundled weights, or path of a weights file.
        output: file to write; its folder must exist.
        levels: built into the file, whose only input is the image then; None makes them inputs.

    Raises:
        WeightsError: if the name or the file is not one of ours.
        ValueError: if a level is missing, outside its range, or not one that the network knows.
    """
    network, header = load_weights(weights_path(weights))  # plain, without what makes it fast in torch on a CPU
    model = RestorationNetwork(network, header).eval().requires_grad_(False)
    proto = onnx_model(model, levels=levels)
    with atomic_path(output) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def onnx_model(model: RestorationNetwork, *, levels: Levels | None = None) -> ModelProto:
    """Return a model as ONNX, checked: image and levels in, the restored image out.

    The batch, height and width are open. Weights that float16 holds without loss are stored as float16 and cast to
    float32 in the graph, so this changes no result. Metadata tell the task, the levels, the licence and the version.

    Args:
        model: in float32, on the CPU, its network without the fast way of :mod:`vheatir.nn.cpu`.
        levels: built into the graph; None makes them inputs.

    Raises:
        ValueError: if a level is missing, outside its range, or not one that the network knows; or if the network
            has a spectrum_ratio below 1: how many frequencies it keeps is rounded, and depends on the size.
    """
    if isinstance(model.network, VHeatIR) and model.network.config.spectrum_ratio < 1:
        raise ValueError("This network cannot be exported for images of any size; spectrum_ratio has to be 1.")
    header = model.header
    batch, height, width = _EXAMPLE_SIZE
    image = torch.rand(batch, header.channels, height, width)
    conditions: dict[str, Tensor] = {}
    if levels is None:
        names = [*header.ranges, *(["strength"] if header.task == "photo" else [])]
        conditions = {name: torch.full((batch,), 20.0) for name in names}
        module: nn.Module = _LevelsAsInputs(model)
    else:
        module = _LevelsBuiltIn(model, levels)
        module(image)  # refuses wrong levels in one sentence; the exporter's would be a page
    shapes = {"image": {0: "batch", 2: "height", 3: "width"}, **{name: {0: "batch"} for name in conditions}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            module.eval(),
            (image,),
            kwargs=conditions,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["image", *conditions],
            output_names=["restored"],
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto.graph)
    _halve_weights(proto.graph)
    proto.producer_name, proto.producer_version = "vheatir", vheatir.__version__
    proto.graph.name = header.name
    helper.set_model_props(proto, _metadata(header, levels))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _strip(graph: GraphProto) -> None:
    """Remove what the exporter tells of the Python source, and shapes that every runtime finds by itself."""
    for node in graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("value_info")


def _halve_weights(graph: GraphProto) -> None:
    """Store float32 weights as float16, followed by a Cast to float32, where that loses nothing."""
    casts: list[NodeProto] = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half, values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _metadata(header: WeightsHeader, levels: Levels | None) -> dict[str, str]:
    ranges = {
        f"{name}_{end}": f"{value:g}"
        for name, limits in header.ranges.items()
        for end, value in zip(("min", "max"), limits, strict=True)
    }
    return {
        "model": header.name,
        "task": header.task,
        "levels": "inputs" if levels is None else str(levels),
        **ranges,
        "licence": header.licence,
        "version": vheatir.__version__,
    }
