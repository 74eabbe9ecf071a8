"""ResNet's bottleneck units (arXiv 1512.03385) at ShuffleNet's complexities: Table 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.baselines.equal_complexity import EqualComplexity, variants_of
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import round_to


@dataclass(frozen=True)
class ResNet(EqualComplexity):
    """Bottleneck ratio 1:4."""

    family: ClassVar[str] = "resnet"
    variants = variants_of("resnet")
    stage4_channels: ClassVar = {140: 377, 38: 190, 13: 97}

    def add_unit(self, graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
        return add_bottleneck(graph, name, x, channels, stride, bottleneck_channels=round_to(channels / 4), groups=1)


def add_bottleneck(
    graph: Graph, name: str, x: Node, channels: int, stride: int, *, bottleneck_channels: int, groups: int
) -> Node:
    """1x1, 3x3, 1x1, added to the input, or to a projection of it where the unit changes its shape."""
    branch: Node = graph.convolution(
        f"{name}.conv1", x, bottleneck_channels, batch_norm=f"{name}.bn1", activation="relu"
    )
    branch = graph.convolution(
        f"{name}.conv2", branch, bottleneck_channels, 3,
        stride=stride, groups=groups, batch_norm=f"{name}.bn2", activation="relu",
    )  # fmt: skip
    if stride > 1:
        x = graph.convolution(f"{name}.shortcut", x, channels, stride=stride, batch_norm=f"{name}.shortcut_bn")
    branch = graph.convolution(f"{name}.conv3", branch, channels, batch_norm=f"{name}.bn3")
    return graph.add(f"{name}.add", branch, x, activation="relu")
