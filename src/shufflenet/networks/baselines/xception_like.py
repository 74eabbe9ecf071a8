"""The Xception-like networks of Table 4: ShuffleNet with one group, and so without shuffle (section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shufflenet.networks.architecture import Architecture
from shufflenet.networks.baselines.equal_complexity import BUDGETS, variants_of
from shufflenet.networks.graph import Graph
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

_SCALES = dict(zip(BUDGETS, (1.0, 0.5, 0.25), strict=True))


@dataclass(frozen=True)
class XceptionLike(Architecture):
    """``budget`` is 140, 38 or 13 million multiply-adds."""

    family: ClassVar[str] = "xception_like"
    variants = variants_of("xception_like")

    budget: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("budget", BUDGETS)

    @property
    def name(self) -> str:
        return f"xception_like_{self.budget}m"

    def add_operators(self, graph: Graph) -> None:
        ShuffleNetV1(
            1, _SCALES[self.budget],
            classes=self.classes, in_channels=self.in_channels, stem_stride=self.stem_stride,
        ).add_operators(graph)  # fmt: skip
