"""A network without its classifier: what it has found in a picture, before it decides for a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks import families
from shufflenet.networks.graph import FullyConnected, Graph
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Layer, activation_of


def last_layer(graph: Graph) -> FullyConnected | None:
    """The fully connected layer that makes logits of features; None: the network does not end with one."""
    last = graph.nodes[-1]
    return last if isinstance(last, FullyConnected) and last.activation == "linear" else None


def feature_model(model: Model) -> Model:
    """The same network, whose outputs are what its classifier reads: features in the place of classes.

    The classifier's weights are the identity, so that the engine and every export compute the features as they are. Of
    a model in 8 bits, these are the real values that its bytes stand for.

    Raises:
        ValueError: the network does not end with a fully connected layer.
    """
    last = _last_layer(model)
    count = last.inputs[0].channels
    graph = families.with_classes(model.graph, count)
    shape = graph.tensor_shapes()[f"{last.name}.weight"]
    if model.quantized is not None:
        read = activation_of(last.inputs[0], model.quantized.activations)
        layer = Layer(np.eye(count, dtype=np.int8).reshape(shape), read.scale, -read.zero_point.astype(np.int32))
        quantized = replace(model.quantized, layers={**model.quantized.layers, last.name: layer})
        return Model(graph=graph, tensors={}, preprocessing=model.preprocessing, quantized=quantized)
    identity = np.eye(count, dtype=np.float32).reshape(shape)
    layers = {f"{last.name}.weight": identity, f"{last.name}.bias": np.zeros(count, dtype=np.float32)}
    return Model(graph=graph, tensors={**model.tensors, **layers}, preprocessing=model.preprocessing)


def with_classifier(model: Model, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Model:
    """The network with another last layer: ``weight`` [classes, features] and ``bias`` [classes]; nothing else is kept.

    Raises:
        ValueError: the model is in 8 bits, or does not end with a fully connected layer.
    """
    model.require_float()
    last = _last_layer(model)
    graph = families.with_classes(model.graph, len(bias))
    shape = graph.tensor_shapes()[f"{last.name}.weight"]
    layer = {
        f"{last.name}.weight": weight.astype(np.float32).reshape(shape),
        f"{last.name}.bias": bias.astype(np.float32),
    }
    return Model(graph, {**model.tensors, **layer}, model.preprocessing)


def _last_layer(model: Model) -> FullyConnected:
    if (last := last_layer(model.graph)) is None:
        raise ValueError(f"{model.graph.name} does not end with a fully connected layer, which reads its features")
    return last
