"""The folded network with its shuffles where they cost least: the common start of all exports.

A channel shuffle moves behind the depthwise convolution that reads it, where stride 2 has left a quarter of the pixels,
and disappears in a dense convolution; the weights of both are reordered to match.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.folded import fold
from shufflenet.networks.graph import Convolution, Graph, Node, Shuffle, Split
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
    graph, tensors = moved_shuffles(model.graph, model.tensors)
    return replace(model, graph=graph, tensors=tensors)


def moved_shuffles(source: Graph, tensors: Mapping[str, NDArray[Any]]) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """The same for a network without batch norm.

    Args:
        tensors: by the node's name, a dot and a name of their own; of those of layers the first axis is that of the
            outputs, and ``weight`` has the inputs as its second.
    """
    moving = _Moving(tensors, Graph(source.name, source.in_channels))
    moving.values[source.input] = moving.graph.input
    for node in source.nodes[1:]:
        moving.add(node, OUTPUT if node is source.nodes[-1] else node.name)
    return moving.graph, moving.moved


def gathered(model: Model) -> Model:
    """A network of `move_shuffles` with a gather in place of each shuffle, and of each split that follows a shuffle."""
    return replace(model, graph=with_gathers(model.graph))


def with_gathers(source: Graph) -> Graph:
    """The same for the graph alone."""
    graph = Graph(source.name, source.in_channels)
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
    return graph


@dataclass
class _Moving:
    """The network with its shuffles moved while it is built, node by node."""

    tensors: Mapping[str, NDArray[Any]]
    graph: Graph
    moved: dict[str, NDArray[Any]] = field(default_factory=dict)  # the new graph's tensors
    values: dict[Node, Node] = field(default_factory=dict)  # the folded graph's node for each node of the model
    pending: dict[Node, Shuffle] = field(default_factory=dict)  # shuffles not yet applied to those nodes' values

    def __post_init__(self) -> None:
        self.names: dict[str, list[str]] = defaultdict(list)  # of each node's tensors
        for name in self.tensors:
            node, _, tensor = name.rpartition(".")
            self.names[node].append(tensor)

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
            self._keep(name, self._tensors_of(node))

    def _convolution(self, node: Convolution, name: str) -> Node:
        (source,) = node.inputs
        tensors = self._tensors_of(node)
        shuffle = self.pending.get(source)
        if shuffle is not None and node.depthwise:
            back = np.argsort(shuffle.order)
            tensors = {tensor: values[back] for tensor, values in tensors.items()}
            self.pending[node] = shuffle
        elif shuffle is not None and node.groups == 1:
            tensors["weight"] = tensors["weight"][:, np.argsort(shuffle.order)]
        else:
            self._value(source)
        self._keep(name, tensors)
        return self.graph.append(replace(node, name=name, inputs=(self.values[source],)))

    def _tensors_of(self, node: Node) -> dict[str, NDArray[Any]]:
        """A node's tensors, without its name in theirs."""
        return {tensor: self.tensors[f"{node.name}.{tensor}"] for tensor in self.names.get(node.name, ())}

    def _keep(self, name: str, tensors: Mapping[str, NDArray[Any]]) -> None:
        self.moved |= {f"{name}.{tensor}": values for tensor, values in tensors.items()}

    def _value(self, node: Node) -> Node:
        """The new graph's node for ``node``, with the pending shuffle applied."""
        shuffle = self.pending.pop(node, None)
        if shuffle is not None:
            name = node.name if node is shuffle else f"{node.name}.shuffle"
            self.values[node] = self.graph.append(replace(shuffle, name=name, inputs=(self.values[node],)))
        return self.values[node]
