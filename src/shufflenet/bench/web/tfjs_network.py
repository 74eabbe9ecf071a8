"""A network as a list of operators for TensorFlow.js, which has no grouped convolutions but depthwise ones.

A group is a convolution of its own, or all groups are one dense convolution with zeros: more multiply-adds, but no
channels to take apart, and the shuffles in front of it disappear in its weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters.shuffles import Floats, Gather, gathered, move_shuffles, moved_shuffles
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Node,
    Pool,
    Shuffle,
    Split,
)
from shufflenet.networks.model import Model

Groups = Literal["dense", "gather", "transpose"]  # the last two: apart, with shuffles written in that way

_ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid")  # that TensorFlow.js joins with a convolution


def tfjs_files(model: Model, groups: Groups, height: int, width: int) -> dict[str, bytes]:
    """The contents of network.json and weights.bin, which page/tfjs.js reads.

    Raises:
        TypeError: an operator is not among those that are written.
    """
    moved = move_shuffles(model)
    if groups == "dense":
        dense = _dense(moved)
        graph, tensors = moved_shuffles(dense.graph, dense.tensors)
        moved = gathered(replace(dense, graph=graph, tensors=tensors))
    elif groups == "gather":
        moved = gathered(moved)
    writer = _Writer(moved, moved.graph.sizes(height, width))
    for node in moved.graph.nodes[1:]:
        writer.values[node] = writer.add(node, *(writer.values[source] for source in node.inputs))
    network = {"steps": writer.steps, "tensors": writer.tensors}
    return {"network.json": json.dumps(network, allow_nan=False).encode(), "weights.bin": bytes(writer.data)}


def _dense(model: Model) -> Model:
    """A network of `move_shuffles` with a dense convolution in place of each grouped one but for depthwise ones."""
    graph, tensors = Graph(model.graph.name, model.graph.in_channels), dict(model.tensors)
    values: dict[Node, Node] = {model.graph.input: graph.input}
    for node in model.graph.nodes[1:]:
        inputs = tuple(values[source] for source in node.inputs)
        if isinstance(node, Convolution) and node.groups > 1 and not node.depthwise:
            tensors[f"{node.name}.weight"] = _with_zeros(model.tensors[f"{node.name}.weight"], node.groups)
            values[node] = graph.append(replace(node, inputs=inputs, groups=1))
        else:
            values[node] = graph.append(replace(node, inputs=inputs))
    return replace(model, graph=graph, tensors=tensors)


def _with_zeros(weight: Floats, groups: int) -> Floats:
    """Weights [C, inputs of a group, k, k] as those of a dense convolution."""
    channels, inputs, *window = weight.shape
    dense = np.zeros((groups, channels // groups, groups, inputs, *window), np.float32)
    for group, rows in enumerate(weight.reshape(groups, channels // groups, inputs, *window)):
        dense[group, :, group] = rows
    return dense.reshape(channels, groups * inputs, *window)


@dataclass
class _Writer:
    """Steps in the order of running, and their weights. Methods return the number of a value; the input's is 0."""

    model: Model
    sizes: dict[Node, tuple[int, int]]
    steps: list[dict[str, Any]] = field(default_factory=list)
    tensors: list[dict[str, Any]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    values: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values[self.model.graph.input] = 0

    def add(self, node: Node, *inputs: int) -> int:
        match node:
            case Convolution(activation=activation) | FullyConnected(activation=activation) if (
                activation not in _ACTIVATIONS
            ):
                pass
            case Convolution():
                return self._convolution(node, inputs[0])
            case FullyConnected():
                weight, bias = (self.model.tensors[f"{node.name}.{name}"] for name in ("weight", "bias"))
                matrix = weight.reshape(len(weight), -1).T
                return self._step("fully_connected", inputs, (matrix, bias), activation=node.activation)
            case Pool(kind="max"):
                return self._step("max_pool", inputs, size=3, stride=2, pads=self._pads(node))
            case Pool():  # it counts padding, which TensorFlow.js does not
                ninth = np.full((3, 3, node.channels, 1), 1 / 9, np.float32)
                weights = ninth, np.zeros(node.channels, np.float32)
                return self._step("depthwise", inputs, weights, stride=2, pads=self._pads(node), activation="linear")
            case AdaptiveAveragePool(size=1):
                return self._step("mean", inputs)
            case Add(activation="linear" | "relu"):
                return self._step("add", inputs, activation=node.activation)
            case Concat():
                return self._step("concat", inputs)
            case Split():
                return self._step("split", inputs, first=node.first, channels=node.channels)
            case Shuffle():
                return self._step("shuffle", inputs, groups=node.groups)
            case Gather():
                return self._step("gather", inputs, (node.order.astype(np.int32),))
        raise TypeError(f"{node.name}: {type(node).__name__} is not among the operators that the bench writes")

    def _convolution(self, node: Convolution, source: int) -> int:
        weight, bias = (self.model.tensors[f"{node.name}.{name}"] for name in ("weight", "bias"))
        options = {"stride": node.stride, "pads": self._pads(node), "activation": node.activation}
        if node.depthwise:
            return self._step("depthwise", (source,), (weight.transpose(2, 3, 0, 1), bias), **options)
        parts, inputs, outputs = [], node.in_channels // node.groups, node.channels // node.groups
        for group in range(node.groups):
            rows = slice(group * outputs, (group + 1) * outputs)
            some = source
            if node.groups > 1:
                some = self._step("split", (source,), first=group * inputs, channels=inputs)
            weights = weight[rows].transpose(2, 3, 1, 0), bias[rows]
            parts.append(self._step("convolution", (some,), weights, **options))
        return self._step("concat", tuple(parts)) if len(parts) > 1 else parts[0]

    def _pads(self, node: Convolution | Pool) -> list[list[int]]:
        """Lines and columns before and behind, as TensorFlow.js takes them for NHWC."""
        pads = [[0, 0]]
        for pixels, windows in zip(self.sizes[node.inputs[0]], self.sizes[node], strict=True):
            beyond = (windows - 1) * node.stride + node.kernel_size - pixels - node.padding
            pads.append([node.padding, max(0, beyond)])
        return [*pads, [0, 0]]

    def _step(self, kind: str, inputs: tuple[int, ...], weights: tuple[NDArray[Any], ...] = (), **options: Any) -> int:
        numbers = [self._tensor(values) for values in weights]
        self.steps.append({"kind": kind, "inputs": inputs, "weights": numbers, **options})
        return len(self.steps)

    def _tensor(self, values: NDArray[Any]) -> int:
        described = {"shape": values.shape, "offset": len(self.data), "dtype": values.dtype.name}
        self.tensors.append(described)
        self.data += np.ascontiguousarray(values).tobytes()
        return len(self.tensors) - 1
