"""The float network operator by operator, with batch norm folded into the weights: what 8 bits are compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from shufflenet.networks.folded import fold
from shufflenet.networks.graph import (
    Activation,
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
)
from shufflenet.networks.model import Model
from shufflenet.networks.network import channel_shuffle

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid,
}


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
            case Pool(kind="max"):
                return functional.max_pool2d(read[0], 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
            case Pool():
                return functional.avg_pool2d(read[0], 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
            case AdaptiveAveragePool():
                return functional.adaptive_avg_pool2d(read[0], node.size).flatten(1)
            case Add():
                y = read[0] + read[1]
            case Scale():
                y = read[0] * read[1][:, :, None, None]
            case Concat():
                return torch.cat(read, dim=1)
            case Split():
                return read[0][:, node.first : node.first + node.channels]
            case Shuffle():
                return channel_shuffle(read[0], node.groups)
            case _:
                raise ValueError(f"{node.name}: 8 bits don't serve {type(node).__name__}")
        return _ACTIVATIONS[node.activation](y)
