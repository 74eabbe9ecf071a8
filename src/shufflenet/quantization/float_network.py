"""The float network operator by operator, with batch norm folded into the weights: what 8 bits are compared with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from shufflenet.networks.folded import fold
from shufflenet.networks.graph import Convolution, FullyConnected, Node
from shufflenet.networks.graph_network import ACTIVATIONS, run_without_weights
from shufflenet.networks.model import Model


class FloatNetwork:
    """Runs single operators of a float model on tensors [N, C, H, W] or [N, C]."""

    def __init__(self, model: Model) -> None:
        self._tensors = {name: torch.from_numpy(tensor) for name, tensor in fold(model).tensors.items()}

    def weights(self, node: Convolution | FullyConnected) -> tuple[Tensor, Tensor]:
        """Weight, shaped as the graph says, and bias; batch norm is part of both."""
        return self._tensors[f"{node.name}.weight"], self._tensors[f"{node.name}.bias"]

    def step(self, node: Node, read: list[Tensor], weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """What an operator makes of its inputs; ``weights``: weight and bias in place of the model's."""
        match node:
            case Convolution():
                y = functional.conv2d(
                    read[0], *(weights or self.weights(node)), node.stride, node.padding, 1, node.groups
                )
            case FullyConnected():
                weight, bias = weights or self.weights(node)
                y = functional.linear(read[0], weight.flatten(1), bias)
            case _:
                return run_without_weights(node, *read)
        return ACTIVATIONS[node.activation](y)
