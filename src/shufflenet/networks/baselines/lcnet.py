"""PP-LCNet (arXiv 2109.15099, Table 1): depthwise separable convolutions with hard-swish, fast on CPUs.

Names are those of timm's state dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.architecture import Architecture, scale_name
from shufflenet.networks.baselines.mobilenet_v3 import round_channels
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.squeeze_excitation import add_squeeze_excitation

_SCALES = (0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5)
# Rows of the table, by stage: kernel size, channels at 1.0, stride, and whether squeeze-and-excitation stands between
# both convolutions.
_STAGES = (
    ((3, 32, 1, False),),
    ((3, 64, 2, False), (3, 64, 1, False)),
    ((3, 128, 2, False), (3, 128, 1, False)),
    ((3, 256, 2, False), (5, 256, 1, False)),
    ((5, 256, 1, False),) * 4,
    ((5, 512, 2, True), (5, 512, 1, True)),
)
_FEATURES = 1280


@dataclass(frozen=True)
class LCNet(Architecture):
    """``scale`` is the paper's: 0.25 to 2.5."""

    family: ClassVar[str] = "lcnet"
    variants: ClassVar = {f"lcnet_{scale_name(scale)}": {"scale": scale} for scale in _SCALES}

    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("scale", _SCALES)

    @property
    def name(self) -> str:
        return f"lcnet_{scale_name(self.scale)}"

    def add_operators(self, graph: Graph) -> None:
        x: Node = graph.convolution(
            "conv_stem", graph.input, round_channels(16 * self.scale), 3,
            stride=self.stem_stride, batch_norm="bn1", activation="hard_swish",
        )  # fmt: skip
        for stage, units in enumerate(_STAGES):
            for index, (kernel_size, channels, stride, squeeze_excitation) in enumerate(units):
                name = f"blocks.{stage}.{index}"
                x = graph.depthwise(
                    f"{name}.conv_dw", x, kernel_size,
                    stride=stride, batch_norm=f"{name}.bn1", activation="hard_swish",
                )  # fmt: skip
                if squeeze_excitation:
                    se = f"{name}.se"
                    x = add_squeeze_excitation(
                        graph, x, (f"{se}.pool", f"{se}.conv_reduce", f"{se}.conv_expand", f"{se}.scale"),
                        x.channels // 4, gate="hard_sigmoid", pointwise=True,
                    )  # fmt: skip
                x = graph.convolution(
                    f"{name}.conv_pw",
                    x,
                    round_channels(channels * self.scale),
                    batch_norm=f"{name}.bn2",
                    activation="hard_swish",
                )
        x = graph.global_average_pool("global_pool", x)
        x = graph.fully_connected("conv_head", x, _FEATURES, "hard_swish", pointwise=True)
        graph.fully_connected("classifier", x, self.classes)
