"""Calibration: from a float model and pictures to a network in 8 bits.

First the range of each activation is found, from the float network's values. Then pictures go through both networks
side by side, operator by operator: weights are rounded and biases set so that the quantized layer, which reads what the
layers before it have made of the pictures, comes nearest to the float one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from shufflenet.networks.graph import (
    Convolution,
    FullyConnected,
    Graph,
    Node,
)
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import (
    MOST,
    MOST_OF_PIXELS,
    SCHEME,
    Activation,
    Layer,
    Quantized,
    activation_of,
    check_served,
    input_of,
    pixel_input,
    requantising,
)
from shufflenet.quantization import ranges, rounding
from shufflenet.quantization.emulation import Emulation, quantized_pixels
from shufflenet.quantization.float_network import FloatNetwork
from shufflenet.quantization.short_multipliers import unit_of_sums, with_whole_zero
from shufflenet.quantization.units import unit_of, units_of_inputs

LEAST_PICTURES = 16
MOST_LOSS = 0.5  # points of top-1 accuracy that 8 bits may lose, unless a user allows more
_MOST_PIXELS = 1 << 26  # of all pictures
_BATCH = 50
_PICTURES_OF_WEIGHTS = 2048  # at most, that weights and biases are found on
_MOST_VALUES = 1 << 27  # float32 of one operator for all pictures; several such are held at once
_PLACES, _PLACES_OF_DEPTHWISE = 32768, 8192  # that a layer's weights are fitted on
_PICTURES_OF_PLACES = 64  # at least, that these are in
# The weights of layers with more inputs of an output, or more multiply-adds to round them in turn, are rounded to the
# nearest.
_MOST_INPUTS, _MOST_WORK = 4608, 1.2e10


class CalibrationError(ValueError):
    """Pictures that nothing can be learned from; the message is one line."""


@dataclass(frozen=True)
class Method:
    """How ranges and weights are found; by default, as loses least (docs/quantization.md)."""

    ranges: ranges.Way = "percentile"
    weights: Literal["least squares", "nearest"] = "least squares"
    bias_correction: bool = True


def most_pictures(height: int, width: int) -> int:
    """How many pictures of ``height`` x ``width`` calibration can hold in memory."""
    return max(LEAST_PICTURES, _MOST_PIXELS // (height * width))


def calibrate(
    model: Model, x: NDArray[np.float32], method: Method | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Quantized:  # fmt: skip
    """Quantizes a float model.

    Args:
        x: preprocessed calibration pictures, [N, 3, H, W].
        progress: told steps done and steps in all.

    Raises:
        CalibrationError: too few pictures, or all of one colour.
        ValueError: 8 bits don't serve the network.
    """
    check_served(model.graph)
    if len(x) < LEAST_PICTURES:
        pictures = "picture" if len(x) == 1 else "pictures"
        raise CalibrationError(f"{len(x)} {pictures} to calibrate on, at least {LEAST_PICTURES} are needed")
    if np.ptp(x, axis=(0, 2, 3)).max() == 0:
        raise CalibrationError(f"all {len(x)} pictures to calibrate on are of one colour")
    method, batches, nodes = method or Method(), -(-len(x) // _BATCH), model.graph.nodes[1:]
    with torch.inference_mode():
        found = _ranges(model, x, method.ranges, lambda done: progress(done, batches + len(nodes)))
        walk = _Walk(model, method, Quantized({}, found, {"scheme": SCHEME}))
        walk.begin(torch.from_numpy(_some(model.graph, x)))
        for done, node in enumerate(nodes, 1):
            walk.add(node)
            progress(batches + done, batches + len(nodes))
    return walk.quantized


def _ranges(
    model: Model, x: NDArray[np.float32], way: ranges.Way, progress: Callable[[int], None]
) -> dict[str, Activation]:
    """The range of every operator that makes bytes, from all pictures."""
    graph, network, readers = model.graph, FloatNetwork(model), model.graph.readers()
    sizes, found = graph.sizes(*x.shape[2:]), {}
    for node in requantising(graph):
        height, width = sizes[node]
        found[node] = ranges.Range(way, ranges.kind_of(node, readers), len(x) * height * width)
    for start in range(0, len(x), _BATCH):
        values: dict[Node, Tensor] = {graph.input: torch.from_numpy(x[start : start + _BATCH])}
        for node in graph.nodes[1:]:
            values[node] = network.step(node, [values[source] for source in node.inputs])
            if node in found:
                found[node].add(values[node])
            for source in dict.fromkeys(node.inputs):
                if readers[source][-1] is node:
                    del values[source]
        progress(start // _BATCH + 1)
    return ranges.with_shared_scales(graph, {node.name: each.activation() for node, each in found.items()})


def _some(graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evenly taken pictures, as many as `_Walk` can hold in memory."""
    sizes = graph.sizes(*x.shape[2:])
    largest = max(node.channels * math.prod(sizes[node]) for node in graph.nodes)
    count = min(len(x), _PICTURES_OF_WEIGHTS, max(LEAST_PICTURES, _MOST_VALUES // largest))
    some: NDArray[np.float32] = x[np.linspace(0, len(x) - 1, count).astype(int)]
    return some


@dataclass
class _Walk:
    """Both networks' values of the pictures, for each operator that is still read."""

    model: Model
    method: Method
    quantized: Quantized
    wanted: dict[Node, Tensor] = field(default_factory=dict)  # by the float network
    got: dict[Node, Tensor] = field(default_factory=dict)  # bytes, or what is no bytes yet or no longer

    def __post_init__(self) -> None:
        preprocessing = self.model.preprocessing
        pixels = pixel_input(preprocessing.mean, preprocessing.std)
        self.float_network = FloatNetwork(self.model)
        self.emulation = Emulation(self.model.graph, self.quantized, pixels)
        self.carried, self.readers = self.emulation.carried, self.model.graph.readers()
        self.sharing = ranges.sharing_scales(self.model.graph)
        self.random = torch.Generator().manual_seed(0)

    def begin(self, x: Tensor) -> None:
        self.wanted[self.model.graph.input] = x
        self.got[self.model.graph.input] = quantized_pixels(x, self.emulation.pixels)

    def add(self, node: Node) -> None:
        self.wanted[node] = self.float_network.step(node, [self.wanted[source] for source in node.inputs])
        if isinstance(node, Convolution | FullyConnected):
            self._add_layer(node)
        self.got[node] = self.emulation.step(node, [self.got[source] for source in node.inputs])
        for source in dict.fromkeys(node.inputs):
            if self.readers[source][-1] is node:
                del self.wanted[source], self.got[source]

    def _add_layer(self, node: Convolution | FullyConnected) -> None:
        weight, bias = self.float_network.weights(node)
        groups = node.groups if isinstance(node, Convolution) else 1
        scale, zero_point = units_of_inputs(node, self.model, self.quantized)
        real = weight.double().reshape(groups, node.channels // groups, -1) * scale
        most = MOST_OF_PIXELS if input_of(node) else MOST
        inputs = real.shape[2]
        if self.method.weights == "nearest" or inputs > _MOST_INPUTS or real.numel() * inputs > _MOST_WORK:
            unit = self._unit(node, rounding.least_scale(real, most))
            whole = rounding.nearest(real, unit, most)
        else:
            wanted, got = self._columns(node)
            real, moments = rounding.fitted(real, wanted / scale.movedim(1, 2).float(), got)
            unit = self._unit(node, rounding.least_scale(real, most))
            whole = rounding.in_turn(real, unit, moments, most)
        unit = unit.flatten()
        begin = bias.double() / unit - (whole * zero_point).sum(dim=2).flatten()
        weight_bytes = whole.reshape(weight.shape).numpy().astype(np.int8)
        layer = Layer(weight_bytes, unit.float().numpy(), _whole(begin))
        if self.method.bias_correction:
            layer = replace(layer, bias=_whole(begin + self._lacking(node, layer) / unit))
        self.quantized.layers[node.name] = layer

    def _unit(self, node: Convolution | FullyConnected, least: Tensor) -> Tensor:
        """The scales of a layer's sums, which are no smaller than ``least``; changes the layer's zero points to suit.

        Both are [groups, M / groups].
        """
        target = self.carried.get(node, node)
        made, smallest = self.quantized.activations.get(target.name), least.flatten().numpy()
        kind = ranges.kind_of(node, self.readers)
        if made is None:  # logits and factors
            unit = smallest.astype(np.float32).astype(np.float64)
        elif target.activation not in ("linear", "relu"):
            unit = unit_of_sums(smallest, made, real=True)
        elif target is not node:
            others = activation_of(self._added_to(node), self.quantized.activations).zero_point.astype(np.int64)
            # What an addition leaves of both zero points is added to the sums.
            left = replace(made, zero_point=np.abs(made.zero_point - others).astype(np.uint8))
            unit = with_whole_zero(left, smallest, movable=False)[1]
        elif kind == "padded":  # other runtimes can't have these zero points
            unit = unit_of_sums(smallest, made)
        else:
            movable = node not in self.sharing and kind == "signed"
            self.quantized.activations[node.name], unit = with_whole_zero(made, smallest, movable)
        return torch.from_numpy(unit).view(least.shape)

    def _columns(self, node: Convolution | FullyConnected) -> tuple[Tensor, Tensor]:
        """What a layer reads at some places in the float and the quantized network, [groups, K, places] each."""
        (source,) = node.inputs
        wanted, got = self.wanted[source], self.got[source]
        if isinstance(node, FullyConnected):
            return wanted.T[None], got.T[None]
        places = _PLACES_OF_DEPTHWISE if node.depthwise else _PLACES
        positions = math.prod(node.output_size(*wanted.shape[2:]))
        chosen = torch.linspace(0, len(wanted) - 1, min(len(wanted), max(_PICTURES_OF_PLACES, places // positions)))
        wanted, got = wanted[chosen.long()], got[chosen.long()]
        kept = torch.randperm(len(wanted) * positions, generator=self.random)[:places]
        byte = (
            torch.from_numpy(self.emulation.pixels.padding)
            if input_of(node)
            else unit_of(source, self.model, self.quantized)[1]
        )
        return _columns(node, wanted, torch.zeros(source.channels), kept), _columns(node, got, byte.float(), kept)

    def _lacking(self, node: Convolution | FullyConnected, layer: Layer) -> Tensor:
        """How much lower the mean of each output is than the float network's, float64 [M]."""
        (source,) = node.inputs
        alone = Emulation(self.model.graph, replace(self.quantized, layers={node.name: layer}), self.emulation.pixels)
        sums = alone.sums(node, self.got[source])
        lacking = self._mean_before_relu(node) - _mean(sums) * torch.from_numpy(layer.scale).double()
        if node in self.carried:
            other = self._added_to(node)
            scale, zero_point = unit_of(other, self.model, self.quantized)
            lacking = lacking + _mean(self.wanted[other]) - (_mean(self.got[other]) - zero_point) * scale
        return lacking

    def _added_to(self, node: Node) -> Node:
        """What an addition adds to the sums of ``node``."""
        (other,) = (read for read in self.carried[node].inputs if read is not node)
        return other

    def _mean_before_relu(self, node: Convolution | FullyConnected) -> Tensor:
        linear = replace(node, activation="linear")
        return _mean(self.float_network.step(linear, [self.wanted[node.inputs[0]]]))


def _whole(values: Tensor) -> NDArray[np.int32]:
    return torch.round(values).clamp(-(1 << 30), 1 << 30).numpy().astype(np.int32)


def _mean(values: Tensor) -> Tensor:
    """The mean of each channel, float64 [C]."""
    return values.flatten(2).double().mean(dim=(0, 2)) if values.dim() == 4 else values.double().mean(dim=0)


def _columns(node: Convolution, x: Tensor, padding: Tensor, kept: Tensor) -> Tensor:
    """What each output of a convolution is computed from, at the places ``kept``: [groups, K, places]."""
    channels = x.shape[1]
    if node.pointwise:
        columns = x.movedim(1, 0).flatten(1)[:, kept]
    else:
        byte = padding[:, None, None]
        x = functional.pad(x - byte, [node.padding] * 4) + byte
        windows = x.unfold(2, node.kernel_size, node.stride).unfold(3, node.kernel_size, node.stride)
        taps = [
            windows[..., y, z].movedim(1, 0).flatten(1)[:, kept]
            for y in range(node.kernel_size)
            for z in range(node.kernel_size)
        ]
        columns = torch.stack(taps, dim=1)
    return columns.reshape(node.groups, channels // node.groups * node.kernel_size**2, -1)
