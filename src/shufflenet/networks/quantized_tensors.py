"""A quantized network as named tensors, as a model file holds them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node, Pool
from shufflenet.networks.quantized import (
    MOST,
    MOST_OF_PIXELS,
    Activation,
    Layer,
    Quantized,
    carriers,
    check_served,
    constants_of,
    input_of,
    requantising,
)

Tensors = dict[str, NDArray[Any]]

_MOST_SCALE = 1e18
_SCALE, _ZERO_POINT = "output.scale", "output.zero_point"


def tensors_of(quantized: Quantized) -> Tensors:
    """NODE.weight int8, NODE.weight.scale float32 and NODE.bias int32 of each layer; NODE.output.scale float32 and
    NODE.output.zero_point uint8 of each activation, without the zero points where all are 0.
    """
    tensors: Tensors = {}
    for name, layer in quantized.layers.items():
        tensors |= {f"{name}.weight": layer.weight, f"{name}.weight.scale": layer.scale, f"{name}.bias": layer.bias}
    for name, activation in quantized.activations.items():
        tensors[f"{name}.{_SCALE}"] = activation.scale
        if activation.zero_point.any():
            tensors[f"{name}.{_ZERO_POINT}"] = activation.zero_point
    return tensors


def quantized_of(graph: Graph, tensors: Mapping[str, NDArray[Any]], about: dict[str, Any]) -> Quantized:
    """Checks the tensors of a file against the graph, and reads them.

    Raises:
        ValueError: a tensor is missing, one too many, of another type or shape, or has values that can't be right.
    """
    check_served(graph)
    left = dict(tensors)

    def take(name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
        if name not in left:
            raise ValueError(f"tensor {name!r} is missing")
        tensor = left.pop(name)
        if tensor.dtype != dtype:
            raise ValueError(f"tensor {name!r} is {tensor.dtype}, not {np.dtype(dtype)}")
        if tensor.shape != shape:
            raise ValueError(f"tensor {name!r} is {list(tensor.shape)}; its architecture says {list(shape)}")
        return tensor

    def scales(name: str, count: int) -> NDArray[np.float32]:
        tensor = take(name, np.float32, (count,))
        good = (tensor >= 1 / _MOST_SCALE) & (
            tensor <= _MOST_SCALE
        )  # so that no ratio of two is out of float32's range
        if not good.all():
            place = int(np.argmin(good))
            raise ValueError(
                f"tensor {name!r} holds {tensor[place]:g} at {place}; "
                f"scales are from {1 / _MOST_SCALE:g} to {_MOST_SCALE:g}"
            )
        return tensor

    layers: dict[str, Layer] = {}
    farthest: dict[Node, NDArray[np.int64]] = {}  # [M] each, the largest sum of an output by its absolute value
    for node in graph.nodes:
        if not isinstance(node, Convolution | FullyConnected):
            continue
        shape = node.tensor_shapes()[f"{node.name}.weight"]
        weight = take(f"{node.name}.weight", np.int8, shape)
        most = MOST_OF_PIXELS if input_of(node) else MOST
        if weight.min() < -most or weight.max() > most:
            raise ValueError(f"tensor {node.name + '.weight'!r} holds values beyond -{most}..{most}")
        scale = scales(f"{node.name}.weight.scale", node.channels)
        bias = take(f"{node.name}.bias", np.int32, (node.channels,))
        largest = np.abs(weight.reshape(len(bias), -1).astype(np.int64)).sum(axis=1) * (255 if input_of(node) else MOST)
        farthest[node] = largest + np.abs(bias.astype(np.int64))
        if farthest[node].max() >= 1 << 31:
            raise ValueError(f"tensor {node.name + '.bias'!r}: sums of {node.name} can be beyond 32 bits")
        layers[node.name] = Layer(weight, scale, bias)
    activations: dict[str, Activation] = {}
    for node in requantising(graph):
        scale = scales(f"{node.name}.{_SCALE}", node.channels)
        zero_point = np.zeros(node.channels, np.uint8)
        if f"{node.name}.{_ZERO_POINT}" in left:
            zero_point = take(f"{node.name}.{_ZERO_POINT}", np.uint8, (node.channels,))
            if zero_point.max() > MOST:
                raise ValueError(f"tensor {node.name + '.' + _ZERO_POINT!r} holds values beyond 0..{MOST}")
        activations[node.name] = Activation(scale, zero_point)
    if left:
        raise ValueError(f"tensor {min(left)!r} does not belong to this architecture")
    quantized = Quantized(layers, activations, about)
    _check_multipliers(graph, quantized, farthest)
    return quantized


def _check_multipliers(graph: Graph, quantized: Quantized, farthest: Mapping[Node, NDArray[np.int64]]) -> None:
    """Refuses scales that make numbers of sums which 32 bits may not hold before they are cut off at 0 and 127."""
    carried = carriers(graph)
    for node in (*requantising(graph), *carried):
        target = carried.get(node, node) if isinstance(node, Convolution) else node
        constants = constants_of(target, quantized, carried)
        taps = node.kernel_size**2 if isinstance(node, Pool) else 1
        sums = farthest.get(node, np.int64(MOST * taps)) + np.abs(constants.shift.astype(np.int64))
        if np.max(sums) >= 1 << 31:
            raise ValueError(f"the zero points of {node.name} make sums beyond 32 bits")
        reach = np.abs(constants.multiplier.astype(np.float64)) * sums
        reach = reach + np.abs(constants.offset)
        if constants.residual_multiplier is not None:
            reach = reach + MOST * np.abs(constants.residual_multiplier)
        if reach.max() >= 1 << 30:
            raise ValueError(f"the scales around {node.name} differ by more than 8 bits can bridge")
