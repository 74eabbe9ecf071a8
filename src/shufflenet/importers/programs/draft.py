"""A graph under construction: its layers may still take in what follows them, and its values move channels for free.

Programs reshape, transpose, slice and gather what the graph knows as shuffles and splits. A `Value` keeps the numbers
of the channels of one layer in the shape that the program has given them, until a layer reads it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import (
    NEVER_NEGATIVE,
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Input,
    Node,
    Pad,
    Scale,
    Shuffle,
    Split,
)

_MOST_RUNS = 64  # of neighbouring channels, in an order that is no shuffle
_MOST_LETTERS = 150


@dataclass(eq=False)
class Layer:
    """An operator of the graph before it is one: ``fields`` are those of its ``kind``, but for the inputs."""

    kind: type[Node]
    name: str
    inputs: list[Layer]
    channels: int
    size: tuple[int, int]  # height and width of a plane; (1, 1) of a vector
    fields: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    made: str = ""  # the program's value that it computes
    # Of a pad: the pixels above, to the left, below and to the right, and what is in them.
    edges: tuple[int, int, int, int] | None = None
    fill: float = 0.0
    # A vector's scale and offset, which the fully connected layers that read it take in.
    affine: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def flat(self) -> bool:
        return self.kind.flat

    @property
    def never_negative(self) -> bool:
        stack: list[Layer] = [self]
        seen: set[Layer] = set()
        while stack:  # without recursion, since networks can be deep
            layer = stack.pop()
            if issubclass(layer.kind, Convolution | Add | Scale | FullyConnected):
                if layer.fields["activation"] not in NEVER_NEGATIVE:
                    return False
            elif not layer.inputs:
                return False
            elif layer not in seen:
                seen.add(layer)
                stack += layer.inputs
        return True


@dataclass(frozen=True)
class Value:
    """Channels of a layer in a shape of the program's: [*channels.shape, *plane].

    Args:
        channels: numbers of the layer's channels.
        plane: the rest of the shape, all pixels of each channel in their order.
        sole: nothing else reads the layer.
    """

    layer: Layer
    channels: NDArray[np.int64]
    plane: tuple[int, ...]
    sole: bool

    @staticmethod
    def of(layer: Layer, shape: tuple[int, ...] | None = None) -> Value:
        """All of a layer: [1, C, H, W], or for a vector ``shape``."""
        channels = np.arange(layer.channels)
        if layer.flat:
            return Value(layer, channels.reshape(shape or (1, layer.channels, 1, 1)), (), True)
        return Value(layer, channels[None], layer.size, True)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.channels.shape, *self.plane)

    @property
    def whole(self) -> bool:
        """Whether it is the layer as it is, in any shape."""
        return np.array_equal(self.channels.ravel(), np.arange(self.layer.channels))

    @property
    def is_planes(self) -> bool:
        return not self.layer.flat and len(self.shape) == 4 and self.shape[0] == 1 and self.plane == self.layer.size

    def unpadded(self) -> tuple[Layer | None, tuple[int, int, int, int]]:
        """What an explicit pad reads, and its edges, if the value is one that nothing else reads."""
        layer = self.layer
        if layer.edges is None or not self.sole or not self.whole or not self.is_planes:
            return None, (0, 0, 0, 0)
        return layer.inputs[0], layer.edges

    def reshaped(self, shape: Sequence[int]) -> Value | None:
        """Its values in another shape; None: channels and pixels would mix."""
        pixels = math.prod(self.plane)
        for end in range(len(shape), -1, -1) if pixels == 1 else range(len(shape) + 1):
            if math.prod(shape[:end]) == self.channels.size and math.prod(shape[end:]) == pixels:
                return Value(self.layer, self.channels.reshape(shape[:end]), tuple(shape[end:]), self.sole)
        return None

    def transposed(self, order: Sequence[int]) -> Value | None:
        """With its axes in another order; None: the pixels' would be others."""
        axes = self.channels.ndim
        channel_order, rest = order[:axes], list(order[axes:])
        if rest != list(range(axes, len(order))):
            return None
        return Value(self.layer, self.channels.transpose(channel_order), self.plane, self.sole)

    def taken(self, index: Any, axis: int) -> Value | None:
        """What ``index`` picks along an axis; None: the axis is one of pixels."""
        if axis >= self.channels.ndim:
            return None
        channels = self.channels[(slice(None),) * axis + (index,)]
        return Value(self.layer, channels, self.plane, self.sole)


def concatenated(values: Sequence[Value], axis: int, name: str) -> tuple[Layer, Value]:
    """The layer that all of the values' channels make, and its value in the shape of their concatenation."""
    parts = [picked(value) for value in values]
    layer = Layer(Concat, name, parts, sum(part.channels for part in parts), parts[0].size)
    numbers, first = [], 0
    for value, part in zip(values, parts, strict=True):
        numbers.append(np.arange(first, first + part.channels).reshape(value.channels.shape))
        first += part.channels
    return layer, Value(layer, np.concatenate(numbers, axis), values[0].plane, True)


def picked(value: Value) -> Layer:
    """The layer of exactly these channels, in their order: the value's own, or shuffles and splits behind it.

    Raises:
        ValueError: the order is too irregular.
    """
    layer, order = value.layer, value.channels.ravel()
    if value.whole:
        return layer
    count, all_channels = len(order), layer.channels
    step = int(order[1] - order[0]) if count > 1 else 1
    if np.array_equal(order, order[0] + step * np.arange(count)):
        if step == 1:
            return _split(layer, int(order[0]), count)
        if step > 1 and count * step == all_channels:
            return _split(_shuffled(layer, count), int(order[0]) * count, count)
    if count == all_channels and step > 1 and count % step == 0:
        groups = count // step
        if np.array_equal(order, np.arange(count).reshape(groups, step).T.ravel()):
            return _shuffled(layer, groups)
    runs = np.split(order, 1 + np.flatnonzero(np.diff(order) != 1))
    if len(runs) > _MOST_RUNS or layer.flat:
        raise ValueError("it reads channels in an order that is neither a shuffle nor a split")
    parts = [_split(layer, int(run[0]), len(run)) for run in runs]
    return Layer(Concat, f"{layer.name}.order", parts, count, layer.size)


def _split(layer: Layer, first: int, count: int) -> Layer:
    if layer.flat:
        raise ValueError("it reads a part of a vector")
    return Layer(Split, f"{layer.name}.split", [layer], count, layer.size, {"first": first})


def _shuffled(layer: Layer, groups: int) -> Layer:
    if layer.flat:
        raise ValueError("it shuffles a vector")
    return Layer(Shuffle, f"{layer.name}.shuffle", [layer], layer.channels, layer.size, {"groups": groups})


def as_graph(name: str, output: Layer) -> tuple[Graph, dict[str, NDArray[np.float32]], dict[Layer, Node]]:
    """The graph that ends with ``output``, its tensors, and the operator of each layer.

    Raises:
        ValueError: an operator can't read its inputs.
    """
    layers = _in_order(output)
    graph = Graph(name, layers[0].channels)
    nodes: dict[Layer, Node] = {}
    tensors: dict[str, NDArray[np.float32]] = {}
    taken = {graph.input.name: 1}
    for layer in layers:
        if layer.kind is Input:
            nodes[layer] = graph.input
            continue
        fields = _fields(layer)
        own = _free(layer.name, taken)
        renamed = {"": own}
        if fields.get("batch_norm"):
            fields["batch_norm"] = _free(fields["batch_norm"], taken)
            renamed["norm"] = fields["batch_norm"]
        node = layer.kind(
            name=own, inputs=tuple(nodes[each] for each in layer.inputs), channels=layer.channels, **fields
        )
        nodes[layer] = graph.append(node)
        for key, values in layer.tensors.items():
            part, _, tensor = key.rpartition(".")
            tensors[f"{renamed[part]}.{tensor}"] = np.ascontiguousarray(values, np.float32)
    return graph, tensors, nodes


def _fields(layer: Layer) -> dict[str, Any]:
    if layer.edges is None:
        return dict(layer.fields)
    top, left, bottom, right = layer.edges
    if layer.fill or top != left or bottom != right:
        raise ValueError(
            f"{layer.name}: a pad of {list(layer.edges)} with {layer.fill:g} in it, before what is no window"
        )
    return {"before": top, "after": bottom}


def _in_order(output: Layer) -> list[Layer]:
    """All layers that ``output`` reads, each behind its inputs; without recursion, since networks can be deep."""
    order: dict[Layer, None] = {}
    stack = [(output, False)]
    while stack:
        layer, inputs_done = stack.pop()
        if layer in order:
            continue
        if inputs_done:
            order[layer] = None
            continue
        stack.append((layer, True))
        stack.extend((each, False) for each in reversed(layer.inputs))
    return list(order)


def _free(name: str, taken: dict[str, int]) -> str:
    """A name that a graph can have, like the given one and unlike all that are taken, with how many are like each."""
    words = [re.sub(r"[^A-Za-z0-9_]+", "_", word) for word in name.split(".") if word]
    base = ".".join(words)[:_MOST_LETTERS].strip(".") or "layer"
    free, number = base, taken.get(base, 1)
    while free in taken:
        number += 1
        free = f"{base}_{number}"
    taken[base] = number
    taken.setdefault(free, 1)
    return free


def global_average(layer: Layer, name: str) -> Layer:
    return Layer(AdaptiveAveragePool, name, [layer], layer.channels, (1, 1), {"size": 1})


def padded(source: Layer, name: str, before: int, after: int) -> Layer:
    """The layer behind ``before`` and ``after`` pixels of zeros."""
    size = source.size[0] + before + after, source.size[1] + before + after
    return Layer(Pad, name, [source], source.channels, size, {"before": before, "after": after})
