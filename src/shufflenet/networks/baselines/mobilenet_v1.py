"""MobileNet v1 (arXiv 1704.04861, Table 1), compared in Tables 5 and 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.architecture import Architecture, scale_name
from shufflenet.networks.graph import Graph, Node

_SCALES = (0.25, 0.5, 0.75, 1.0)
# Channels and stride of each depthwise separable convolution at 1.0.
_UNITS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
)  # fmt: skip


@dataclass(frozen=True)
class MobileNetV1(Architecture):
    """``scale`` is the paper's width multiplier: 0.25, 0.5, 0.75 or 1."""

    family: ClassVar[str] = "mobilenet_v1"
    variants: ClassVar = {f"mobilenet_v1_{scale_name(scale)}": {"scale": scale} for scale in _SCALES}

    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("scale", _SCALES)

    @property
    def name(self) -> str:
        return f"mobilenet_v1_{scale_name(self.scale)}"

    def add_operators(self, graph: Graph) -> None:
        x: Node = graph.convolution(
            "conv1", graph.input, round(32 * self.scale), 3,
            stride=self.stem_stride, batch_norm="conv1_bn", activation="relu",
        )  # fmt: skip
        for i, (channels, stride) in enumerate(_UNITS):
            unit, channels = f"units.{i}", round(channels * self.scale)
            x = graph.depthwise(f"{unit}.depthwise", x, stride=stride, batch_norm=f"{unit}.bn1", activation="relu")
            x = graph.convolution(f"{unit}.pointwise", x, channels, batch_norm=f"{unit}.bn2", activation="relu")
        graph.fully_connected("fc", graph.global_average_pool("global_pool", x), self.classes)
