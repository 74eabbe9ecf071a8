"""What the bytes that a layer reads stand for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from shufflenet.networks.graph import Convolution, FullyConnected, Node
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Quantized, activation_of


def unit_of(source: Node, model: Model, quantized: Quantized) -> tuple[Tensor, Tensor]:
    """Scale and zero point of an operator's bytes, float64 [C]; the zero points of pixels need not be whole."""
    if source is model.graph.input:
        std, mean = (torch.tensor(v, dtype=torch.float64) for v in (model.preprocessing.std, model.preprocessing.mean))
        return 1 / (255 * std), 255 * mean
    activation = activation_of(source, quantized.activations)
    return torch.from_numpy(activation.scale).double(), torch.from_numpy(activation.zero_point).double()


def units_of_inputs(node: Convolution | FullyConnected, model: Model, quantized: Quantized) -> tuple[Tensor, Tensor]:
    """Scale and zero point of what each weight of an output is multiplied with, float64 [groups, 1, K]."""
    (source,) = node.inputs
    groups, taps = (node.groups, node.kernel_size**2) if isinstance(node, Convolution) else (1, 1)
    scale, zero_point = (
        values.view(groups, 1, -1).repeat_interleave(taps, dim=2) for values in unit_of(source, model, quantized)
    )
    return scale, zero_point


def real_weights(model: Model, quantized: Quantized, node: Convolution | FullyConnected) -> tuple[Tensor, Tensor]:
    """The real weight and bias that a layer's whole numbers stand for."""
    layer = quantized.layers[node.name]
    scale, zero_point = units_of_inputs(node, model, quantized)
    unit = torch.from_numpy(layer.scale).double()
    whole = torch.from_numpy(layer.weight.astype(np.float64)).view(len(scale), -1, scale.shape[2])
    bias = (torch.from_numpy(layer.bias) + (whole * zero_point).sum(dim=2).flatten()) * unit
    weight = (whole / scale * unit.view(len(scale), -1, 1)).view(layer.weight.shape)
    return weight.float(), bias.float()
