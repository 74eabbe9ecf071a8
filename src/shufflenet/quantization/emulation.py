"""A quantized network in PyTorch, to the last bit of its int32 sums: the reference for the engine.

Bytes are held as float32 with whole values. Sums of products of whole numbers are exact in float32 below 2^24, in
whatever order they are added; layers whose sums can be larger are computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shufflenet.networks.graph import (
    Activation,
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
)
from shufflenet.networks.network import channel_shuffle
from shufflenet.networks.quantized import (
    MOST,
    Layer,
    PixelInput,
    Quantized,
    Requantised,
    activation_of,
    carrier_of,
    carriers,
    constants_of,
    input_of,
)

_ROUNDS = 12582912.0  # 1.5 * 2^23: adding it leaves no bits for a fraction
_EXACT = 1 << 24
_BATCH = 50


class Emulation:
    """Runs a quantized network."""

    def __init__(self, graph: Graph, quantized: Quantized, pixels: PixelInput) -> None:
        self.graph, self.quantized, self.pixels = graph, quantized, pixels
        self.carried = carriers(graph)
        self._last = {source: node for node in graph.nodes for source in node.inputs}
        self._constants: dict[str, Requantised] = {}
        self.layers: dict[str, EmulatedLayer] = {}  # made when they are needed, of those that are not here

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, C, H, W], as the float network's input -> logits float32 [N, classes]."""
        with torch.inference_mode():
            parts = [self.logits(torch.from_numpy(x[i : i + _BATCH])).numpy() for i in range(0, len(x), _BATCH)]
        return np.concatenate(parts)

    def logits(self, x: Tensor, seen: Callable[[Node, Tensor], None] = lambda node, values: None) -> Tensor:
        """The same on tensors; ``seen`` is given every operator's output: bytes, or sums where those go on."""
        values: dict[Node, Tensor] = {self.graph.input: quantized_pixels(x, self.pixels)}
        for node in self.graph.nodes[1:]:
            values[node] = self.step(node, [values[source] for source in node.inputs])
            seen(node, values[node])
            for source in dict.fromkeys(node.inputs):
                if self._last[source] is node:
                    del values[source]
        return values[self.graph.nodes[-1]]

    def step(self, node: Node, read: list[Tensor]) -> Tensor:
        """What an operator makes of its inputs' bytes: bytes, or sums, factors or logits in float32."""
        match node:
            case Convolution() | FullyConnected():
                sums, constants = self.sums(node, read[0]), self._constants_of(node)
                if constants.shift.any():
                    sums = sums.double() + _per_channel(constants.shift, sums)
                sums = sums.float()
                if node in self.carried:
                    return sums
                return self._finished(node, constants, sums * _per_channel(constants.multiplier, sums))
            case Pool(kind="max"):
                return functional.max_pool2d(read[0], 3, stride=2, padding=node.padding, ceil_mode=node.ceil)
            case Pool():
                around = _padded(read[0], node.padding, self._zero_point(node.inputs[0]))
                return self._rounded(node, functional.avg_pool2d(around, 3, 2, 0, node.ceil, divisor_override=1))
            case AdaptiveAveragePool():
                return self._rounded(node, _window_sums(node, read[0]), *read[0].shape[2:])
            case Add():
                return self._add(node, *read)
            case Scale():
                return self._scale(node, *read)
            case Concat():
                return torch.cat(read, dim=1)
            case Split():
                return read[0][:, node.first : node.first + node.channels]
            case Shuffle():
                return channel_shuffle(read[0], node.groups)
            case _:
                raise ValueError(f"{node.name}: 8 bits don't serve {type(node).__name__}")

    def _zero_point(self, node: Node) -> NDArray[np.uint8]:
        return activation_of(node, self.quantized.activations).zero_point

    def sums(self, node: Convolution | FullyConnected, x: Tensor) -> Tensor:
        """The int32 sums of a layer, as whole values in float32 or float64."""
        if isinstance(node, FullyConnected) or not node.padding:
            padding = None
        elif input_of(node):
            padding = self.pixels.padding
        else:
            padding = self._zero_point(node.inputs[0])
        return self._layer(node).sums(node, x, padding)

    def _layer(self, node: Node) -> EmulatedLayer:
        if node.name not in self.layers:
            self.layers[node.name] = EmulatedLayer.of(self.quantized.layers[node.name])
        return self.layers[node.name]

    def _constants_of(self, node: Convolution | FullyConnected) -> Requantised:
        """Those of a layer's sums, or of the addition that they go into."""
        if node.name not in self._constants:
            self._constants[node.name] = constants_of(self.carried.get(node, node), self.quantized, self.carried)
        return self._constants[node.name]

    def _rounded(self, node: Node, sums: Tensor, height: int = 1, width: int = 1) -> Tensor:
        constants = constants_of(node, self.quantized, self.carried, height, width)
        return self._finished(node, constants, sums * _per_channel(constants.multiplier, sums))

    def _add(self, node: Add, left: Tensor, right: Tensor) -> Tensor:
        constants, carrier = constants_of(node, self.quantized, self.carried), carrier_of(node, self.carried)
        assert constants.residual_multiplier is not None
        t, residual = (right, left) if carrier is node.inputs[1] else (left, right)
        if not isinstance(carrier, Scale):
            t = t * _per_channel(constants.multiplier, t)
        if constants.function in ("linear", "relu"):
            t = _whole(t)
        return self._finished(node, constants, t + residual * _per_channel(constants.residual_multiplier, t))

    def _scale(self, node: Scale, x: Tensor, factors: Tensor) -> Tensor:
        constants = constants_of(node, self.quantized, self.carried)
        zero_point = self._zero_point(node.inputs[0])
        factors = factors * torch.from_numpy(constants.multiplier)
        t = (x - _per_channel(zero_point.astype(np.float32), x)) * factors[:, :, None, None]
        return t if node in self.carried else self._finished(node, constants, t)

    def _finished(self, node: Node, constants: Requantised, t: Tensor) -> Tensor:
        t = t + _per_channel(constants.offset, t)
        if node.name not in self.quantized.activations:
            return FUNCTIONS[constants.function](t)
        if constants.gain is not None and constants.zero is not None:
            t = FUNCTIONS[constants.function](t) * _per_channel(constants.gain, t) + _per_channel(constants.zero, t)
        return _clamped(t)


def _whole(t: Tensor) -> Tensor:
    """The nearest whole numbers, halves to even."""
    return (t + _ROUNDS) - _ROUNDS


def _sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + _exponential(-x.clamp(-30, 30)))


def _exponential(x: Tensor) -> Tensor:
    """e^x for x from -30 to 30: 2^n times a polynomial of the rest, which is at most ln(2) / 2."""
    n = _whole(x * 1.44269504).detach()  # so that the derivative is that of e^x
    rest = x - n * 0.693359375 + n * 2.12194440e-4  # ln(2) in two parts
    total = torch.full_like(rest, 1 / 720)
    for factor in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        total = total * rest + factor
    return total * (n.int() + 127).bitwise_left_shift(23).view(torch.float32)


def _hard_sigmoid(x: Tensor) -> Tensor:
    return (x + 3).clamp(0, 6) * (1 / 6)


# In float32, each operation rounded: the engine gives the same bits.
FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda x: x * _hard_sigmoid(x),
}


def quantized_pixels(x: Tensor, pixels: PixelInput) -> Tensor:
    """The network's float32 input [N, C, H, W] as bytes of pixels, likewise."""
    t = x * _per_channel(pixels.multiplier, x) + _per_channel(pixels.offset, x)
    return _whole(t.clamp(0, 255))


@dataclass(frozen=True)
class EmulatedLayer:
    """A layer's weights, biases and scale as tensors."""

    weight: Tensor  # whole values, float32 or float64: whichever holds every sum exactly
    bias: Tensor
    scale: Tensor

    @classmethod
    def of(cls, layer: Layer) -> EmulatedLayer:
        whole = layer.weight.astype(np.int64)
        largest = np.abs(whole.reshape(len(whole), -1)).sum(axis=1) * 255 + np.abs(layer.bias.astype(np.int64))
        dtype = torch.float32 if largest.max() < _EXACT else torch.float64
        # A dense 3x3 may be computed by transforms that divide: exact in float64 only.
        if whole.ndim == 4 and whole.shape[1] > 1 and whole.shape[2] > 1:
            dtype = torch.float64
        weight, bias = (torch.from_numpy(values).to(dtype) for values in (whole, layer.bias))
        return cls(weight, bias, torch.from_numpy(layer.scale))

    def sums(self, node: Convolution | FullyConnected, x: Tensor, padding: NDArray[np.uint8] | None) -> Tensor:
        """[N, C, H, W] -> [N, M, H', W'], or [N, K] -> [N, M]; ``padding``: the byte beyond the edges."""
        x = x.to(self.weight.dtype)
        if isinstance(node, FullyConnected):
            return x @ self.weight.flatten(1).T + self.bias
        if node.pointwise:
            return _pointwise(x, self.weight, node.groups).add_(self.bias[:, None, None])
        around = node.padding
        if padding is not None and padding.any():
            x, around = _padded(x, node.padding, padding), 0
        return functional.conv2d(x, self.weight, self.bias, node.stride, around, 1, node.groups)


def _pointwise(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    batch, channels, height, width = x.shape
    inputs = x.reshape(batch, groups, channels // groups, height * width)
    weights = weight.view(groups, len(weight) // groups, channels // groups)
    return torch.matmul(weights, inputs).view(batch, len(weight), height, width)


def _padded(x: Tensor, padding: int, byte: NDArray[np.uint8]) -> Tensor:
    """With so many pixels around each plane, of its channel's byte."""
    values = torch.from_numpy(byte.astype(np.float32))[:, None, None].to(x.dtype)
    return functional.pad(x - values, [padding] * 4) + values


def _window_sums(node: AdaptiveAveragePool, x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C * size * size]."""
    rows, columns = (node.windows(pixels) for pixels in x.shape[2:])
    sums = [x[:, :, top:bottom, left:right].sum(dim=(2, 3)) for top, bottom in rows for left, right in columns]
    return torch.stack(sums, dim=2).flatten(1)


def _clamped(t: Tensor) -> Tensor:
    return t.clamp_(0, MOST).add_(_ROUNDS).sub_(_ROUNDS)


def _per_channel(values: NDArray[np.float32] | NDArray[np.int32], like: Tensor) -> Tensor:
    return torch.from_numpy(values).view(-1, *[1] * (like.dim() - 2))
