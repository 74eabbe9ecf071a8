"""Multiply-adds, parameters and activation memory per layer, from the network's graph alone (no PyTorch).

Letters: C channels, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from shufflenet.networks.graph import AdaptiveAveragePool, Convolution, FullyConnected, Graph, Node, Pool

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """One row of the table."""

    name: str
    output_shape: tuple[int, int, int]  # C, H, W
    macs: int  # multiply-adds of a convolution or the classifier; batch norm and pooling count as none
    parameters: int  # with batch norm's weight and bias, without its running statistics

    @property
    def activation_bytes(self) -> int:
        """The layer's output as float32."""
        channels, height, width = self.output_shape
        return channels * height * width * _FLOAT32_BYTES


@dataclass(frozen=True)
class Complexity:
    """What a network costs for one picture of ``height`` x ``width`` pixels."""

    graph: Graph
    height: int
    width: int
    layers: list[Layer]

    @property
    def macs(self) -> int:
        """Multiply-adds. The paper counts the classifier in Table 5, but not in Table 1."""
        return sum(layer.macs for layer in self.layers)

    @property
    def macs_without_classifier(self) -> int:
        return self.macs - next(layer.macs for layer in reversed(self.layers) if layer.macs)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def summary(graph: Graph, height: int = 224, width: int = 224) -> Complexity:
    """The cost of every layer of ``graph`` (arXiv 1707.01083, Table 1).

    Raises:
        ValueError: the picture has too few pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, not {height} x {width}")
    sizes = graph.sizes(height, width)
    layers = [_layer(node, *sizes[node]) for node in graph.nodes if isinstance(node, _LAYERS)]
    return Complexity(graph, height, width, layers)


# The other operators cost nothing that is counted.
_LAYERS = (Convolution, FullyConnected, AdaptiveAveragePool, Pool)


def _layer(node: Node, height: int, width: int) -> Layer:
    return Layer(node.name, (node.channels, height, width), node.macs(height, width), node.parameters)
