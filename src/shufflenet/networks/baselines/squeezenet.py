"""SqueezeNet 1.0 (arXiv 1602.07360, Table 1), compared in Table 6. Names are those of torchvision's state dict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.architecture import Architecture
from shufflenet.networks.graph import Graph, Node

# torchvision's number and the squeezed channels of each fire module; it makes four times as many by 1x1 and by 3x3.
_FIRES = ((3, 16), (4, 16), (5, 32), (7, 32), (8, 48), (9, 48), (10, 64), (12, 64))
_POOLS = (6, 11)


@dataclass(frozen=True)
class SqueezeNet(Architecture):
    family: ClassVar[str] = "squeezenet"
    variants: ClassVar = {"squeezenet1_0": {}}

    @property
    def name(self) -> str:
        return "squeezenet1_0"

    def add_operators(self, graph: Graph) -> None:
        x: Node = graph.convolution(
            "features.0", graph.input, 96, 7, stride=self.stem_stride, padding=0, activation="relu"
        )
        x = graph.max_pool("features.2", x, padding=0, ceil=True)
        for number, channels in _FIRES:
            if number - 1 in _POOLS:
                x = graph.max_pool(f"features.{number - 1}", x, padding=0, ceil=True)
            x = _add_fire(graph, f"features.{number}", x, channels)
        x = graph.convolution("classifier.1", x, self.classes, activation="relu")
        graph.global_average_pool("classifier.3", x)


def _add_fire(graph: Graph, name: str, x: Node, channels: int) -> Node:
    squeezed = graph.convolution(f"{name}.squeeze", x, channels, activation="relu")
    expanded1x1 = graph.convolution(f"{name}.expand1x1", squeezed, 4 * channels, activation="relu")
    expanded3x3 = graph.convolution(f"{name}.expand3x3", squeezed, 4 * channels, 3, activation="relu")
    return graph.concat(f"{name}.concat", [expanded1x1, expanded3x3])
