"""ResNeXt's units (arXiv 1611.05431) at ShuffleNet's complexities: Table 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.baselines.equal_complexity import EqualComplexity, variants_of
from shufflenet.networks.baselines.resnet import add_bottleneck
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import round_to

CARDINALITY = 16


@dataclass(frozen=True)
class ResNeXt(EqualComplexity):
    """Bottleneck ratio 1:2, as near as the groups of the 3x3 convolution divide."""

    family: ClassVar[str] = "resnext"
    variants = variants_of("resnext")
    stage4_channels: ClassVar = {140: 351, 38: 189, 13: 94}

    def add_unit(self, graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
        bottleneck_channels = round_to(channels / 2, CARDINALITY)
        return add_bottleneck(
            graph, name, x, channels, stride, bottleneck_channels=bottleneck_channels, groups=CARDINALITY
        )
