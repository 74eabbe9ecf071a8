"""The ONNX graph of a float32 network. Channel shuffle is one Gather."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters.shuffles import Gather
from shufflenet.exporters.target import ExportError
from shufflenet.networks.graph import (
    Activation,
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Node,
    Pad,
    Pool,
    Scale,
    Split,
    WindowPool,
)

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto


class OnnxGraph:
    """ONNX nodes and weights in the order of execution.

    Args:
        graph: of a `gathered` network.
        tensors: of that network.
        size: height and width of the input; None: any.
    """

    element_type = 1  # of activations: TensorProto.FLOAT

    def __init__(self, graph: Graph, tensors: Mapping[str, NDArray[Any]], size: tuple[int, int] | None) -> None:
        self.graph, self.tensors = graph, tensors
        self.sizes = None if size is None else graph.sizes(*size)
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def build(self) -> None:
        """Adds all operators."""
        for node in self.graph.nodes[1:]:
            self._add(node, *(source.name for source in node.inputs))

    def names_of(self, node: Node) -> list[str]:
        """The names of the values of `element_type` that the node becomes."""
        activation = _activation(node)
        return [node.name, *([_before(node, activation)] if activation else [])]

    def _add(self, node: Node, *inputs: str) -> None:
        """Appends the operator and its activation; the node's name is that of the last of them."""
        activation = _activation(node)
        name = _before(node, activation) if activation else node.name
        match node:
            case Convolution():
                self._node("Conv", name, *inputs, *self._parameters(node), group=node.groups, **window(node))
            case Pool(kind="max"):
                self._node("MaxPool", name, *inputs, ceil_mode=int(node.ceil), **window(node))
            case Pool():
                self._node("AveragePool", name, *inputs, count_include_pad=1, **window(node))
            case WindowPool(kind="max"):
                self._node("MaxPool", name, *inputs, ceil_mode=int(node.ceil), **window(node))
            case WindowPool():
                counts = {"ceil_mode": int(node.ceil), "count_include_pad": int(node.counts_padding)}
                self._node("AveragePool", name, *inputs, **counts, **window(node))
            case Pad():
                edges = [0, 0, node.before, node.before, 0, 0, node.after, node.after]
                self._node("Pad", name, *inputs, self._constant(f"{name}.edges", np.array(edges)))
            case AdaptiveAveragePool():
                self._average_pool(node, name, *inputs)
            case FullyConnected():
                self._node("Gemm", name, *inputs, *self._parameters(node), transB=1)
            case Add():
                self._node("Add", name, *inputs)
            case Scale():
                planes = f"{name}.planes"  # [N, C] -> [N, C, 1, 1]
                self._node("Unsqueeze", planes, inputs[1], self._constant(f"{planes}.axes", np.array([2, 3])))
                self._node("Mul", name, inputs[0], planes)
            case Concat():
                self._node("Concat", name, *inputs, axis=1)
            case Split():
                limits = {"starts": node.first, "ends": node.first + node.channels, "axes": 1}
                constants = [self._constant(f"{name}.{key}", np.array([value])) for key, value in limits.items()]
                self._node("Slice", name, *inputs, *constants)
            case Gather():
                self._node("Gather", name, *inputs, self._constant(f"{name}.order", node.order), axis=1)
            case _:
                raise TypeError(f"no ONNX operator for {type(node).__name__}")
        if activation:
            self._activate(activation, node.name, name)

    def _average_pool(self, node: AdaptiveAveragePool, name: str, source: str) -> None:
        pooled = f"{name}.pool"
        if node.size == 1:
            self._node("GlobalAveragePool", pooled, source)
        elif self.sizes is None:
            raise ExportError(f"{node.name} needs a network for one picture size")
        else:
            kernel = [pixels // node.size for pixels in self.sizes[node.inputs[0]]]
            if any(pixels % node.size for pixels in self.sizes[node.inputs[0]]):
                raise ExportError(f"{node.name}: its windows differ in size for these pictures, which ONNX lacks")
            self._node("AveragePool", pooled, source, kernel_shape=kernel, strides=kernel)
        self._node("Flatten", name, pooled)

    def _activate(self, activation: str, name: str, before: str) -> None:
        match activation:
            case "HardSigmoid":
                self._node("HardSigmoid", name, before, alpha=1 / 6)
            case "HardSwish":  # an operator of ONNX's from opset 14 on
                self._node("HardSigmoid", f"{name}.factor", before, alpha=1 / 6)
                self._node("Mul", name, before, f"{name}.factor")
            case "Clip":
                bounds = {key: np.array(value, np.float32) for key, value in (("low", 0), ("high", 6))}
                self._node("Clip", name, before, *[self._constant(f"{name}.{key}", bounds[key]) for key in bounds])
            case "Silu":  # no operator of ONNX's
                self._node("Sigmoid", f"{name}.factor", before)
                self._node("Mul", name, before, f"{name}.factor")
            case "Gelu":  # an operator of ONNX's from opset 20 on
                numbers = {"root": math.sqrt(2), "one": 1, "half": 0.5}
                root, one, half = (
                    self._constant(f"{name}.{key}", np.array(value, np.float32)) for key, value in numbers.items()
                )
                self._node("Div", f"{name}.scaled", before, root)
                self._node("Erf", f"{name}.erf", f"{name}.scaled")
                self._node("Add", f"{name}.share", f"{name}.erf", one)
                self._node("Mul", f"{name}.twice", before, f"{name}.share")
                self._node("Mul", name, f"{name}.twice", half)
            case _:
                self._node(activation, name, before)

    def _parameters(self, node: Node) -> list[str]:
        return [self._constant(name, self.tensors[name]) for name in node.tensor_shapes()]

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _node(self, op: str, name: str, *inputs: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))


_ACTIVATIONS: dict[Activation, str] = {
    "linear": "",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "hard_sigmoid": "HardSigmoid",
    "hard_swish": "HardSwish",
    "relu6": "Clip",
    "silu": "Silu",
    "gelu": "Gelu",
}


def _activation(node: Node) -> str:
    """The ONNX operator of the activation behind ``node``; "": none."""
    return _ACTIVATIONS[getattr(node, "activation", "linear")]


def _before(node: Node, activation: str) -> str:
    """The name of the node's value before its activation."""
    return f"{node.name}.before_{activation.lower()}"


def window(node: Convolution | Pool | WindowPool) -> dict[str, list[int]]:
    """The ONNX attributes of kernel size, stride and padding."""
    return {"kernel_shape": [node.kernel_size] * 2, "strides": [node.stride] * 2, "pads": [node.padding] * 4}


def open_shapes(made: OnnxGraph) -> list[ValueInfoProto]:
    """The symbolic shape of every value, such as height/2, which ONNX's shape inference loses at the first stride.

    ONNX Runtime fuses operators and uses its blocked layout only where it knows that sizes are equal: a tenth of the
    time.
    """
    from onnx import helper

    graph = made.graph
    sizes: dict[Node, str] = {graph.input: "{}"}  # to be filled with "height" or "width"
    infos = []
    for node in graph.nodes[1:]:
        if isinstance(node, AdaptiveAveragePool | FullyConnected):
            continue
        sizes[node] = size = _size_name(sizes[node.inputs[0]], node)
        shape = ["batch", node.channels, size.format("height"), size.format("width")]
        infos += [helper.make_tensor_value_info(name, made.element_type, shape) for name in made.names_of(node)]
    return infos


def _size_name(size: str, node: Node) -> str:
    """The symbolic size behind ``node`` of an input of ``size``. Divisions that round up combine to height/4."""
    if isinstance(node, Pad):
        return f"({size}+{node.before + node.after})"
    if not isinstance(node, Convolution | Pool | WindowPool):
        return size
    ceil = isinstance(node, Pool | WindowPool) and node.ceil
    fewer = node.kernel_size - 2 * node.padding - ceil * (node.stride - 1)  # 1: (size - 1) // stride + 1
    if fewer != 1:
        return f"(({size}-{fewer})/{node.stride}+1)"
    if node.stride == 1:
        return size
    whole, slash, divisor = size.rpartition("/")
    if slash and divisor.isdigit():
        return f"{whole}/{int(divisor) * node.stride}"
    return f"{size}/{node.stride}"
