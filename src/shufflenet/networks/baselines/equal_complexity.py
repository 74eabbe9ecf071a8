"""Section 4.2: ShuffleNet's stages 2 to 4 (Table 1) with other units in them, of the same complexity.

Stage 4 has as many channels as the budget of multiply-adds allows, stages 2 and 3 have a quarter and a half of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from shufflenet.networks import complexity
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import STAGE_UNITS, round_to

BUDGETS = (140, 38, 13)  # million multiply-adds: 1x, 0.5x and 0.25x
_MOST_CHANNELS = 1024  # of stage 4

# Adds one unit: graph, its name, what it reads, channels of its output, stride.
AddUnit = Callable[[Graph, str, Node, int, int], Node]


def network(name: str, add_unit: AddUnit, budget: int, classes: int = 1000) -> Graph:
    """The network of ``add_unit`` whose complexity with 1000 classes comes nearest to ``budget`` million."""
    return _network(name, add_unit, budget, _stage4_channels(add_unit, budget), classes)


def networks(family: str, add_unit: AddUnit) -> dict[str, Callable[[int], Graph]]:
    names = {budget: f"{family}_{budget}m" for budget in BUDGETS}
    return {name: partial(network, name, add_unit, budget) for budget, name in names.items()}


def _network(name: str, add_unit: AddUnit, budget: int, stage4_channels: int, classes: int) -> Graph:
    graph = Graph(name)
    # Conv1 as in the ShuffleNet of this complexity (`ShuffleNetV1`).
    stem_channels = 24 if budget == max(BUDGETS) else 12
    x: Node = graph.convolution("conv1", graph.input, stem_channels, 3, stride=2, batch_norm="bn1", relu=True)
    x = graph.max_pool("maxpool", x)
    for stage, count in STAGE_UNITS.items():
        channels = round_to(stage4_channels / 2 ** (4 - stage))
        for index in range(count):
            x = add_unit(graph, f"stage{stage}.{index}", x, channels, 2 if index == 0 else 1)
    graph.fully_connected("fc", graph.means("global_pool", x), classes)
    return graph


@cache
def _stage4_channels(add_unit: AddUnit, budget: int) -> int:
    """By bisection to where the complexity passes the budget; then the nearest of the neighbourhood.

    Bottlenecks are rounded, so that complexity grows in steps.
    """

    def macs(channels: int) -> float:
        return complexity.summary(_network("", add_unit, budget, channels, 1000)).macs

    low, high = 4, _MOST_CHANNELS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if macs(middle) < budget * 1e6 else (low, middle)
    return min(range(max(4, low - 8), high + 8), key=lambda channels: abs(macs(channels) - budget * 1e6))
