"""The folded network, the common start of all exports: batch norm is gone and shuffles are where they cost least.

Batch norm is folded into the convolution before it. A channel shuffle moves behind the depthwise convolution that reads
it, where stride 2 has left a quarter of the pixels, and disappears in a dense convolution; the weights of both are
reordered to match.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.plan import fold_batch_norm
from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node, Shuffle, Split
from shufflenet.networks.model import Model

Floats = NDArray[np.float32]

INPUT, OUTPUT = "input", "logits"  # names of the first and the last node


@dataclass(frozen=True, eq=False)
class Gather(Node):
    """Channel i of the output is channel ``order[i]`` of the input."""

    order: NDArray[np.int64]  # [channels]


def folded(model: Model) -> Model:
    """The model without batch norm and with its shuffles moved; the logits are the same up to rounding."""
    source = model.graph
    folding = _Folding(model, Graph(source.name, source.in_channels))
    folding.values[source.input] = folding.graph.input
    for node in source.nodes[1:]:
        folding.add(node, OUTPUT if node is source.nodes[-1] else node.name)
    return Model(folding.graph, folding.tensors)


def gathered(model: Model) -> Model:
    """A `folded` network with a gather in place of each shuffle, and of each split that follows a shuffle."""
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
    return Model(graph, model.tensors)


@dataclass
class _Folding:
    """The folded graph while it is built, node by node."""

    model: Model
    graph: Graph
    tensors: dict[str, Floats] = field(default_factory=dict)
    values: dict[Node, Node] = field(default_factory=dict)  # the folded graph's node for each node of the model
    pending: dict[Node, Shuffle] = field(default_factory=dict)  # shuffles not yet applied to those nodes' values

    def add(self, node: Node, name: str) -> None:
        """Appends ``node``, called ``name``, to the folded graph; its inputs must have been added."""
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
        shape = node.tensor_shapes()[f"{node.name}.weight"]
        if node.batch_norm:
            weight, bias = fold_batch_norm(self.model, node.name, node.batch_norm)
            weight = weight.reshape(shape)
        else:
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
        return self.graph.append(replace(node, name=name, inputs=(self.values[source],), batch_norm=""))

    def _value(self, node: Node) -> Node:
        """The folded graph's node for ``node``, with the pending shuffle applied."""
        shuffle = self.pending.pop(node, None)
        if shuffle is not None:
            name = node.name if node is shuffle else f"{node.name}.shuffle"
            self.values[node] = self.graph.append(replace(shuffle, name=name, inputs=(self.values[node],)))
        return self.values[node]
