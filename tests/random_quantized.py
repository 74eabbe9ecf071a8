"""Quantized networks with random weights and scales, of which every channel has its own."""

from __future__ import annotations

import numpy as np

from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import (
    MOST,
    MOST_OF_PIXELS,
    Activation,
    Layer,
    Quantized,
    factors_of,
    input_of,
    requantising,
)
from shufflenet.quantization.ranges import kind_of

_CURVED = 0.02  # real units of a byte behind a function that is no straight line, near 0


def random_quantized(graph: Graph, seed: int = 0) -> Model:
    """A model whose activations use their range: sums of random products are scaled to about three deviations."""
    random = np.random.default_rng(seed)
    factors, readers = factors_of(graph), graph.readers()
    layers = {}
    for node in graph.nodes:
        if isinstance(node, Convolution | FullyConnected):
            layers[node.name] = _random_layer(node, _unit(node) if node not in factors else _CURVED, random)
    activations = {}
    for node in requantising(graph):
        kind = kind_of(node, readers)
        zero_points = np.zeros(node.channels, np.int64)
        if kind == "padded":
            zero_points[:] = random.integers(10, 100)
        elif kind == "signed":
            zero_points = random.integers(0, MOST, node.channels)
        scales = _unit(node) * random.uniform(0.7, 1.4, node.channels)
        activations[node.name] = Activation(scales.astype(np.float32), zero_points.astype(np.uint8))
    return Model(graph, {}, quantized=Quantized(layers, activations))


def _unit(node: Node) -> float:
    return 1.0 if getattr(node, "activation", "linear") in ("linear", "relu") else _CURVED


def _random_layer(node: Convolution | FullyConnected, unit: float, random: np.random.Generator) -> Layer:
    shape = node.tensor_shapes()[f"{node.name}.weight"]
    most = MOST_OF_PIXELS if input_of(node) else MOST
    weight = random.integers(-most, most, shape, dtype=np.int8, endpoint=True)
    deviation = 0.58 * most * 60 * np.sqrt(np.prod(shape[1:]))
    scale = unit * MOST / (3 * deviation) * random.uniform(0.5, 1.5, node.channels)
    bias = random.normal(0, deviation / 2, node.channels)
    return Layer(weight, scale.astype(np.float32), bias.astype(np.int32))
