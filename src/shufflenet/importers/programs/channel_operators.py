"""Operators on each number by itself: activations, and factors and offsets of each channel.

They join the layer before them where they can, and become a 1x1 depthwise convolution where they can't."""

from __future__ import annotations

import math

import numpy as np

from shufflenet.importers.programs.draft import Layer, Value
from shufflenet.importers.programs.names import name_of_weight
from shufflenet.importers.programs.program import Array, Operation
from shufflenet.importers.programs.translation import Translation
from shufflenet.importers.programs.weighted_operators import dense
from shufflenet.networks.graph import EPSILON, Activation, Add, Convolution, FullyConnected, Scale


def scaled(t: Translation, operation: Operation, value: Value, scale: Array, shift: Array) -> Value:
    """Each channel times a factor, plus an offset, both float64 [C]."""
    layer = value.layer
    if value.sole and value.whole and _takes_factors(layer):
        t.count(operation, sum(tensor.size for tensor in layer.tensors.values()))
        _take_in(layer, scale, shift)
        return value
    if layer.flat or not value.is_planes:
        source = t.vector(operation, value)
        if source.affine is not None:
            before, offset = source.affine
            scale, shift, source = scale * before, scale * offset + shift, source.inputs[0]
        behind = Layer(source.kind, source.name, [source], source.channels, (1, 1), affine=(scale, shift))
        return Value.of(behind, value.shape)
    source = t.planes(operation, value)
    own = _depthwise(source, t.name(operation), scale, shift)
    return Value.of(own)


def activated(t: Translation, operation: Operation, activation: Activation) -> Value:
    value = t.value(operation)
    layer = value.layer
    takes = activation == "relu" or layer.kind is not Scale
    if value.sole and value.whole and takes and layer.fields.get("activation") == "linear":
        layer.fields["activation"] = activation
        return value
    if layer.flat or not value.is_planes:
        source = t.vector(operation, value)
        t.count(operation, source.channels**2)
        same = np.eye(source.channels)
        behind = dense(t, operation, Value.of(source), same, None, f"{t.name(operation)}.identity")
        behind.layer.fields["activation"] = activation
        return Value.of(behind.layer, value.shape)
    own = _depthwise(t.planes(operation, value), t.name(operation))
    own.fields["activation"] = activation
    return Value.of(own)


def clip(t: Translation, operation: Operation) -> Value:
    low, high = (_bound(t, operation, place, key) for place, key in ((1, "min"), (2, "max")))
    if low == 0 and high == 6:
        return activated(t, operation, "relu6")
    if low == 0 and high == math.inf:
        return activated(t, operation, "relu")
    raise operation.refused(f"min {low:g} and max {high:g}; the engine clips at 0, and at 0 and 6")


def _bound(t: Translation, operation: Operation, place: int, key: str) -> float:
    values = t.constant(operation, place)
    given = operation.attributes.get(key) if values is None else values
    unbounded = -math.inf if key == "min" else math.inf
    value = unbounded if given is None else float(np.ravel(given)[0])
    return unbounded if abs(value) >= np.finfo(np.float32).max else value


def hard_sigmoid(t: Translation, operation: Operation) -> Value:
    alpha, beta = operation.attributes.get("alpha", 0.2), operation.attributes.get("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-6 or abs(beta - 0.5) > 1e-6:
        raise operation.refused(f"alpha {alpha:g} and beta {beta:g}; the engine has 1/6 and 0.5")
    return activated(t, operation, "hard_sigmoid")


def leaky(t: Translation, operation: Operation) -> Value:
    """x times its slope where it is negative: slope * x + relu((1 - slope) * x)."""
    value = t.value(operation)
    source = t.planes(operation, value)
    given = operation.attributes.get("alpha", 0.01) if len(operation.inputs) == 1 else t.weights(operation, 1)
    slope = np.broadcast_to(np.ravel(given).astype(np.float64), (source.channels,))
    if slope.max() > 1:
        raise operation.refused("a slope above 1")
    name = t.name(operation)
    bent = _depthwise(source, f"{name}.positive", 1 - slope)
    bent.fields["activation"] = "relu"
    straight = _depthwise(source, f"{name}.slope", slope)
    return Value.of(_sum(name, [bent, straight]))


def _per_channel(operation: Operation, value: Value, given: Array) -> Array:
    """A constant as float64 [C], if it is one number, or one for each channel."""
    if given.size == 1:
        return np.full(value.channels.size, float(np.ravel(given)[0]))
    shape = (1,) * (len(value.shape) - given.ndim) + given.shape
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    axis_of_channels = [axis for axis, length in enumerate(value.channels.shape) if length > 1]
    if len(shape) != len(value.shape) or axes != axis_of_channels or given.size != value.channels.size:
        raise operation.refused(f"a constant of {list(given.shape)} beside {list(value.shape)}: not one per channel")
    return np.ravel(given).astype(np.float64)


def arithmetic(t: Translation, operation: Operation) -> Value:
    """Add, Sub, Mul or Div of two values, or of a value and a constant."""
    operator = operation.operator
    constant = next((place for place in (0, 1) if operation.inputs[place] in t.constants), None)
    if constant is None:
        return _of_two(t, operation)
    value = t.value(operation, 1 - constant)
    given = _per_channel(operation, value, t.constants[operation.inputs[constant]])
    if not value.whole:
        value = Value.of(t.planes(operation, value))
    ones, zeros = np.ones(value.layer.channels), np.zeros(value.layer.channels)
    match operator, constant:
        case "Add", _:
            return scaled(t, operation, value, ones, given)
        case "Sub", 1:
            return scaled(t, operation, value, ones, -given)
        case "Sub", 0:
            return scaled(t, operation, value, -ones, given)
        case "Mul", _:
            return scaled(t, operation, value, given, zeros)
        case "Div", 1:
            return scaled(t, operation, value, 1 / given, zeros)
    raise operation.refused("it divides by what depends on the picture")


def _of_two(t: Translation, operation: Operation) -> Value:
    x, y = (t.value(operation, place) for place in (0, 1))
    name = t.name(operation)
    if operation.operator == "Sub" and x.is_planes and y.is_planes and x.shape == y.shape:
        less = t.planes(operation, y)
        return Value.of(_sum(name, [t.planes(operation, x), _depthwise(less, f"{name}.less", -np.ones(less.channels))]))
    if operation.operator == "Add" and x.is_planes and y.is_planes and x.shape == y.shape:
        return Value.of(_sum(name, [t.planes(operation, each) for each in (x, y)]))
    if operation.operator == "Add" and x.shape == y.shape and _sum_in_one(x, y):
        t.count(operation, sum(tensor.size for tensor in x.layer.tensors.values()))
        return x
    if operation.operator == "Mul":
        for planes, factors in ((x, y), (y, x)):
            channels = planes.shape[1] if len(planes.shape) == 4 else 0
            if planes.is_planes and factors.shape == (1, channels, 1, 1) and planes.shape != factors.shape:
                vector = t.vector(operation, factors)
                if vector.affine is not None:
                    break
                source = t.planes(operation, planes)
                fields = {"activation": "linear"}
                return Value.of(Layer(Scale, name, [source, vector], source.channels, source.size, fields))
    raise operation.refused(
        f"of {list(x.shape)} and {list(y.shape)}; the engine adds planes, and multiplies planes by one number for "
        "each channel"
    )


def _sum_in_one(x: Value, y: Value) -> bool:
    """Makes of two fully connected layers of the same vector, which nothing else reads, one that gives their sum."""
    first, second = x.layer, y.layer
    if not all(each.sole and each.whole and each.layer.kind is FullyConnected for each in (x, y)):
        return False
    if first is second or first.inputs != second.inputs or not (_takes_factors(first) and _takes_factors(second)):
        return False
    first.tensors |= {key: values + second.tensors[key] for key, values in first.tensors.items()}
    return True


def _takes_factors(layer: Layer) -> bool:
    """Whether its weights can take in a factor and an offset of each of its channels."""
    return layer.kind in (Convolution, FullyConnected) and not layer.affine and layer.fields["activation"] == "linear"


def _take_in(layer: Layer, scale: Array, shift: Array) -> None:
    part = "norm" if layer.fields.get("batch_norm") else ""
    weight, bias = (layer.tensors[f"{part}.{key}"].astype(np.float64) for key in ("weight", "bias"))
    layer.tensors[f"{part}.weight"] = (weight * scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
    layer.tensors[f"{part}.bias"] = (bias * scale + shift).astype(np.float32)


def _depthwise(source: Layer, name: str, scale: Array | None = None, shift: Array | None = None) -> Layer:
    """A 1x1 depthwise convolution: each channel times a factor, 1 by default, plus an offset."""
    channels = source.channels
    weight = np.ones(channels) if scale is None else scale
    bias = np.zeros(channels) if shift is None else shift
    fields = {
        "kernel_size": 1, "stride": 1, "padding": 0, "groups": channels, "batch_norm": "", "epsilon": EPSILON,
        "activation": "linear",
    }  # fmt: skip
    tensors = {".weight": weight.reshape(-1, 1, 1, 1).astype(np.float32), ".bias": bias.astype(np.float32)}
    return Layer(Convolution, name, [source], channels, source.size, fields, tensors)


def _sum(name: str, both: list[Layer]) -> Layer:
    return Layer(Add, name, both, both[0].channels, both[0].size, {"activation": "linear"})


def batch_norm(t: Translation, operation: Operation) -> Value:
    gamma, beta, mean, variance = (t.weights(operation, place).astype(np.float64) for place in range(1, 5))
    epsilon = float(operation.attributes.get("epsilon", 1e-5))
    if operation.attributes.get("training_mode", 0):
        raise operation.refused("training_mode: it is of a network that trains")
    value = t.value(operation)
    layer = value.layer
    if value.shape[1:2] != gamma.shape or not (gamma.shape == beta.shape == mean.shape == variance.shape):
        raise operation.refused(f"its tensors don't suit {value.shape[1]} channels")
    bare = _takes_factors(layer) and not layer.fields.get("batch_norm")
    if value.sole and value.whole and bare and layer.kind is Convolution and 0 < epsilon < 1:
        norm = name_of_weight(operation.inputs[1]) or f"{layer.name}_bn"
        layer.fields |= {"batch_norm": norm, "epsilon": epsilon}
        mean = mean - layer.tensors.pop(".bias")
        for key, values in (("weight", gamma), ("bias", beta), ("running_mean", mean), ("running_var", variance)):
            layer.tensors[f"norm.{key}"] = values.astype(np.float32)
        return Value.of(layer)
    scale = gamma / np.sqrt(variance + epsilon)
    return scaled(t, operation, value, scale, beta - mean * scale)
