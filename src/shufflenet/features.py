"""A network without its classifier: what it has found in a picture, before it decides for a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks import families
from shufflenet.networks.graph import FullyConnected
from shufflenet.networks.model import Model


def classifier_weights(model: Model) -> tuple[str, str]:
    """The names of the last layer's weight and bias.

    Raises:
        ValueError: the model is in 8 bits, or does not end with a fully connected layer.
    """
    model.require_float()
    last = model.graph.nodes[-1]
    if not isinstance(last, FullyConnected) or last.activation != "linear":
        raise ValueError(f"{model.graph.name} does not end with a fully connected layer, which reads its features")
    return f"{last.name}.weight", f"{last.name}.bias"


def feature_model(model: Model) -> Model:
    """The same network, whose outputs are what its classifier reads: features in the place of classes.

    The classifier's weights are the identity, so that the engine and every export compute the features as they are.

    Raises:
        ValueError: see `classifier_weights`.
    """
    weight, bias = classifier_weights(model)
    count = model.graph.nodes[-1].inputs[0].channels
    graph = families.with_classes(model.graph, count)
    identity = np.eye(count, dtype=np.float32).reshape(graph.tensor_shapes()[weight])
    tensors = {**model.tensors, weight: identity, bias: np.zeros(count, dtype=np.float32)}
    return Model(graph=graph, tensors=tensors, preprocessing=model.preprocessing)


def with_classifier(model: Model, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Model:
    """The network with another last layer: ``weight`` [classes, features] and ``bias`` [classes]; nothing else is kept.

    Raises:
        ValueError: see `classifier_weights`.
    """
    names = classifier_weights(model)
    graph = families.with_classes(model.graph, len(bias))
    shape = graph.tensor_shapes()[names[0]]
    layer = (weight.astype(np.float32).reshape(shape), bias.astype(np.float32))
    return Model(graph, {**model.tensors, **dict(zip(names, layer, strict=True))}, model.preprocessing)
