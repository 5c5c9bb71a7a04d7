"""A graph in the making: nodes one after the other, constants, and weights that it knows by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["OPSET", "Graph", "Value"]

#: set of operators: the first with Gelu
OPSET: Final = 20

#: the name of a value in the graph
Value = str


class Graph:
    """Nodes and what is stored.

    Args:
        stored: gives the tensor of a weight by its name, of any floating type; the graph reads it as float32.

    Attributes:
        nodes: in the order in which they were added.
        initializers: constants, and the weights that were used.
    """

    def __init__(self, stored: Callable[[str], TensorProto]) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._stored = stored
        self._known: dict[object, Value] = {}

    def add(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
        """Add a node of one output; attributes as ONNX names them."""
        return self.add_many(operator, 1, *inputs, **attributes)[0]

    def add_many(self, operator: str, outputs: int, *inputs: Value, **attributes: Any) -> list[Value]:
        """Add a node of several outputs."""
        names = [
            f"{operator.lower()}{len(self.nodes)}{'abc'[index] if outputs > 1 else ''}" for index in range(outputs)
        ]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def weight(self, name: str) -> Value:
        """A weight, as float32."""
        if name not in self._known:
            tensor = self._stored(name)
            self.initializers.append(tensor)
            is_wide = tensor.data_type == TensorProto.FLOAT
            self._known[name] = tensor.name if is_wide else self.add("Cast", tensor.name, to=TensorProto.FLOAT)
        return self._known[name]

    def integers(self, *values: int) -> Value:
        """A constant of int64, shape (number of values,)."""
        return self.constant(np.array(values, np.int64))

    def constant(self, values: npt.NDArray[Any]) -> Value:
        """A constant, of the array's shape and type."""
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._known:
            self._known[key] = f"constant{len(self.initializers)}"
            self.initializers.append(numpy_helper.from_array(values, self._known[key]))
        return self._known[key]

    def number(self, value: float) -> Value:
        """A constant of float32, shape ()."""
        return self.constant(np.array(value, np.float32))
