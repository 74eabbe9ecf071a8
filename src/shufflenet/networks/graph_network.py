"""A graph as a PyTorch module: every operator with its tensors under its own name.

ShuffleNet itself is in network.py, and trains fast (planar.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from shufflenet.networks import families
from shufflenet.networks.graph import (
    Activation,
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Node,
    Pad,
    Pool,
    Scale,
    Shuffle,
    Split,
    WindowPool,
)
from shufflenet.networks.network import channel_shuffle, initialise
from shufflenet.networks.published import Published

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": nn.functional.hardsigmoid,
    "hard_swish": nn.functional.hardswish,
    "relu6": nn.functional.relu6,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
}


class GraphNetwork(Published):
    """float32 [N, in_channels, H, W] -> logits [N, classes]. Initialised as `network.ShuffleNet`, in training mode.

    Its modules hold the tensors, and the graph tells in which order they run. So features are taken by hooks, or by
    tracing (torchvision's ``create_feature_extractor``); calling one child after the other is no forward pass here.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        for node in graph.nodes:
            if isinstance(node, Convolution):
                self._add(node.name, _convolution(node))
                if node.batch_norm:
                    self._add(node.batch_norm, nn.BatchNorm2d(node.channels, eps=node.epsilon))
            elif isinstance(node, FullyConnected):
                self._add(node.name, _fully_connected(node))
        self.apply(initialise)
        for node in graph.nodes:  # a unit that adds begins as the identity there, too
            if isinstance(node, Add) and isinstance(branch := node.inputs[0], Convolution) and branch.batch_norm:
                nn.init.zeros_(self.get_parameter(f"{branch.batch_norm}.weight"))

    def current_graph(self) -> Graph:
        """The network as it is now: its classifier may have been replaced by one of other classes."""
        last = self.graph.nodes[-1]
        if not isinstance(last, FullyConnected):
            return self.graph
        return families.with_classes(self.graph, len(self.get_parameter(f"{last.name}.weight")))

    @classmethod
    def of_graph(cls, graph: Graph) -> Self:
        return cls(graph)

    def _add(self, name: str, module: nn.Module) -> None:
        *parents, last = name.split(".")
        owner: nn.Module = self
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = owner.get_submodule(parent)
        owner.add_module(last, module)

    def forward(self, x: Tensor) -> Tensor:
        values: dict[Node, Tensor] = {self.graph.input: x}
        for node in self.graph.nodes[1:]:
            values[node] = self._run(node, *(values[source] for source in node.inputs))
        return values[self.graph.nodes[-1]]

    def _run(self, node: Node, x: Tensor, *others: Tensor) -> Tensor:
        match node:
            case Convolution():
                x = self.get_submodule(node.name)(x)
                if node.batch_norm:
                    x = self.get_submodule(node.batch_norm)(x)
            case FullyConnected():
                x = self.get_submodule(node.name)(x)
            case _:
                return run_without_weights(node, x, *others)
        return ACTIVATIONS[node.activation](x)


def run_without_weights(node: Node, x: Tensor, *others: Tensor) -> Tensor:
    """What an operator without tensors of its own makes of its inputs, [N, C, H, W] or [N, C].

    Raises:
        TypeError: the operator has tensors.
    """
    match node:
        case Pool(kind="max"):
            return nn.functional.max_pool2d(x, 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
        case Pool():
            return nn.functional.avg_pool2d(x, 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
        case WindowPool(kind="max"):
            return nn.functional.max_pool2d(x, node.kernel_size, node.stride, node.padding, ceil_mode=node.ceil)
        case WindowPool():
            return nn.functional.avg_pool2d(
                x, node.kernel_size, node.stride, node.padding, node.ceil, node.counts_padding
            )
        case Pad():
            return nn.functional.pad(x, (node.before, node.after) * 2)
        case AdaptiveAveragePool():
            return nn.functional.adaptive_avg_pool2d(x, node.size).flatten(1)
        case Add():
            return ACTIVATIONS[node.activation](x + others[0])
        case Scale():
            return ACTIVATIONS[node.activation](x * others[0][:, :, None, None])
        case Concat():
            return torch.cat((x, *others), dim=1)
        case Split():
            return x[:, node.first : node.first + node.channels]
        case Shuffle():
            return channel_shuffle(x, node.groups)
        case _:
            raise TypeError(f"no module for {type(node).__name__}")


def _fully_connected(node: FullyConnected) -> nn.Module:
    in_channels = node.inputs[0].channels
    return _Pointwise(in_channels, node.channels, 1) if node.pointwise else nn.Linear(in_channels, node.channels)


class _Pointwise(nn.Conv2d):
    """A fully connected layer whose weight is that of a 1x1 convolution: [N, in_channels] -> [N, out_channels]."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.flatten(1), self.bias)


def _convolution(node: Convolution) -> nn.Conv2d:
    return nn.Conv2d(
        node.in_channels, node.channels, node.kernel_size,
        stride=node.stride, padding=node.padding, groups=node.groups, bias=not node.batch_norm,
    )  # fmt: skip
