"""ResNeXt's units (arXiv 1611.05431) at ShuffleNet's complexities: Table 4."""

from __future__ import annotations

from shufflenet.networks.baselines.equal_complexity import networks
from shufflenet.networks.baselines.resnet import add_bottleneck
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import round_to

CARDINALITY = 16


def add_unit(graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
    """Bottleneck ratio 1:2, as near as the groups of the 3x3 convolution divide."""
    bottleneck_channels = round_to(channels / 2, CARDINALITY)
    return add_bottleneck(graph, name, x, channels, stride, bottleneck_channels=bottleneck_channels, groups=CARDINALITY)


NETWORKS = networks("resnext", add_unit)
