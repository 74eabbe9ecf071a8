"""AlexNet, in the form of one column of filters (arXiv 1404.5997) whose weights are public: Tables 6 and 8.

Names are those of torchvision's state dict. The first AlexNet's two columns and its normalisation are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from shufflenet.networks.architecture import Architecture
from shufflenet.networks.graph import Graph, Node

# torchvision's number, channels, kernel size, padding of each convolution; whether a max pool follows.
_CONVOLUTIONS = (
    (0, 64, 11, 2, True), (3, 192, 5, 2, True), (6, 384, 3, 1, False), (8, 256, 3, 1, False), (10, 256, 3, 1, True),
)  # fmt: skip


@dataclass(frozen=True)
class AlexNet(Architecture):
    family: ClassVar[str] = "alexnet"
    variants: ClassVar = {"alexnet": {}}
    stem_strides = (1, 2, 4)

    stem_stride: int = field(default=4, kw_only=True)

    @property
    def name(self) -> str:
        return "alexnet"

    def add_operators(self, graph: Graph) -> None:
        x: Node = graph.input
        for number, channels, kernel_size, padding, pool in _CONVOLUTIONS:
            name, stride = f"features.{number}", self.stem_stride if number == 0 else 1
            x = graph.convolution(name, x, channels, kernel_size, stride=stride, padding=padding, activation="relu")
            if pool:
                x = graph.max_pool(f"features.{number + 2}", x, padding=0)
        x = graph.adaptive_average_pool("avgpool", x, 6)  # of 224 x 224 pixels 6 x 6 are left anyway
        x = graph.fully_connected("classifier.1", x, 4096, "relu")
        x = graph.fully_connected("classifier.4", x, 4096, "relu")
        graph.fully_connected("classifier.6", x, self.classes)
