"""Blocks and groups as nodes.

Features are tokens, (B * H * W, C), where positions are on their own: a linear map is then one Gemm, which takes the
weight as torch stores it. They are images, (B, C, H, W), for convolutions, and maps, (B, H, W, C), for heat.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from onnx import TensorProto
from torch import nn

from vheatir.nn.heat import REFERENCE_LEVEL
from vheatir.nn.mixers import HcNetMixer, HeatMixer, IdentityMixer
from vheatir.nn.onnx.graph import Graph, Value
from vheatir.nn.vheatir import Block, ResidualGroup

__all__ = ["Grid", "add_connection", "add_convolution", "add_group", "add_norm"]

#: the flow to a position from its upper, left, right and lower neighbour, as 3 x 3 kernels
_FLOWS: Final = np.array(
    [
        [0, 1, 0, 0, -1, 0, 0, 0, 0],
        [0, 0, 0, 1, -1, 0, 0, 0, 0],
        [0, 0, 0, 0, -1, 1, 0, 0, 0],
        [0, 0, 0, 0, -1, 0, 0, 1, 0],
    ],
    np.float32,
)


class Grid:
    """One resolution of an image: the shape of its maps, and what heat needs of it, computed once.

    Args:
        graph: where the nodes go.
        image: any value of shape (B, C, H, W).
        level: the condition, shape (B,) or (1,), for operators that follow it.
    """

    def __init__(self, graph: Graph, image: Value, level: Value | None = None) -> None:
        self.graph = graph
        self.level = level
        self._shape = graph.add("Shape", image)
        self._hats: dict[int, tuple[Value, Value]] = {}

    @cached_property
    def _map_shape(self) -> Value:
        places = self.graph.add("Gather", self._shape, self.graph.integers(0, 2, 3))
        return self.graph.add("Concat", places, self.graph.integers(-1), axis=0)

    def tokens(self, image: Value, channels: int) -> Value:
        """(B, C, H, W) -> (B * H * W, C)."""
        maps = self.graph.add("Transpose", image, perm=[0, 2, 3, 1])
        return self.graph.add("Reshape", maps, self.graph.integers(-1, channels))

    def maps(self, tokens: Value) -> Value:
        """(B * H * W, C) -> (B, H, W, C)."""
        return self.graph.add("Reshape", tokens, self._map_shape)

    def image(self, tokens: Value) -> Value:
        """(B * H * W, C) -> (B, C, H, W)."""
        return self.graph.add("Transpose", self.maps(tokens), perm=[0, 3, 1, 2])

    @cached_property
    def bases(self) -> tuple[Value, Value]:
        """:func:`vheatir.nn.heat.dct_basis` of height and width, (H, H) and (W, W)."""
        return self._basis(2), self._basis(3)

    @cached_property
    def transposed_bases(self) -> tuple[Value, Value]:
        """The inverse of the bases."""
        height, width = (self.graph.add("Transpose", basis, perm=[1, 0]) for basis in self.bases)
        return height, width

    @cached_property
    def cooling(self) -> Value:
        """Minus :func:`vheatir.nn.heat.squared_frequencies`, (H, W, 1)."""
        add, squares = self.graph.add, []
        for axis, shape in ((2, (-1, 1, 1)), (3, (-1, 1))):
            frequency = add("Mul", self._share(axis), self.graph.number(math.pi))
            squares.append(add("Reshape", add("Mul", frequency, frequency), self.graph.integers(*shape)))
        return add("Neg", add("Add", *squares))

    def hats(self, resolution: int) -> tuple[Value, Value]:
        """:func:`vheatir.nn.heat.hat_weights` of height and width, (H, R + 1) and (W, R + 1)."""
        if resolution not in self._hats:
            self._hats[resolution] = (self._hat(2, resolution), self._hat(3, resolution))
        return self._hats[resolution]

    def _hat(self, axis: int, resolution: int) -> Value:
        graph = self.graph
        place = graph.add("Mul", self._share(axis), graph.number(resolution))
        nodes = graph.constant(np.arange(resolution + 1, dtype=np.float32))
        apart = graph.add("Sub", graph.add("Reshape", place, graph.integers(-1, 1)), nodes)
        return graph.add("Relu", graph.add("Sub", graph.number(1), graph.add("Abs", apart)))

    def _size(self, axis: int) -> Value:
        return self.graph.add("Gather", self._shape, self.graph.constant(np.array(axis, np.int64)))

    def _positions(self, axis: int) -> Value:
        zero, one = (self.graph.constant(np.array(value, np.int64)) for value in (0, 1))
        return self.graph.add("Range", zero, self._size(axis), one)

    def _share(self, axis: int) -> Value:
        """0, 1/N, ... of an axis of N positions: float32, (N,)."""
        place, size = (
            self.graph.add("Cast", value, to=TensorProto.FLOAT) for value in (self._positions(axis), self._size(axis))
        )
        return self.graph.add("Div", place, size)

    def _basis(self, axis: int) -> Value:
        """As in torch, but in float32: the WebGPU of onnxruntime-web has no float64.

        Whole numbers first, less than a turn of 4 N, which float32 holds exactly: angles of long axes stay exact too.
        """
        graph, add = self.graph, self.graph.add
        i, size = self._positions(axis), self._size(axis)
        n = add("Reshape", i, graph.integers(-1, 1))
        odd = add("Add", add("Mul", i, graph.integers(2)), graph.integers(1))
        half_samples = add("Mod", add("Mul", n, odd), add("Mul", size, graph.integers(4)))
        length = add("Cast", size, to=TensorProto.FLOAT)
        share = add("Div", add("Cast", half_samples, to=TensorProto.FLOAT), length)
        angle = add("Mul", share, graph.number(math.pi / 2))
        squared = add("Where", add("Equal", n, graph.integers(0)), graph.number(1), graph.number(2))
        return add("Mul", add("Cos", angle), add("Sqrt", add("Div", squared, length)))


class _Embedding(NamedTuple):
    """Frequency value embeddings: (nodes * nodes, C), nodes = R + 1."""

    tokens: Value
    nodes: int


def add_group(grid: Grid, group: nn.Module, name: str, image: Value, channels: int) -> Value:
    """:class:`vheatir.nn.vheatir.ResidualGroup`: (B, C, H, W) -> the same."""
    assert isinstance(group, ResidualGroup)
    graph, embedding = grid.graph, None
    if group.embedding is not None:
        tokens = graph.add("Reshape", graph.weight(f"{name}.embedding.weight"), graph.integers(-1, channels))
        embedding = _Embedding(tokens, group.embedding.weight.shape[0])
    y = grid.tokens(image, channels)
    for index, block in enumerate(group.blocks):
        assert isinstance(block, Block)
        y = _add_block(grid, block, f"{name}.blocks.{index}", y, embedding)
    return graph.add("Add", image, add_connection(graph, group.conv, f"{name}.conv", grid.image(y)))


def add_connection(graph: Graph, module: nn.Module, name: str, image: Value) -> Value:
    """The convolutions that close a group: (B, C, H, W) -> the same."""
    if isinstance(module, nn.Conv2d):
        return add_convolution(graph, module, name, image)
    if isinstance(module, nn.LeakyReLU):
        return graph.add("LeakyRelu", image, alpha=module.negative_slope)
    for index, layer in enumerate(module.children()):  # none of nn.Identity
        image = add_connection(graph, layer, f"{name}.{index}", image)
    return image


def add_convolution(graph: Graph, module: nn.Module, name: str, image: Value) -> Value:
    """:class:`torch.nn.Conv2d`: (B, C, H, W) -> (B, D, H', W')."""
    assert isinstance(module, nn.Conv2d)
    weights = [graph.weight(f"{name}.weight"), *([] if module.bias is None else [graph.weight(f"{name}.bias")])]
    pads = [int(side) for side in module.padding] * 2
    return graph.add("Conv", image, *weights, pads=pads, strides=list(module.stride), group=module.groups)


def add_norm(graph: Graph, module: nn.LayerNorm, name: str, x: Value) -> Value:
    """Normalise the last axis."""
    weight, bias = (graph.weight(f"{name}.{part}") for part in ("weight", "bias"))
    return graph.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=module.eps)


def _add_linear(graph: Graph, name: str, x: Value) -> Value:
    return graph.add("Gemm", x, graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias"), transB=1)


def _add_block(grid: Grid, block: Block, name: str, x: Value, embedding: _Embedding | None) -> Value:
    """(B * H * W, C) -> the same."""
    graph, branch = grid.graph, block.branch
    local = grid.image(add_norm(graph, block.norm1, f"{name}.norm1", x))
    z = grid.tokens(add_convolution(graph, branch.local, f"{name}.branch.local", local), branch.local.out_channels)
    y = _add_linear(graph, f"{name}.branch.value", z)
    y = _add_mixer(grid, branch.mixer, f"{name}.branch.mixer", y, embedding)
    if isinstance(branch.norm, nn.LayerNorm):
        y = add_norm(graph, branch.norm, f"{name}.branch.norm", y)
    if branch.gate is not None:
        gate = _add_linear(graph, f"{name}.branch.gate", z)
        y = graph.add("Mul", y, graph.add("Mul", gate, graph.add("Sigmoid", gate)))
    x = graph.add("Add", x, _add_linear(graph, f"{name}.branch.project", y))
    hidden = add_norm(graph, block.norm2, f"{name}.norm2", x)
    for index, layer in enumerate(block.mlp):
        if isinstance(layer, nn.Linear):
            hidden = _add_linear(graph, f"{name}.mlp.{index}", hidden)
        elif isinstance(layer, nn.Conv2d):
            image = add_convolution(graph, layer, f"{name}.mlp.{index}", grid.image(hidden))
            hidden = grid.tokens(image, layer.out_channels)
        else:
            hidden = graph.add("Gelu", hidden)
    return graph.add("Add", x, hidden)


def _add_mixer(grid: Grid, mixer: nn.Module, name: str, u: Value, embedding: _Embedding | None) -> Value:
    """(B * H * W, C) -> the same."""
    graph = grid.graph
    if isinstance(mixer, IdentityMixer):
        return u
    if isinstance(mixer, HcNetMixer):
        return _add_step(grid, mixer, name, u)
    if not isinstance(mixer, HeatMixer) or mixer.window is not None or mixer.spectrum_ratio < 1:
        raise ValueError("A network with attention, windows, or a spectrum_ratio below 1 has no ONNX form.")
    assert embedding is not None
    channels, conducting = mixer.conductivity.linear.in_features, mixer.conducting
    if conducting == channels:
        heated = _add_heat(grid, mixer, name, grid.maps(u), embedding)
    else:
        sizes = graph.integers(conducting, channels - conducting)
        heated, rest = graph.add_many("Split", 2, grid.maps(u), sizes, axis=-1)
        heated = graph.add("Concat", _add_heat(grid, mixer, name, heated, embedding), rest, axis=-1)
    return graph.add("Reshape", heated, graph.integers(-1, channels))


def _add_heat(grid: Grid, mixer: HeatMixer, name: str, u: Value, embedding: _Embedding) -> Value:
    """:meth:`vheatir.nn.heat.HeatConduction2d.conduct`: maps (B, H, W, C) -> the same."""
    graph, add = grid.graph, grid.graph.add
    (rows, columns), (rows_back, columns_back) = grid.bases, grid.transposed_bases
    flat, full = graph.integers(0, 0, -1), graph.integers(0, 0, -1, mixer.conducting)
    decay = add("Exp", add("Mul", _add_conductivity(grid, mixer, name, u, embedding), grid.cooling))
    spectrum = add("MatMul", columns, add("Reshape", add("MatMul", rows, add("Reshape", u, flat)), full))
    decayed = add("MatMul", columns_back, add("Mul", spectrum, decay))
    heated = add("Reshape", add("MatMul", rows_back, add("Reshape", decayed, flat)), full)
    if mixer.gain is None:
        return heated
    return add("Add", u, add("Mul", add("Sub", heated, u), graph.weight(f"{name}.gain")))


def _add_conductivity(grid: Grid, mixer: HeatMixer, name: str, u: Value, embedding: _Embedding) -> Value:
    """k at the frequencies of the grid: (1 or B, H, W, C)."""
    graph, add, count, nodes = grid.graph, grid.graph.add, mixer.conducting, embedding.nodes
    k = add("Softplus", _add_linear(graph, f"{name}.conductivity.linear", embedding.tokens))
    k = add("Reshape", k, graph.integers(1, nodes, nodes, count))
    scales = []
    if mixer.content is not None:
        logit = _add_linear(graph, f"{name}.content.linear", _add_mean(graph, u))
        scales.append(add("Mul", add("Sigmoid", logit), graph.number(2)))
    if mixer.level is not None:
        assert grid.level is not None, "the network was made with level_conductivity, hence with a condition"
        relative = add("Div", grid.level, graph.number(REFERENCE_LEVEL))
        squared = add("Reshape", add("Mul", relative, relative), graph.integers(-1, 1))
        base, slope = (add("Softplus", graph.weight(f"{name}.level.{part}")) for part in ("base", "slope"))
        scales.append(add("Add", base, add("Mul", slope, squared)))
    for scale in scales:  # (B, C)
        k = add("Mul", k, add("Reshape", scale, graph.integers(-1, 1, 1, count)))
    rows, columns = grid.hats(nodes - 1)
    along_rows = add("MatMul", rows, add("Reshape", k, graph.integers(0, 0, -1)))
    return add("MatMul", columns, add("Reshape", along_rows, graph.integers(0, 0, nodes, count)))


def _add_mean(graph: Graph, maps: Value) -> Value:
    """(B, H, W, C) -> (B, C)."""
    return graph.add("ReduceMean", maps, graph.integers(1, 2), keepdims=0)


def _add_step(grid: Grid, mixer: HcNetMixer, name: str, u: Value) -> Value:
    """:class:`vheatir.nn.mixers.HcNetMixer`: (B * H * W, C) -> the same."""
    graph, add = grid.graph, grid.graph.add
    channels = mixer.neighbours.shape[0]
    weights = add("Div", add("Sigmoid", graph.weight(f"{name}.neighbours")), graph.number(8))
    kernel = add("Reshape", add("MatMul", weights, graph.constant(_FLOWS)), graph.integers(-1, 1, 3, 3))
    insulated = add("Pad", grid.image(u), graph.integers(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")
    flow = grid.maps(grid.tokens(add("Conv", insulated, kernel, group=channels), channels))
    step = graph.number(0.5)
    if mixer.linear is not None:
        logit = _add_linear(graph, f"{name}.linear", _add_mean(graph, grid.maps(u)))
        step = add("Reshape", add("Sigmoid", logit), graph.integers(-1, 1, 1, channels))
    elif mixer.logit is not None:
        step = add("Sigmoid", graph.weight(f"{name}.logit"))
    mixed = add("Add", grid.maps(u), add("Mul", step, flow))
    return add("Reshape", mixed, graph.integers(-1, channels))
