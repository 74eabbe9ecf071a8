"""The layers in PyTorch, for the converters that start there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from shufflenet.export.layers import INPUT, Layer, layers, shuffle_order
from shufflenet.export.target import Order
from shufflenet.model_file import Model

Shuffle = Literal["gather", "transpose"]  # one gather over channels; or reshape, transpose, reshape


class TunedNetwork(nn.Module):
    """float32 [N, in_channels, H, W] -> logits [N, classes], as `ShuffleNet.from_model`.

    ``pads``: average pools get their zeros from a layer of its own.
    """

    def __init__(self, model: Model, shuffle: Shuffle, pads: bool = False) -> None:
        super().__init__()
        self.steps: list[tuple[str, tuple[str, ...], bool]] = []  # name, inputs, whether a ReLU follows
        for layer in layers(model):
            module = (
                _SHUFFLES[shuffle](layer.channels, layer.groups) if layer.kind == "shuffle" else _module(layer, pads)
            )
            self.add_module(_attribute(layer.name), module)
            self.steps.append((layer.name, layer.inputs, layer.relu))
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        values = {INPUT: x}
        for name, inputs, relu in self.steps:
            x = self.get_submodule(_attribute(name))(*(values[value] for value in inputs))
            values[name] = x = torch.relu(x) if relu else x
        return x


def example(order: Order) -> Tensor:
    """An input of the network: float32 [1, in_channels, H, W]."""
    return torch.zeros(1, order.model.arch.in_channels, order.height, order.width)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _attribute(name: str) -> str:
    return name.replace(".", "_")


def _module(layer: Layer, pads: bool) -> nn.Module:
    window = (layer.kernel, layer.stride, layer.kernel // 2)
    if layer.kind == "max_pool":
        return nn.MaxPool2d(*window)
    if layer.kind == "average_pool":
        if pads:
            return nn.Sequential(nn.ZeroPad2d(layer.kernel // 2), nn.AvgPool2d(layer.kernel, layer.stride))
        return nn.AvgPool2d(*window)
    if layer.kind in _PLAIN:
        return _PLAIN[layer.kind]()
    assert layer.weight is not None
    assert layer.bias is not None
    weight, bias = torch.from_numpy(layer.weight.copy()), torch.from_numpy(layer.bias.copy())
    module: nn.Conv2d | nn.Linear
    if layer.kind == "linear":
        module = nn.Linear(weight.shape[1], len(weight))
    else:
        module = nn.Conv2d(weight.shape[1] * layer.groups, len(weight), *window, groups=layer.groups)
    module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
    return module


class _Add(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class _Concat(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.cat((x, y), dim=1)


class _GlobalPool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        # A pooling layer rather than a mean over two axes: runtimes have a kernel for the first.
        return nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


class _Gather(nn.Module):
    order: Tensor

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.from_numpy(shuffle_order(channels, groups)))

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.order)


class _Transpose(nn.Module):
    """Without a tensor of five dimensions, which some runtimes do not take."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups, self.group_channels = groups, channels // groups

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        x = x.view(batch, self.groups, self.group_channels, height * width)
        return x.transpose(1, 2).reshape(batch, channels, height, width)


_PLAIN = {"add": _Add, "concat": _Concat, "global_pool": _GlobalPool}
_SHUFFLES = {"gather": _Gather, "transpose": _Transpose}
