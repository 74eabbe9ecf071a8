"""VGG's pairs of 3x3 convolutions (arXiv 1409.1556), with batch norm, at ShuffleNet's complexities: Table 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.baselines.equal_complexity import EqualComplexity, variants_of
from shufflenet.networks.graph import Graph, Node


@dataclass(frozen=True)
class VGGLike(EqualComplexity):
    family: ClassVar[str] = "vgg_like"
    variants = variants_of("vgg_like")
    stage4_channels: ClassVar = {140: 98, 38: 49, 13: 25}

    def add_unit(self, graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
        x = graph.convolution(
            f"{name}.conv1", x, channels, 3, stride=stride, batch_norm=f"{name}.bn1", activation="relu"
        )
        return graph.convolution(f"{name}.conv2", x, channels, 3, batch_norm=f"{name}.bn2", activation="relu")
