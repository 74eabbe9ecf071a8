"""Random weights for networks whose time is measured, or whose arithmetic is compared."""

from __future__ import annotations

import math

import numpy as np

from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

_SEED = 1707


def random_model(graph: Graph) -> Model:
    """``graph`` with random weights, the same ones each time.

    The weights keep activations near one; batch norm statistics are far from 0 and 1, so that a mistake in folding
    shows in the logits.
    """
    random = np.random.default_rng(_SEED)
    tensors = {}
    for name, shape in graph.tensor_shapes().items():
        if len(shape) > 1:
            tensor = random.normal(0, math.sqrt(1 / math.prod(shape[1:])), shape)
        elif name.endswith(("bias", "running_mean")):
            tensor = random.normal(0, 0.3, shape)
        else:  # batch norm's weight and running_var
            tensor = random.uniform(0.5, 1.5, shape)
        # `shufflenet train` rounds a ShuffleNet's classifier to half precision.
        half = len(shape) == 2 and isinstance(graph.architecture, ShuffleNetV1)
        tensors[name] = tensor.astype(np.float16 if half else np.float32).astype(np.float32)
    return Model(graph, tensors)
