"""Squeeze-and-excitation (arXiv 1709.01507): a factor for each channel, computed from the averages of all channels."""

from __future__ import annotations

from shufflenet.networks.graph import Activation, Graph, Node


def add_squeeze_excitation(
    graph: Graph,
    x: Node,
    names: tuple[str, str, str, str],
    squeezed_channels: int,
    *,
    gate: Activation = "sigmoid",
    activation: Activation = "linear",
    pointwise: bool = False,
) -> Node:
    """Adds the operators that scale ``x``; returns their output.

    Args:
        names: of the average pool, both fully connected layers and the scale.
        gate: makes factors of the second layer's output.
        activation: behind the scale.
        pointwise: as in `FullyConnected`.
    """
    pool, reduce, expand, scale = names
    averages = graph.global_average_pool(pool, x)
    squeezed = graph.fully_connected(reduce, averages, squeezed_channels, "relu", pointwise=pointwise)
    factors = graph.fully_connected(expand, squeezed, x.channels, gate, pointwise=pointwise)
    return graph.scale(scale, x, factors, activation=activation)
