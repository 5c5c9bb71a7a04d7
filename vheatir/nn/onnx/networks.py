"""The two networks as nodes; names of weights are those of the modules' state dicts."""

from __future__ import annotations

import numpy as np
from torch import nn

from vheatir.nn.onnx.graph import Graph, Value
from vheatir.nn.onnx.layers import Grid, add_connection, add_convolution, add_group, add_norm
from vheatir.nn.pyramid import UNITS, LevelEstimator, VHeatPyramid
from vheatir.nn.vheatir import VHeatIR

__all__ = ["add_estimate", "add_network", "add_pyramid"]


def add_network(graph: Graph, network: VHeatIR, x: Value, condition: Value) -> Value:
    """:class:`vheatir.nn.VHeatIR`: x (B, in_chans, H, W) and condition (B,) or (1,) -> the restored images."""
    config, add = network.config, graph.add
    scaled = add("Mul", _add_padding(graph, x, config.downscale), graph.number(config.img_range))
    folded = _add_fold(graph, scaled, config.downscale, config.in_chans)
    if config.condition:
        level = add("Reshape", add("Mul", condition, graph.number(config.img_range)), graph.integers(-1, 1, 1, 1))
        shape = add("Shape", folded)
        first, last = (add("Gather", shape, graph.integers(*axes)) for axes in ((0,), (2, 3)))
        size = add("Concat", first, graph.integers(1), last, axis=0)
        folded = add("Concat", folded, add("Expand", level, size), axis=1)
    shallow = deep = add_convolution(graph, network.conv_first, "conv_first", folded)
    grid = Grid(graph, shallow, condition)
    for index, group in enumerate(network.groups):
        deep = add_group(grid, group, f"groups.{index}", deep, config.embed_dim)
    deep = grid.image(add_norm(graph, network.norm, "norm", grid.tokens(deep, config.embed_dim)))
    features = add("Add", shallow, add_connection(graph, network.conv_after_body, "conv_after_body", deep))
    residual = add_convolution(graph, network.conv_last, "conv_last", features)
    correction = add("Div", _add_unfold(graph, residual, config.downscale), graph.number(config.img_range))
    return add("Add", x, _add_crop(graph, correction, x))


def add_pyramid(
    graph: Graph, network: VHeatPyramid, x: Value, condition: Value, strength: Value
) -> tuple[Value, Value]:
    """:class:`vheatir.nn.VHeatPyramid`.

    Args:
        graph: where the nodes go.
        network: the pyramid.
        x: (B, in_chans, H, W).
        condition: (B or 1, 2), negative where a level is not known.
        strength: (B,) or (1,).

    Returns:
        The restored images, and the estimated levels, (B, 2, H/8, W/8).
    """
    add, folded = graph.add, _add_folded(graph, network, x)
    estimate = _add_estimator(graph, network.estimator, folded)
    sizes = [add("Shape", value, start=start, end=start + 2) for value, start in ((estimate, 0), (folded, 2))]
    estimated = add("Resize", estimate, "", "", add("Concat", *sizes, axis=0), mode="linear")
    known = add("Reshape", condition, graph.integers(-1, 2, 1, 1))
    levels = add("Where", add("Less", known, graph.number(0)), estimated, known)
    levels = add("Mul", levels, add("Reshape", strength, graph.integers(-1, 1, 1, 1)))
    residual = _add_residual(graph, network, folded, levels)
    units = graph.constant(np.array(UNITS, np.float32).reshape(1, 2, 1, 1))
    total = add("ReduceSum", add("Mul", levels, units), graph.integers(1), keepdims=1)
    weight = add("Div", total, add("Add", total, graph.number(1)))
    correction = _add_unfold(graph, add("Mul", residual, weight), 2)
    return add("Add", x, _add_crop(graph, correction, x)), estimate


def add_estimate(graph: Graph, network: VHeatPyramid, x: Value) -> Value:
    """:meth:`vheatir.nn.VHeatPyramid.estimate_levels`: (B, in_chans, H, W) -> (B, 2, H/8, W/8)."""
    return _add_estimator(graph, network.estimator, _add_folded(graph, network, x))


def _add_folded(graph: Graph, network: VHeatPyramid, x: Value) -> Value:
    return _add_fold(graph, _add_padding(graph, x, network.multiple), 2, network.config.in_chans)


def _add_estimator(graph: Graph, estimator: LevelEstimator, folded: Value) -> Value:
    value = folded
    for index, layer in enumerate(estimator.layers):
        if isinstance(layer, nn.Conv2d):
            value = add_convolution(graph, layer, f"estimator.layers.{index}", value)
        else:
            value = graph.add("Gelu", value)
    return graph.add("Softplus", value)


def _add_residual(graph: Graph, network: VHeatPyramid, folded: Value, levels: Value) -> Value:
    """:meth:`vheatir.nn.VHeatPyramid.residual`."""
    add = graph.add
    shallow = deep = add_convolution(graph, network.conv_first, "conv_first", add("Concat", folded, levels, axis=1))
    grids, skips, widths = [Grid(graph, shallow)], [], network.config.widths
    for index, (group, down) in enumerate(zip(network.down_groups, network.downs, strict=True)):
        deep = add_group(grids[-1], group, f"down_groups.{index}", deep, widths[index])
        skips.append(deep)
        deep = add_convolution(graph, down, f"downs.{index}", deep)
        grids.append(Grid(graph, deep))
    deep = add_group(grids.pop(), network.bottom, "bottom", deep, widths[-1])
    for index, (up, group) in enumerate(zip(network.ups, network.up_groups, strict=True)):
        wide = _add_unfold(graph, add_convolution(graph, up.get_submodule("expand"), f"ups.{index}.expand", deep), 2)
        joined = add("Add", skips.pop(), wide)
        deep = add_group(grids[-1 - index], group, f"up_groups.{index}", joined, widths[-2 - index])
    grid = grids[0]
    deep = grid.image(add_norm(graph, network.norm, "norm", grid.tokens(deep, widths[0])))
    after = add_convolution(graph, network.conv_after_body, "conv_after_body", deep)
    return add_convolution(graph, network.conv_last, "conv_last", add("Add", shallow, after))


def _add_padding(graph: Graph, x: Value, multiple: int) -> Value:
    """Extend images at the bottom and right by their edge, to the next multiple."""
    if multiple == 1:
        return x
    size = graph.add("Shape", x, start=2, end=4)
    missing = graph.add("Mod", graph.add("Neg", size), graph.integers(multiple))
    return graph.add("Pad", x, graph.add("Concat", graph.integers(*[0] * 6), missing, axis=0), mode="edge")


def _add_fold(graph: Graph, x: Value, side: int, channels: int) -> Value:
    """torch's pixel_unshuffle, channel by channel, since ONNX puts the channels last."""
    if side == 1:
        return x
    planes = graph.add("Reshape", x, graph.integers(-1, 1, 0, 0))
    blocks = graph.add("SpaceToDepth", planes, blocksize=side)
    return graph.add("Reshape", blocks, graph.integers(-1, channels * side**2, 0, 0))


def _add_unfold(graph: Graph, x: Value, side: int) -> Value:
    """torch's pixel_shuffle."""
    return graph.add("DepthToSpace", x, blocksize=side, mode="CRD") if side > 1 else x


def _add_crop(graph: Graph, value: Value, x: Value) -> Value:
    """The upper left part of a value, of the size of x."""
    size = graph.add("Shape", x, start=2, end=4)
    return graph.add("Slice", value, graph.integers(0, 0), size, graph.integers(2, 3))
