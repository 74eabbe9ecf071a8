"""The folded network: batch norm has become part of the convolution before it, which has plain weights and a bias.

Weights of fully connected layers are [out, in].

The plan, the exports and whatever else computes the network without training it begin here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node, check_tensors
from shufflenet.networks.model import Model


def fold(model: Model) -> Model:
    """The same network without batch norm. Its graph is of no family; a folded model stays as it is.

    Scales are computed in float64, from batch norm's stored statistics, and weights are rounded to float32 once.

    Raises:
        ValueError: the tensors are not the network's, or the model is in 8 bits.
    """
    model.require_float()
    source = model.graph
    check_tensors(source.tensor_shapes(), {name: tensor.shape for name, tensor in model.tensors.items()})
    graph = Graph(source.name, source.in_channels)
    tensors: dict[str, NDArray[np.float32]] = {}
    copies: dict[Node, Node] = {source.input: graph.input}
    for node in source.nodes[1:]:
        copy = replace(node, inputs=tuple(copies[read] for read in node.inputs))
        if isinstance(copy, Convolution) and copy.batch_norm:
            weight, bias = _folded(model, copy)
            copy = replace(copy, batch_norm="")
            tensors |= {f"{copy.name}.weight": weight, f"{copy.name}.bias": bias}
        else:
            if isinstance(copy, FullyConnected):
                copy = replace(copy, pointwise=False)
            tensors |= {name: model.tensors[name].reshape(shape) for name, shape in copy.tensor_shapes().items()}
        copies[node] = graph.append(copy)
    return replace(model, graph=graph, tensors=tensors)


def _folded(model: Model, node: Convolution) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight [out_channels, in_channels / groups, k, k] and bias [out_channels] of both as one convolution."""
    weight = model.tensors[f"{node.name}.weight"].astype(np.float64)
    beta, mean = (model.tensors[f"{node.batch_norm}.{name}"].astype(np.float64) for name in ("bias", "running_mean"))
    scale = batch_norm_scales(model, node)
    folded = weight * scale[:, None, None, None]
    return folded.astype(np.float32), (beta - mean * scale).astype(np.float32)


def batch_norm_scales(model: Model, node: Convolution) -> NDArray[np.float64]:
    """What batch norm multiplies each of the convolution's output channels by, [out_channels]."""
    gamma, variance = (
        model.tensors[f"{node.batch_norm}.{name}"].astype(np.float64) for name in ("weight", "running_var")
    )
    return gamma / np.sqrt(variance + node.epsilon)
