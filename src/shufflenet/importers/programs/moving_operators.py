"""Operators that only move values: shapes, orders, parts and concatenations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from shufflenet.importers.programs.draft import Layer, Value, concatenated, picked
from shufflenet.importers.programs.program import MOST_AXES, Operation
from shufflenet.importers.programs.translation import Translation
from shufflenet.networks.graph import AdaptiveAveragePool


def _shaped(t: Translation, operation: Operation, shape: tuple[int, ...]) -> Value:
    value = t.value(operation)
    if math.prod(shape) != math.prod(value.shape):
        raise operation.refused(f"{list(value.shape)} has not as many values as {list(shape)}")
    again = value.reshaped(shape)
    if again is not None:
        return _settled(again)
    layer, (height, width) = value.layer, value.layer.size
    if value.is_planes and height == width and max(shape) == math.prod(shape):
        source = picked(value)
        flat = Layer(
            AdaptiveAveragePool, t.name(operation), [source], source.channels * height * width, (1, 1),
            {"size": height},
        )  # fmt: skip
        return Value.of(flat, shape)
    raise operation.refused(f"from {list(value.shape)} to {list(shape)}: it mixes {layer.name}'s channels and pixels")


def reshape(t: Translation, operation: Operation) -> Value:
    given, before = t.constant(operation, 1), t.value(operation).shape
    if given is None or given.size > MOST_AXES:
        raise operation.refused("its shape is missing, or has too many axes")
    keeps = not operation.attributes.get("allowzero", 0)
    shape = [before[axis] if each == 0 and keeps else int(each) for axis, each in enumerate(given.tolist())]
    if -1 in shape:
        known = math.prod(length for length in shape if length != -1)
        shape[shape.index(-1)] = math.prod(before) // known if known else 0
    return _shaped(t, operation, tuple(shape))


def flatten(t: Translation, operation: Operation) -> Value:
    shape, axis = t.value(operation).shape, operation.attributes.get("axis", 1)
    return _shaped(t, operation, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def squeeze(t: Translation, operation: Operation) -> Value:
    shape = t.value(operation).shape
    given = t.constant(operation, 1) if len(operation.inputs) > 1 else operation.attributes.get("axes")
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    axes = ones if given is None else [int(axis) % len(shape) for axis in np.ravel(given)]
    return _shaped(t, operation, tuple(length for axis, length in enumerate(shape) if axis not in axes))


def unsqueeze(t: Translation, operation: Operation) -> Value:
    given: Any = t.constant(operation, 1) if len(operation.inputs) > 1 else operation.attributes["axes"]
    empty = np.expand_dims(np.empty(t.value(operation).shape, np.bool_), tuple(int(a) for a in np.ravel(given)))
    return _shaped(t, operation, empty.shape)


def transpose(t: Translation, operation: Operation) -> Value:
    value = t.value(operation)
    axes = list(operation.attributes.get("perm") or range(len(value.shape) - 1, -1, -1))
    moved = value.transposed(axes)
    if moved is None:
        shape = tuple(value.shape[axis] for axis in axes)
        long = [axis for axis in axes if value.shape[axis] > 1]
        moved = value.reshaped(shape) if long == sorted(long) else None
    if moved is None:
        raise operation.refused(f"perm {axes} of {list(value.shape)}: it mixes channels and pixels")
    return _settled(moved)


def concat(t: Translation, operation: Operation) -> Value:
    values = [t.value(operation, place) for place in range(len(operation.inputs))]
    t.count(operation, sum(value.channels.size for value in values))
    axis = operation.attributes["axis"] % len(values[0].shape)
    if len(values) == 1:
        return values[0]
    planes = {value.plane for value in values}
    if len(planes) != 1 or axis >= values[0].channels.ndim or any(value.layer.flat for value in values):
        raise operation.refused(f"axis {axis} of {[list(value.shape) for value in values]}")
    if all(value.layer is values[0].layer for value in values):
        together = np.concatenate([value.channels for value in values], axis)
        return _settled(replace(values[0], channels=together, sole=False))
    return _settled(concatenated(values, axis, t.name(operation))[1])


def split(t: Translation, operation: Operation) -> list[Value]:
    value = t.value(operation)
    axis = operation.attributes.get("axis", 0) % len(value.shape)
    given = t.constant(operation, 1) if len(operation.inputs) > 1 else operation.attributes.get("split")
    parts, length = len(operation.outputs), value.shape[axis]
    each = -(-length // parts)
    sizes = [each] * (parts - 1) + [length - each * (parts - 1)] if given is None else np.ravel(given).tolist()
    ends = np.cumsum(sizes).tolist()
    return [_part(operation, value, slice(end - n, end), axis) for n, end in zip(sizes, ends, strict=True)]


def slice_channels(t: Translation, operation: Operation) -> Value:
    given = operation.attributes
    limits: list[Any] = [
        t.constant(operation, place) if len(operation.inputs) > 1 else given.get(key)
        for place, key in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps"))
    ]
    starts, ends, axes, steps = limits
    if len(starts) > MOST_AXES:
        raise operation.refused(f"{len(starts):,} starts")
    value = t.value(operation)
    which = range(len(starts)) if axes is None else axes
    by = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, which, by, strict=True):
        value = _part(operation, value, slice(int(start), int(end), int(step)), int(axis) % len(value.shape))
    return value


def gather(t: Translation, operation: Operation) -> Value:
    index = t.constant(operation, 1)
    value = t.value(operation)
    if index is None:
        raise operation.refused("its indices are missing")
    axis = operation.attributes.get("axis", 0) % len(value.shape)
    t.count(operation, math.prod(value.shape) // max(value.shape[axis], 1) * index.size)
    return _part(operation, value, index if index.ndim else int(index), axis)


def _part(operation: Operation, value: Value, index: Any, axis: int) -> Value:
    if isinstance(index, slice) and index.indices(value.shape[axis]) == (0, value.shape[axis], 1):
        return value
    part = value.taken(index, axis)
    if part is None or not part.channels.size:
        raise operation.refused(f"axis {axis} of {list(value.shape)}: only channels can be taken")
    return _settled(replace(part, sole=False))


def same(t: Translation, operation: Operation) -> Value:
    return t.value(operation)


def _settled(value: Value) -> Value:
    """A value whose channels are in another order than its layer's, as planes again: shuffled at once."""
    if value.whole or not value.is_planes or value.channels.size != value.layer.channels:
        return value
    try:
        return Value.of(picked(value))
    except ValueError:
        return value  # it may be split before it is read
