"""The network as ONNX Runtime runs it best.

It lays a depthwise convolution out in blocks only if that has a multiple of four channels. Any other, such as the 30 of
ShuffleNet 0.5x with three groups, takes it five times as long.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shufflenet.export.folded import Floats, Gather
from shufflenet.networks.graph import Convolution, Graph, Node
from shufflenet.networks.model import Model

MULTIPLE = 4


def aligned(model: Model) -> Model:
    """A `gathered` network whose shuffled depthwise convolutions have a multiple of four channels.

    The gather that shuffles them leaves the new ones out, so nothing else changes.
    """
    source, graph = model.graph, Graph(model.graph.name, model.graph.in_channels)
    channels = _channels(source)
    tensors = dict(model.tensors)
    values: dict[Node, Node] = {source.input: graph.input}
    for node in source.nodes[1:]:
        inputs = tuple(values[read] for read in node.inputs)
        if isinstance(node, Convolution) and node in channels:
            count = channels[node]
            for tensor in node.tensor_shapes():
                tensors[tensor] = _with_zeros(tensors[tensor], count)
            if node.depthwise and inputs[0].channels != count:
                order = np.arange(count, dtype=np.int64) % node.channels
                inputs = (graph.append(Gather(f"{node.name}.aligned", inputs, count, order)),)
            groups = count if node.depthwise else node.groups
            values[node] = graph.append(replace(node, inputs=inputs, channels=count, groups=groups))
        else:
            values[node] = graph.append(replace(node, inputs=inputs))
    return Model(graph, tensors)


def _channels(graph: Graph) -> dict[Node, int]:
    """How many the convolutions get that get more: those in front too, where they can have any number."""
    readers = graph.readers()
    channels: dict[Node, int] = {}
    for node in graph.nodes:
        if not isinstance(node, Convolution) or not node.depthwise or node.channels % MULTIPLE == 0:
            continue
        if all(isinstance(reader, Gather) for reader in readers[node]):
            channels[node] = -(-node.channels // MULTIPLE) * MULTIPLE
            (read,) = node.inputs
            if isinstance(read, Convolution) and read.groups == 1 and readers[read] == [node]:
                channels[read] = channels[node]
    return channels


def _with_zeros(tensor: Floats, rows: int) -> Floats:
    return np.concatenate((tensor, np.zeros((rows - len(tensor), *tensor.shape[1:]), dtype=np.float32)))
