"""Networks with random weights and batch norm statistics: an untrained one's would hide mistakes in folding."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shufflenet.networks.graph import Graph, Node, Pad, WindowPool
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.model import Model
from shufflenet.networks.network import ShuffleNet, tensors_of
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1


def random_network(arch: ShuffleNetV1) -> tuple[ShuffleNet, Model]:
    """The same network for PyTorch and for the engine."""
    torch.manual_seed(arch.groups)
    network = ShuffleNet(arch).eval()
    randomise(network)
    return network, Model(arch.graph(), tensors_of(network))


def random_graph_network(graph: Graph) -> tuple[GraphNetwork, Model]:
    """The network of any graph, for PyTorch and for the engine."""
    torch.manual_seed(0)
    network = GraphNetwork(graph).eval()
    randomise(network)
    return network, Model(graph, tensors_of(network))


def randomise(network: nn.Module) -> None:
    """Gives batch norm random statistics."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]


def every_operator() -> Graph:
    """A network with every operator and what families do with them, for pictures from 32 x 32."""
    graph = Graph("every_operator")
    x: Node = graph.convolution("a", graph.input, 6, 5, stride=2, activation="relu")
    x = graph.max_pool("pool", x, padding=0, ceil=True)
    y: Node = graph.convolution("b", x, 6, 3, groups=2, activation="relu")
    factors = graph.fully_connected("se", graph.global_average_pool("squeeze", y), 6, "sigmoid")
    y = graph.add("add", graph.scale("excite", y, factors, activation="linear"), x, activation="relu")
    left, right = graph.split("left", y, 0, 2), graph.split("right", y, 2, 4)
    y = graph.shuffle("shuffle", graph.concat("concat", [right, x, left]), 3)
    even, odd = graph.split("even", y, 0, 6), graph.split("odd", y, 6, 6)
    z = graph.depthwise("dw", odd, stride=1, batch_norm="bn0")
    y = graph.shuffle("shuffle2", graph.concat("concat2", [z, even]), 4)
    y = graph.depthwise(
        "c", graph.convolution("d", y, 8, 3, stride=2, activation="relu"), stride=1, batch_norm="bn", activation="relu"
    )
    graph.fully_connected(
        "fc", graph.fully_connected("hidden", graph.adaptive_average_pool("means", y, 2), 20, "relu"), 5
    )
    return graph


def every_import() -> Graph:
    """The operators that only imported networks have, each in the places where the engine runs them differently."""
    graph = Graph("every_import")
    x: Node = graph.append(WindowPool("halved", (graph.input,), 3, "max", 2, 2, 0, True, False))
    y: Node = graph.append(WindowPool("same", (x,), 3, "max", 3, 1, 1, False, False))
    x = graph.append(Pad("pad", (graph.add("two_pools", x, y, activation="gelu"),), 3, 0, 1))
    x = graph.convolution("stem", x, 8, 3, stride=2, padding=0, activation="relu6")
    y = graph.append(WindowPool("inside", (x,), 8, "average", 3, 2, 1, False, False))
    z = graph.append(WindowPool("padded", (x,), 8, "average", 3, 2, 1, False, True))
    x = graph.add("two_averages", y, z, activation="silu")
    x = graph.add("with_itself", graph.convolution("wide", x, 8, 7, groups=8, activation="gelu"), x, activation="relu6")
    graph.fully_connected("fc", graph.global_average_pool("pool", x), 5)
    return graph


def random_input(batch: int, height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(height).standard_normal((batch, channels, height, width), dtype=np.float32)
