"""VGG's pairs of 3x3 convolutions (arXiv 1409.1556), with batch norm, at ShuffleNet's complexities: Table 4."""

from __future__ import annotations

from shufflenet.networks.baselines.equal_complexity import networks
from shufflenet.networks.graph import Graph, Node


def add_unit(graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
    x = graph.convolution(f"{name}.conv1", x, channels, 3, stride=stride, batch_norm=f"{name}.bn1", relu=True)
    return graph.convolution(f"{name}.conv2", x, channels, 3, batch_norm=f"{name}.bn2", relu=True)


NETWORKS = networks("vgg_like", add_unit)
