"""The network in the operators that other runtimes have and run best; what converters and writers of files start from.

Batch norm is folded into the convolution before it. A channel shuffle moves behind the depthwise convolutions that read
it, where stride 2 has made it a quarter of the size, and into the dense convolutions, which take their inputs in any
order; for both the weights are reordered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.plan import fold_batch_norm
from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node, Shuffle, Split
from shufflenet.networks.model import Model

Floats = NDArray[np.float32]

INPUT, OUTPUT = "input", "logits"  # what the first and the last operator are called


@dataclass(frozen=True, eq=False)
class Gather(Node):
    """Channels of the input, by their numbers."""

    order: NDArray[np.int64]


def folded(model: Model) -> Model:
    """The same network without batch norm, with its shuffles where they cost least."""
    source = model.graph
    folding = _Folding(model, Graph(source.name, source.in_channels))
    folding.values[source.input] = folding.graph.input
    for node in source.nodes[1:]:
        folding.add(node, OUTPUT if node is source.nodes[-1] else node.name)
    return Model(folding.graph, folding.tensors)


def gathered(model: Model) -> Model:
    """A `folded` network with a gather in place of each shuffle, which also takes the channels that a split wants."""
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
    model: Model
    graph: Graph
    tensors: dict[str, Floats] = field(default_factory=dict)
    values: dict[Node, Node] = field(default_factory=dict)  # for every node of the model its counterpart
    pending: dict[Node, Shuffle] = field(default_factory=dict)  # what still has to be done to a counterpart

    def add(self, node: Node, name: str) -> None:
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
        """The counterpart of ``node`` with its channels in the model's order."""
        shuffle = self.pending.pop(node, None)
        if shuffle is not None:
            name = node.name if node is shuffle else f"{node.name}.shuffle"
            self.values[node] = self.graph.append(replace(shuffle, name=name, inputs=(self.values[node],)))
        return self.values[node]
