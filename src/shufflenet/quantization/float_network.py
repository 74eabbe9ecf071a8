"""The float network operator by operator, with batch norm folded into the weights: what 8 bits are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from shufflenet.engine.plan import fold_batch_norm
from shufflenet.networks.graph import (
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Means,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
)
from shufflenet.networks.model import Model
from shufflenet.networks.network import channel_shuffle


class FloatNetwork:
    """Runs single operators of a float model on tensors [N, C, H, W] or [N, C].

    Args:
        weights: weight and bias of layers that shall have others than the model's.
    """

    def __init__(self, model: Model, weights: Mapping[str, tuple[Tensor, Tensor]] | None = None) -> None:
        self.model = model
        self._weights = dict(weights or {})

    def weights(self, node: Convolution | FullyConnected) -> tuple[Tensor, Tensor]:
        """Weight, shaped as the graph says, and bias; batch norm is part of both."""
        if node.name not in self._weights:
            tensors, batch_norm = self.model.tensors, getattr(node, "batch_norm", "")
            weight, bias = (
                fold_batch_norm(self.model, node.name, batch_norm)
                if batch_norm
                else (tensors[f"{node.name}.weight"], tensors[f"{node.name}.bias"])
            )
            shape = node.tensor_shapes()[f"{node.name}.weight"]
            self._weights[node.name] = torch.from_numpy(weight.reshape(shape)), torch.from_numpy(bias)
        return self._weights[node.name]

    def step(self, node: Node, read: list[Tensor]) -> Tensor:
        """What an operator makes of its inputs."""
        match node:
            case Convolution():
                y = functional.conv2d(read[0], *self.weights(node), node.stride, node.padding, 1, node.groups)
            case FullyConnected():
                y = functional.linear(read[0], *self.weights(node))
                return {"linear": torch.clone, "relu": torch.relu, "sigmoid": torch.sigmoid}[node.activation](y)
            case Pool(kind="max"):
                return functional.max_pool2d(read[0], 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
            case Pool():
                return functional.avg_pool2d(read[0], 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
            case Means():
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
        return y.relu_() if node.relu else y
