"""Operators of a program that read nothing but constants, or shapes: their values are computed once, with NumPy.

Exporters write shapes and weights so. Only what they use for that is known here, and no result may be larger than
weights are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from shufflenet.importers.programs.program import MOST_AXES, Array, Operation

_MOST_ELEMENTS = 1 << 27
# ONNX's numbers of data types.
DTYPES: Mapping[int, str] = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
}  # fmt: skip

_Function = Callable[[Operation, Sequence[Any]], Array]


def evaluate(operation: Operation, inputs: Sequence[Array | None]) -> Array | None:
    """The value of an operator whose inputs, None where it leaves one out, are constants; None: not known here.

    Raises:
        ProgramError: its inputs can't be those of such an operator, or the value is too large.
    """
    function = _FUNCTIONS.get(operation.operator)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(operation, inputs))
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError):
        raise operation.refused("its constants don't suit it") from None


def _checked(shape: Sequence[Any]) -> tuple[int, ...]:
    if len(shape) > MOST_AXES:
        raise ValueError
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes) or math.prod(sizes) > _MOST_ELEMENTS:
        raise ValueError
    return sizes


def _axes(operation: Operation, inputs: Sequence[Any]) -> tuple[int, ...] | None:
    """Axes come as an attribute in older files and as an input in later ones."""
    given = inputs[1] if len(inputs) > 1 and inputs[1] is not None else operation.attributes.get("axes")
    return None if given is None else tuple(int(axis) for axis in np.ravel(given)[: MOST_AXES + 1])


def _constant(operation: Operation, _: Sequence[Any]) -> Array:
    for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if key in operation.attributes:
            dtype = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}.get(key)
            return np.asarray(operation.attributes[key], dtype)
    raise KeyError


def _constant_of_shape(operation: Operation, inputs: Sequence[Any]) -> Array:
    value = np.ravel(operation.attributes.get("value", np.zeros(1, "f4")))
    return np.full(_checked(inputs[0]), value[0])


def _slice(_: Operation, inputs: Sequence[Any]) -> Array:
    x, starts, ends, *more = inputs
    if len(starts) > MOST_AXES:
        raise ValueError
    axes = more[0] if more and more[0] is not None else range(len(starts))
    steps = more[1] if len(more) > 1 and more[1] is not None else [1] * len(starts)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        low = None if step < 0 and end < -x.shape[axis] else int(end)
        index[int(axis)] = slice(int(start), low, int(step))
    result: Array = x[tuple(index)]
    return result


def _expand(_: Operation, inputs: Sequence[Any]) -> Array:
    x, shape = inputs
    _checked(np.maximum(np.ones(len(shape), "i8"), shape))
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, _checked(shape)))


def _reshape(_: Operation, inputs: Sequence[Any]) -> Array:
    x, shape = inputs
    if len(shape) > MOST_AXES:
        raise ValueError
    sizes = [x.shape[place] if size == 0 else int(size) for place, size in enumerate(shape)]
    return np.asarray(x.reshape(sizes))


def _unsqueeze(operation: Operation, inputs: Sequence[Any]) -> Array:
    return np.asarray(np.expand_dims(inputs[0], _axes(operation, inputs) or ()))


def _shape(operation: Operation, inputs: Sequence[Any]) -> Array:
    start, end = operation.attributes.get("start", 0), operation.attributes.get("end")
    return np.array(inputs[0].shape[start:end], np.int64)


def _cast(operation: Operation, inputs: Sequence[Any]) -> Array:
    result: Array = inputs[0].astype(DTYPES[operation.attributes["to"]])
    return result


def _divide(_: Operation, inputs: Sequence[Any]) -> Array:
    x, y = inputs
    if x.dtype.kind == "f":
        return np.asarray(x / y)
    return np.asarray(np.trunc(np.divide(x, y)).astype(x.dtype))


def _range(_: Operation, inputs: Sequence[Any]) -> Array:
    start, limit, delta = (float(each.item()) for each in inputs)
    if abs((limit - start) / delta) > _MOST_ELEMENTS:
        raise ValueError
    return np.arange(start, limit, delta).astype(inputs[0].dtype)


def _flatten(operation: Operation, inputs: Sequence[Any]) -> Array:
    return np.asarray(inputs[0].reshape(math.prod(inputs[0].shape[: operation.attributes.get("axis", 1)]), -1))


def _clip(_: Operation, inputs: Sequence[Any]) -> Array:
    low, high, *_rest = [*inputs[1:], None, None]
    if any(bound is not None and bound.size != 1 for bound in (low, high)):
        raise ValueError
    return np.asarray(np.clip(inputs[0], low, high))


def _concat(operation: Operation, inputs: Sequence[Any]) -> Array:
    _checked([sum(x.size for x in inputs)])
    return np.concatenate(inputs, operation.attributes["axis"])


def _gather(operation: Operation, inputs: Sequence[Any]) -> Array:
    (x, index), axis = inputs, operation.attributes.get("axis", 0)
    _checked([x.size // max(x.shape[axis], 1) * index.size])
    return np.asarray(np.take(x, index, axis))


def _where(_: Operation, inputs: Sequence[Any]) -> Array:
    _checked(np.broadcast_shapes(*(x.shape for x in inputs)))
    return np.asarray(np.where(*inputs))


def _of_two(function: Callable[[Any, Any], Any]) -> _Function:
    def of_two(_: Operation, inputs: Sequence[Any]) -> Array:
        x, y = inputs
        _checked(np.broadcast_shapes(x.shape, y.shape))
        return np.asarray(function(x, y))

    return of_two


def _of_one(function: Callable[[Any], Any]) -> _Function:
    return lambda _, inputs: np.asarray(function(inputs[0]))


_FUNCTIONS: Mapping[str, _Function] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Clip": _clip,
    "Shape": _shape,
    "Cast": _cast,
    "Identity": _of_one(lambda x: x),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda operation, inputs: np.transpose(inputs[0], operation.attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Squeeze": lambda operation, inputs: np.squeeze(inputs[0], _axes(operation, inputs)),
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Expand": _expand,
    "Range": _range,
    "Add": _of_two(np.add),
    "Sub": _of_two(np.subtract),
    "Mul": _of_two(np.multiply),
    "Div": _divide,
    "Pow": _of_two(np.power),
    "Mod": _of_two(np.mod),
    "Max": _of_two(np.maximum),
    "Min": _of_two(np.minimum),
    "Equal": _of_two(np.equal),
    "Sqrt": _of_one(np.sqrt),
    "Sigmoid": _of_one(lambda x: 1 / (1 + np.exp(-x))),
    "Reciprocal": _of_one(np.reciprocal),
    "Neg": _of_one(np.negative),
    "Ceil": _of_one(np.ceil),
    "Floor": _of_one(np.floor),
    "Where": _where,
    "ReduceProd": lambda operation, inputs: np.prod(
        inputs[0], axis=_axes(operation, inputs), keepdims=bool(operation.attributes.get("keepdims", 1))
    ),
}
