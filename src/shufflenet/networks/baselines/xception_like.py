"""The Xception-like networks of Table 4: ShuffleNet with one group, and so without shuffle (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shufflenet.networks.baselines.equal_complexity import BUDGETS
from shufflenet.networks.graph import Graph
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1


def xception_like(budget: int, classes: int = 1000) -> Graph:
    """``budget``: 140, 38 or 13 million multiply-adds."""
    scale = dict(zip(BUDGETS, (1.0, 0.5, 0.25), strict=True))[budget]
    graph = ShuffleNetV1(1, scale, classes=classes).graph()
    graph.architecture = None
    graph.name = f"xception_like_{budget}m"
    return graph


NETWORKS: dict[str, Callable[[int], Graph]] = {
    f"xception_like_{budget}m": partial(xception_like, budget) for budget in BUDGETS
}
