"""ShuffleNet V2 (arXiv 1807.11164, Table 5). Names are those of torchvision's state dict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.architecture import Architecture, scale_name
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import STAGE_UNITS

# Output channels of stages 2 to 4 and of conv5, by scale.
_CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


@dataclass(frozen=True)
class ShuffleNetV2(Architecture):
    """``scale`` is 0.5, 1, 1.5 or 2, as in Table 5."""

    family: ClassVar[str] = "shufflenet_v2"
    variants: ClassVar = {f"shufflenet_v2_{scale_name(scale)}": {"scale": scale} for scale in _CHANNELS}

    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("scale", tuple(_CHANNELS))

    @property
    def name(self) -> str:
        return f"shufflenet_v2_{scale_name(self.scale)}"

    def add_operators(self, graph: Graph) -> None:
        x: Node = graph.convolution(
            "conv1.0", graph.input, 24, 3, stride=self.stem_stride, batch_norm="conv1.1", activation="relu"
        )
        x = graph.max_pool("maxpool", x)
        *stages, features = _CHANNELS[self.scale]
        for (stage, count), channels in zip(STAGE_UNITS.items(), stages, strict=True):
            for index in range(count):
                x = _add_unit(graph, f"stage{stage}.{index}", x, channels, 2 if index == 0 else 1)
        x = graph.convolution("conv5.0", x, features, batch_norm="conv5.1", activation="relu")
        graph.fully_connected("fc", graph.global_average_pool("global_pool", x), self.classes)


def _add_unit(graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
    half = channels // 2

    def pointwise(branch: str, number: int, x: Node) -> Node:
        prefix = f"{name}.{branch}."
        return graph.convolution(f"{prefix}{number}", x, half, batch_norm=f"{prefix}{number + 1}", activation="relu")

    def depthwise(branch: str, number: int, x: Node) -> Node:
        prefix = f"{name}.{branch}."
        return graph.depthwise(f"{prefix}{number}", x, stride=stride, batch_norm=f"{prefix}{number + 1}")

    if stride == 1:
        other: Node = graph.split(f"{name}.left", x, 0, half)
        x = graph.split(f"{name}.right", x, half, half)
    else:
        other = pointwise("branch1", 2, depthwise("branch1", 0, x))
    branch = pointwise("branch2", 5, depthwise("branch2", 3, pointwise("branch2", 0, x)))
    return graph.shuffle(f"{name}.shuffle", graph.concat(f"{name}.concat", [other, branch]), 2)
