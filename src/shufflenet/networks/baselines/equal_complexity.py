"""Section 4.2: ShuffleNet's stages 2 to 4 (Table 1) with other units in them, of the same complexity.

Stage 4 has as many channels as the budget of multiply-adds allows; stages 2 and 3 have a quarter and half as many.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from shufflenet.networks.architecture import Architecture
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import STAGE_UNITS, round_to

BUDGETS = (140, 38, 13)  # million multiply-adds with 1000 classes: 1x, 0.5x and 0.25x


def variants_of(family: str) -> Mapping[str, Mapping[str, Any]]:
    return {f"{family}_{budget}m": {"budget": budget} for budget in BUDGETS}


@dataclass(frozen=True)
class EqualComplexity(Architecture):
    """A family of Table 4. Subclasses say what a unit is.

    Args:
        budget: million multiply-adds, one of `BUDGETS`.
    """

    # Channels of stage 4, by budget: no other number comes nearer to it.
    stage4_channels: ClassVar[Mapping[int, int]]

    budget: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("budget", BUDGETS)

    @property
    def name(self) -> str:
        return f"{self.family}_{self.budget}m"

    def add_operators(self, graph: Graph) -> None:
        # The ShuffleNet of this complexity has as many.
        stem_channels = 24 if self.budget == max(BUDGETS) else 12
        x: Node = graph.convolution(
            "conv1", graph.input, stem_channels, 3, stride=self.stem_stride, batch_norm="bn1", activation="relu"
        )
        x = graph.max_pool("maxpool", x)
        for stage, count in STAGE_UNITS.items():
            channels = round_to(self.stage4_channels[self.budget] / 2 ** (4 - stage))
            for index in range(count):
                x = self.add_unit(graph, f"stage{stage}.{index}", x, channels, 2 if index == 0 else 1)
        graph.fully_connected("fc", graph.global_average_pool("global_pool", x), self.classes)

    @abstractmethod
    def add_unit(self, graph: Graph, name: str, x: Node, channels: int, stride: int) -> Node:
        """Adds a unit that reads ``x``; returns its output of ``channels`` channels."""
