"""The folded network with its shuffles where they cost least: the common start of all exports.

A channel shuffle moves behind the depthwise convolution that reads it, where stride 2 has left a quarter of the pixels,
and disappears in a dense convolution; the weights of both are reordered to match.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.folded import fold
from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node, Shuffle, Split
from shufflenet.networks.model import Model

Floats = NDArray[np.float32]

INPUT, OUTPUT = "input", "logits"  # names of the first and the last node


@dataclass(frozen=True, eq=False)
class Gather(Node):
    """Channel i of the output is channel ``order[i]`` of the input."""

    order: NDArray[np.int64]  # [channels]


def move_shuffles(model: Model) -> Model:
    """The model without batch norm and with its shuffles moved; the logits are the same up to rounding.

    Its last operator is called `OUTPUT`.
    """
    model = fold(model)
    source = model.graph
    moving = _Moving(model, Graph(source.name, source.in_channels))
    moving.values[source.input] = moving.graph.input
    for node in source.nodes[1:]:
        moving.add(node, OUTPUT if node is source.nodes[-1] else node.name)
    return replace(model, graph=moving.graph, tensors=moving.tensors)


def gathered(model: Model) -> Model:
    """A network of `move_shuffles` with a gather in place of each shuffle, and of each split that follows a shuffle."""
    source, graph = model.graph, Graph(model.graph.name, model.graph.in_channels)
    readers = source.readers()
    values: dict[Node, Node] = {source.input: graph.input}
    for node in source.nodes[1:]:
        read = node.inputs[0]
        if isinstance(node, Split) and isinstance(read, Shuffle):
            order = read.order[node.first : node.first + node.channels]
            values[node] = graph.append(Gather(node.name, (values[read.inputs[0]],), node.channels, order))
        elif not isinstance(node, Shuffle):
            values[node] = graph.append(replace(node, inputs=tuple(values[x] for x in node.inputs)))
        elif not all(isinstance(reader, Split) for reader in readers[node]):
            values[node] = graph.append(Gather(node.name, (values[read],), node.channels, node.order))
    return replace(model, graph=graph)


@dataclass
class _Moving:
    """The network with its shuffles moved while it is built, node by node."""

    model: Model
    graph: Graph
    tensors: dict[str, Floats] = field(default_factory=dict)
    values: dict[Node, Node] = field(default_factory=dict)  # the folded graph's node for each node of the model
    pending: dict[Node, Shuffle] = field(default_factory=dict)  # shuffles not yet applied to those nodes' values

    def add(self, node: Node, name: str) -> None:
        """Appends ``node``, called ``name``, to the new graph; its inputs must have been added."""
        if isinstance(node, Shuffle):
            self.values[node] = self._value(node.inputs[0])
            if 1 < node.groups < node.channels:
                self.pending[node] = node
        elif isinstance(node, Convolution):
            self.values[node] = self._convolution(node, name)
        else:
            inputs = tuple(self._value(source) for source in node.inputs)
            self.values[node] = self.graph.append(replace(node, name=name, inputs=inputs))
            if isinstance(node, FullyConnected):
                for tensor in ("weight", "bias"):
                    self.tensors[f"{name}.{tensor}"] = self.model.tensors[f"{node.name}.{tensor}"]

    def _convolution(self, node: Convolution, name: str) -> Node:
        (source,) = node.inputs
        weight, bias = (self.model.tensors[f"{node.name}.{tensor}"] for tensor in ("weight", "bias"))
        shuffle = self.pending.get(source)
        if shuffle is not None and node.depthwise:
            back = np.argsort(shuffle.order)
            weight, bias = weight[back], bias[back]
            self.pending[node] = shuffle
        elif shuffle is not None and node.groups == 1:
            weight = weight[:, np.argsort(shuffle.order)]
        else:
            self._value(source)
        self.tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return self.graph.append(replace(node, name=name, inputs=(self.values[source],)))

    def _value(self, node: Node) -> Node:
        """The new graph's node for ``node``, with the pending shuffle applied."""
        shuffle = self.pending.pop(node, None)
        if shuffle is not None:
            name = node.name if node is shuffle else f"{node.name}.shuffle"
            self.values[node] = self.graph.append(replace(shuffle, name=name, inputs=(self.values[node],)))
        return self.values[node]
