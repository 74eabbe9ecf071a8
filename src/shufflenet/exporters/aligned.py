"""Depthwise convolutions padded to a multiple of four channels, for ONNX Runtime.

ONNX Runtime uses its blocked layout (NCHWc) for a depthwise convolution only if the channels are a multiple of four.
Other numbers, such as the 30 of ShuffleNet 0.5x with three groups, take it five times as long.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shufflenet.exporters.shuffles import Floats, Gather
from shufflenet.networks.graph import Convolution, Graph, Node
from shufflenet.networks.model import Model

MULTIPLE = 4


def aligned(model: Model) -> Model:
    """A `gathered` network with the depthwise convolutions in front of gathers padded to a multiple of four channels.

    The gathers leave the added channels out, so the logits are the same.
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
    return replace(model, graph=graph, tensors=tensors)


def _channels(graph: Graph) -> dict[Node, int]:
    """The new number of channels of each padded convolution.

    A dense convolution that only a padded depthwise one reads is padded as well; other inputs are padded by a gather.
    """
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
    """``tensor`` with zeros appended to its first axis up to the length ``rows``."""
    return np.concatenate((tensor, np.zeros((rows - len(tensor), *tensor.shape[1:]), dtype=np.float32)))
