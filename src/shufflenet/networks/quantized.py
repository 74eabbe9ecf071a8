"""A network in 8 bits: int8 weights and activations from 0 to 127, and the arithmetic that all runtimes share.

An activation q stands for ``scale[c] * (q - zero_point[c])``, with a scale and a zero point of each channel. The
scales of what a convolution reads are part of its weights, so that one scale of each output channel is left: its int32
sum ``bias + sum(weight * q)``, times that scale, is the real value. Zero points of the inputs are part of the bias.

`Requantised` says how sums become activations.

Letters: N batch, C and M channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import Activation as Function
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Input,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
)

Floats: TypeAlias = NDArray[np.float32]

SCHEME = "int8 weights per channel, activations 0..127 per channel"
_FUNCTIONS = ("linear", "relu", "sigmoid", "hard_sigmoid", "hard_swish")  # the activations that 8 bits serve
MOST = 127  # the largest activation and the largest weight
_NEAR, _MOST_SHIFT = 1e-3, 1 << 29
MOST_OF_PIXELS = 63  # the largest weight of what reads the picture, whose values go up to 255


@dataclass(frozen=True)
class Layer:
    """A convolution or a fully connected layer. M output channels."""

    weight: NDArray[np.int8]  # [M, ...] as the graph says
    scale: Floats  # [M] of the sums
    bias: NDArray[np.int32]  # [M] where the sums begin


@dataclass(frozen=True)
class Activation:
    """How the bytes of an operator's output are meant: the real value is scale * (q - zero_point)."""

    scale: Floats  # [C]
    zero_point: NDArray[np.uint8]  # [C]

    def __getitem__(self, channels: NDArray[np.int64] | slice) -> Activation:
        return Activation(self.scale[channels], self.zero_point[channels])


@dataclass(frozen=True)
class Quantized:
    """What a quantized model has in place of float32 tensors; keys are names of the graph's operators.

    Args:
        layers: of every convolution and fully connected layer.
        activations: of every operator that makes bytes from sums (`requantising`).
        about: how it was made, free form.
    """

    layers: dict[str, Layer]
    activations: dict[str, Activation]
    about: dict[str, Any] = field(default_factory=dict)


def check_served(graph: Graph) -> None:
    """Raises ValueError if the network has an operator that 8 bits don't serve."""
    readers, factors = graph.readers(), factors_of(graph)
    for node in graph.nodes[1:]:
        match node:
            case Convolution() | Add():
                served = node is not graph.nodes[-1]
            case Scale():
                served = node is not graph.nodes[-1] and node.inputs[1] in factors
            case FullyConnected():
                served = node in factors or not any(isinstance(reader, Scale) for reader in readers[node])
            case AdaptiveAveragePool() | Pool() | Concat() | Split() | Shuffle():
                served = node is not graph.nodes[-1] or isinstance(node, AdaptiveAveragePool)
            case _:
                served = False
        if getattr(node, "activation", "linear") not in _FUNCTIONS:
            served = False
        if graph.input in node.inputs and not isinstance(node, Convolution):
            served = False
        if not served:
            activation = getattr(node, "activation", "linear")
            kind = type(node).__name__ + (f" with {activation}" if activation != "linear" else "")
            raise ValueError(f"{node.name}: 8 bits don't serve {kind} in this place")


def factors_of(graph: Graph) -> set[Node]:
    """The layers whose results stay float32, since nothing but a `Scale` reads them."""
    readers = graph.readers()
    return {
        node
        for node in graph.nodes
        if isinstance(node, FullyConnected)
        and readers[node]
        and all(isinstance(reader, Scale) for reader in readers[node])
    }


def carriers(graph: Graph) -> dict[Node, Add]:
    """The operators whose sums go into an addition before they are rounded, and that addition.

    It is the last that an `Add` reads, if it is a convolution without ReLU or a scale that nothing else reads.
    """
    readers = graph.readers()
    found: dict[Node, Add] = {}
    for node in graph.nodes:
        if isinstance(node, Add):
            last = max(node.inputs, key=graph.nodes.index)
            if isinstance(last, Convolution | Scale) and last.activation == "linear" and readers[last] == [node]:
                found[last] = node
    return found


def requantising(graph: Graph) -> list[Node]:
    """The operators that make bytes, in the order of running; not those that pass bytes on."""
    others = {*carriers(graph), *factors_of(graph), graph.nodes[-1]}
    return [node for node in graph.nodes if node not in others and _makes_bytes(node)]


def _makes_bytes(node: Node) -> bool:
    match node:
        case Convolution() | Add() | Scale() | AdaptiveAveragePool() | FullyConnected():
            return True
        case Pool():
            return node.kind == "average"
        case _:
            return False


def activation_of(node: Node, made: Mapping[str, Activation]) -> Activation:
    """How the bytes that ``node`` makes or passes on are meant; ``made``: of those that make them.

    Raises:
        KeyError: what the bytes come from is not in ``made``.
    """
    match node:
        case Pool(kind="max"):
            return activation_of(node.inputs[0], made)
        case Shuffle():
            return activation_of(node.inputs[0], made)[node.order]
        case Split():
            return activation_of(node.inputs[0], made)[slice(node.first, node.first + node.channels)]
        case Concat():
            read = [activation_of(source, made) for source in node.inputs]
            return Activation(np.concatenate([x.scale for x in read]), np.concatenate([x.zero_point for x in read]))
        case _:
            return made[node.name]


@dataclass(frozen=True)
class Requantised:
    """From a sum to an activation, all in float32, each operation rounded, none contracted to a fused multiply-add:

        t = float(sum + shift) * multiplier
        t = (t + 12582912) - 12582912;  t = t + float(residual) * residual_multiplier  (if there is a residual)
        t = t + offset;  t = function(t) * gain + zero  (behind an activation that is neither linear nor a ReLU)
        t = min(max(t, 0), 127);  q = (t + 12582912) - 12582912  (rounds to even)

    What is not made a byte, logits and the factors of a `Scale`, is t, or function(t): gain and zero are None. The
    functions are those of quantization/emulation.py.

    All are [M]. Each is computed in float64 and rounded once. ``shift`` is int32: a zero point that is a whole number
    of a layer's sums is part of them, so that a runtime which adds it to the bias has the same bits; ``offset`` is what
    is left.
    """

    multiplier: Floats
    offset: Floats
    shift: NDArray[np.int32]
    residual_multiplier: Floats | None = None
    function: Function = "linear"
    gain: Floats | None = None
    zero: Floats | None = None


def constants_of(
    node: Node, quantized: Quantized, carried: Mapping[Node, Add], height: int = 1, width: int = 1
) -> Requantised:
    """How an operator makes bytes of its sums.

    A `Scale` has no sums: a byte less its zero point is multiplied by the channel's factor times ``multiplier``. The
    constants of what an addition reads before it is rounded (`carriers`) lead to the addition's bytes.

    Where the result is logits or factors, not bytes, they lead to real values.

    Args:
        carried: `carriers` of the graph.
        height, width: of what an average of windows reads.

    Raises:
        ValueError: 8 bits don't serve the operator.
    """
    made = quantized.activations
    target = carried.get(node, node)
    function: Function = getattr(target, "activation", "linear")
    real = Activation(np.ones(target.channels, np.float32), np.zeros(target.channels, np.uint8))
    to = made.get(target.name, real)  # logits and factors have none
    if function not in ("linear", "relu"):
        constants = _constants_to(node, quantized, carried, real, (height, width))
        if target.name not in made:
            return replace(constants, function=function)
        gain = (1 / to.scale.astype(np.float64)).astype(np.float32)
        return replace(constants, function=function, gain=gain, zero=to.zero_point.astype(np.float32))
    constants = replace(_constants_to(node, quantized, carried, to, (height, width)), function=function)
    layer = carrier_of(node, carried) if isinstance(node, Add) else node
    return _shifted(constants) if isinstance(layer, Convolution | FullyConnected) else constants


def _constants_to(
    node: Node, quantized: Quantized, carried: Mapping[Node, Add], to: Activation, size: tuple[int, int]
) -> Requantised:
    """Without what follows an activation; ``to``: what t stands for."""
    made = quantized.activations
    match node:
        case Convolution() | FullyConnected():
            return _requantised(quantized.layers[node.name].scale, 1, to)
        case Pool():
            read = activation_of(node.inputs[0], made)
            pixels = node.kernel_size**2
            return _requantised(read.scale, pixels, to, zero=pixels * read.zero_point.astype(np.float64))
        case AdaptiveAveragePool():
            read = activation_of(node.inputs[0], made)[np.repeat(np.arange(node.inputs[0].channels), node.size**2)]
            rows, columns = (np.diff(node.windows(pixels)).ravel() for pixels in size)
            counts = np.tile(np.outer(rows, columns).ravel().astype(np.float64), node.inputs[0].channels)
            return _requantised(read.scale, counts, to, zero=counts * read.zero_point)
        case Scale():
            read = activation_of(node.inputs[0], made)
            return _requantised(read.scale, 1, to)
        case Add():
            carrier = carrier_of(node, carried)
            residual = activation_of(next(source for source in node.inputs if source is not carrier), made)
            if isinstance(carrier, Convolution):
                return _requantised(quantized.layers[carrier.name].scale, 1, to, residual)
            if isinstance(carrier, Scale):
                return _requantised(to.scale, 1, to, residual)
            left, residual = (activation_of(source, made) for source in node.inputs)
            return _requantised(left.scale, 1, to, residual, left.zero_point.astype(np.float64))
        case _:
            raise ValueError(f"{node.name}: {type(node).__name__} makes no bytes")


def carrier_of(add: Add, carried: Mapping[Node, Add]) -> Node | None:
    """The operator whose sums ``add`` reads; None: both its inputs are bytes."""
    return next((source for source in add.inputs if carried.get(source) is add), None)


def _requantised(
    unit: Floats, count: int | NDArray[np.float64], to: Activation, residual: Activation | None = None,
    zero: NDArray[np.float64] | float = 0.0,
) -> Requantised:  # fmt: skip
    """The constants for sums of which 1 stands for ``unit`` / ``count``, and ``zero`` for a real 0. [M] each."""
    scale = to.scale.astype(np.float64)
    ratio, offset = unit.astype(np.float64) / (count * scale), to.zero_point.astype(np.float64)
    residual_ratio = None
    if residual is not None:
        residual_ratio = residual.scale.astype(np.float64) / scale
        offset = offset - residual_ratio * residual.zero_point
    offset = offset - ratio * zero
    return Requantised(
        ratio.astype(np.float32),
        offset.astype(np.float32),
        np.zeros(len(offset), np.int32),
        None if residual_ratio is None else residual_ratio.astype(np.float32),
    )


def _shifted(constants: Requantised) -> Requantised:
    """With the offset as a part of the sums where that changes no byte by more than a thousandth."""
    offset = constants.offset.astype(np.float64)
    whole = np.rint(offset / constants.multiplier)
    near = (np.abs(whole * constants.multiplier - offset) < _NEAR) & (np.abs(whole) < _MOST_SHIFT)
    shift = np.where(near, whole, 0).astype(np.int32)
    return replace(constants, shift=shift, offset=np.where(near, 0, constants.offset).astype(np.float32))


@dataclass(frozen=True)
class PixelInput:
    """From the float network's input to bytes of pixels: min(max(x * multiplier + offset, 0), 255), rounded to even.

    All are [C]: ``multiplier`` and ``offset`` float32, ``padding`` the byte nearest to a real 0.
    """

    multiplier: Floats
    offset: Floats
    padding: NDArray[np.uint8]


def pixel_input(mean: tuple[float, ...], std: tuple[float, ...]) -> PixelInput:
    """For a network whose input is (p / 255 - mean) / std."""
    multiplier, offset = 255 * np.asarray(std, dtype=np.float64), 255 * np.asarray(mean, dtype=np.float64)
    padding = np.rint(np.clip(offset, 0, 255)).astype(np.uint8)
    return PixelInput(multiplier.astype(np.float32), offset.astype(np.float32), padding)


def input_of(node: Node) -> bool:
    """Whether an operator reads the picture itself."""
    return isinstance(node.inputs[0], Input)
