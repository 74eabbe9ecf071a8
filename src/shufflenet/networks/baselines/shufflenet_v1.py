"""Variants of ShuffleNet: without shuffle (Table 3), with squeeze-and-excitation and with fewer units (Table 5)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from shufflenet.networks import complexity
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, STAGE_UNITS, ShuffleNetV1, Unit, add_unit

_REDUCTION = 16  # of squeeze-and-excitation (arXiv 1709.01507)
_SHALLOW_MACS = 40e6


def without_shuffle(groups: int, scale: float, classes: int = 1000) -> Graph:
    arch = ShuffleNetV1(groups, scale, classes=classes, shuffle=False)
    return _graph(f"{arch.name}_no_shuffle", arch, list(arch.units()), squeeze=False)


def with_squeeze(classes: int = 1000) -> Graph:
    """2x with 3 groups; squeeze-and-excitation stands behind each unit's last convolution."""
    arch = ShuffleNetV1(3, 2.0, classes=classes)
    return _graph(f"{arch.name}_se", arch, list(arch.units()), squeeze=True)


def shallow(classes: int = 1000) -> Graph:
    """Half of the units of each stage, as wide as 40 million multiply-adds allow: the paper does not give the width."""
    return _shallow(_shallow_scale(), classes)


def _shallow(scale: float, classes: int) -> Graph:
    arch = ShuffleNetV1(3, scale, classes=classes)
    units = [unit for unit in arch.units() if unit.index < STAGE_UNITS[unit.stage] // 2]
    return _graph("shufflenet_g3_shallow", arch, units, squeeze=False)


@cache
def _shallow_scale() -> float:
    def distance(scale: float) -> float:
        return abs(complexity.summary(_shallow(scale, 1000)).macs - _SHALLOW_MACS)

    return min((channels / STAGE2_CHANNELS[3] for channels in range(120, 240, 3)), key=distance)


def _graph(name: str, arch: ShuffleNetV1, units: list[Unit], squeeze: bool) -> Graph:
    graph = Graph(name, arch.in_channels)
    x = arch.add_stem(graph)
    for unit in units:
        x = add_unit(graph, x, unit, _add_squeeze if squeeze else None)
    graph.fully_connected("fc", graph.means("global_pool", x), arch.classes)
    return graph


def _add_squeeze(graph: Graph, name: str, x: Node, relu: bool) -> Node:
    squeezed = graph.fully_connected(f"{name}.se1", graph.means(f"{name}.squeeze", x), x.channels // _REDUCTION, "relu")
    return graph.scale(f"{name}.excite", x, graph.fully_connected(f"{name}.se2", squeezed, x.channels, "sigmoid"), relu)


NETWORKS: dict[str, Callable[[int], Graph]] = {
    "shufflenet_g3_x2_0_se": with_squeeze,
    "shufflenet_g3_shallow": shallow,
    **{
        without_shuffle(groups, scale).name: partial(without_shuffle, groups, scale)
        for scale in (1.0, 0.5, 0.25)
        for groups in (3, 8)
    },
}
