"""MobileNet v1 (arXiv 1704.04861, Table 1), compared in Tables 5 and 8."""

from __future__ import annotations

from functools import partial

from shufflenet.networks.graph import Graph, Node

# Channels and stride of each depthwise separable convolution at 1.0.
_UNITS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1),
)  # fmt: skip


def mobilenet_v1(scale: float, classes: int = 1000) -> Graph:
    graph = Graph(f"mobilenet_v1_x{str(scale).replace('.', '_')}")
    x: Node = graph.convolution("conv1", graph.input, round(32 * scale), 3, stride=2, batch_norm="conv1_bn", relu=True)
    for i, (channels, stride) in enumerate(_UNITS):
        unit = f"units.{i}"
        x = graph.depthwise(f"{unit}.depthwise", x, stride=stride, batch_norm=f"{unit}.bn1", relu=True)
        x = graph.convolution(f"{unit}.pointwise", x, round(channels * scale), batch_norm=f"{unit}.bn2", relu=True)
    graph.fully_connected("fc", graph.means("global_pool", x), classes)
    return graph


NETWORKS = {mobilenet_v1(scale).name: partial(mobilenet_v1, scale) for scale in (0.25, 0.5, 0.75, 1.0)}
