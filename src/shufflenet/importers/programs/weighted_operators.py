"""Operators with weights: convolutions, fully connected layers and batch norm."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers.programs.draft import Layer, Value, padded
from shufflenet.importers.programs.names import name_of_weight
from shufflenet.importers.programs.program import Array, Operation
from shufflenet.importers.programs.translation import Translation
from shufflenet.importers.programs.windows import NO_EDGES, squared, window_of
from shufflenet.networks.graph import EPSILON, Convolution, FullyConnected


def convolution(t: Translation, operation: Operation) -> Value:
    value, weight = t.value(operation), t.weights(operation, 1).astype(np.float32)
    bias = t.constant(operation, 2)
    groups = int(operation.attributes.get("group", 1))
    name = name_of_weight(operation.inputs[1]) or t.name(operation)
    if weight.ndim == 3:
        return _along_channels(t, operation, value, weight, bias, name)
    if weight.ndim != 4 or value.shape[1] != weight.shape[1] * groups or len(weight) % groups:
        raise operation.refused(f"its weights {list(weight.shape)} don't suit {value.shape[1]} channels")
    if value.layer.flat or (value.layer.size == (1, 1) and not value.is_planes):
        if weight.shape[2:] != (1, 1) or any(operation.attributes.get("pads") or ()):
            raise operation.refused("it reads a vector by a window")
        t.count(operation, weight.size * groups)
        return dense(t, operation, value, _ungrouped(weight[:, :, 0, 0], groups), bias, name)
    source, before = value.unpadded()
    if source is None or value.layer.fill:
        source, before = t.planes(operation, value), NO_EDGES
    window = window_of(operation, source.size, operation.attributes.get("kernel_shape") or weight.shape[2:], before)
    if window.kernel != weight.shape[2:]:
        raise operation.refused(f"kernel_shape {list(window.kernel)}, but its weights are {list(weight.shape)}")
    square = squared(window)
    if square is None:
        raise operation.refused(f"pads {list(window.edges)}: they differ too much from edge to edge")
    if square.before or square.after:
        source = padded(source, f"{name}.pad", square.before, square.after)
    t.count(operation, len(weight) * weight.shape[1] * square.side**2)
    fields = {
        "kernel_size": square.side, "stride": window.stride, "padding": square.padding,
        "groups": groups, "batch_norm": "", "epsilon": EPSILON, "activation": "linear",
    }  # fmt: skip
    tensors = {".weight": square.enlarged(weight), ".bias": _offsets(operation, bias, len(weight))}
    return Value.of(Layer(Convolution, name, [source], len(weight), window.outputs(), fields, tensors))


def _along_channels(
    t: Translation, operation: Operation, value: Value, weight: Array, bias: Array | None, name: str
) -> Value:
    """A convolution along the channels of a vector [1, 1, C], as a fully connected layer."""
    length, side = value.layer.channels, weight.shape[2]
    pads = operation.attributes.get("pads") or (0, 0)
    usual = all(each == 1 for key in ("strides", "dilations") for each in operation.attributes.get(key) or (1,))
    if value.shape != (1, 1, length) or weight.shape[:2] != (1, 1) or not usual or sum(pads) != side - 1:
        raise operation.refused("a convolution along one axis, but not along a vector's channels")
    if bias is not None and bias.size != 1:
        raise operation.refused(f"its bias is {list(bias.shape)}, not [1]")
    t.count(operation, length**2)
    matrix = np.zeros((length, length), np.float32)
    for tap in range(side):
        matrix += np.eye(length, length, tap - pads[0], np.float32) * weight[0, 0, tap]
    offset = None if bias is None else np.repeat(bias, length)
    return dense(t, operation, value, matrix, offset, name)


def dense(t: Translation, operation: Operation, value: Value, weight: Array, bias: Array | None, name: str) -> Value:
    """A fully connected layer of weights [out, in]; the result has the input's shape, but for its channels."""
    source = t.vector(operation, value)
    if weight.shape[1] != source.channels:
        raise operation.refused(f"its weights {list(weight.shape)} don't suit {source.channels} channels")
    t.count(operation, weight.size)
    wide, offset = weight.astype(np.float64), _offsets(operation, bias, len(weight)).astype(np.float64)
    if source.affine is not None:
        scale, shift = source.affine
        offset, wide, source = offset + wide @ shift, wide * scale, source.inputs[0]
    fields = {"activation": "linear", "pointwise": False}
    tensors = {".weight": wide.astype(np.float32), ".bias": offset.astype(np.float32)}
    layer = Layer(FullyConnected, name, [source], len(weight), (1, 1), fields, tensors)
    shape = [len(weight) if length == value.layer.channels else length for length in value.shape]
    return Value.of(layer, tuple(shape) if math.prod(shape) == len(weight) else (1, len(weight)))


def gemm(t: Translation, operation: Operation) -> Value:
    given = operation.attributes
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
        raise operation.refused("transA, alpha or beta")
    weight = t.weights(operation, 1)
    weight = weight if given.get("transB", 0) else weight.T
    return _linear(t, operation, weight, t.constant(operation, 2))


def matmul(t: Translation, operation: Operation) -> Value:
    return _linear(t, operation, t.weights(operation, 1).T, None)


def _linear(t: Translation, operation: Operation, weight: Array, bias: Array | None) -> Value:
    value = t.value(operation)
    if weight.ndim != 2 or math.prod(value.shape) != value.shape[-1]:
        raise operation.refused(f"it multiplies {list(value.shape)} and {list(weight.T.shape)}, not one row")
    name = name_of_weight(operation.inputs[1]) or t.name(operation)
    return dense(t, operation, value, weight, None if bias is None else np.ravel(bias), name)


def _ungrouped(weight: Array, groups: int) -> Array:
    """Weights [out, in / groups] of groups as those [out, in] without."""
    if groups == 1:
        return weight
    count, width = len(weight) // groups, weight.shape[1]
    whole = np.zeros((len(weight), width * groups), weight.dtype)
    for group in range(groups):
        rows = slice(group * count, (group + 1) * count)
        whole[rows, group * width : (group + 1) * width] = weight[rows]
    return whole


def _offsets(operation: Operation, bias: Array | None, count: int) -> NDArray[np.float32]:
    if bias is None:
        return np.zeros(count, np.float32)
    if bias.size == 1:
        bias = np.full(count, bias.ravel()[0])
    if bias.shape != (count,):
        raise operation.refused(f"its bias is {list(bias.shape)}, not [{count}]")
    return bias.astype(np.float32)
