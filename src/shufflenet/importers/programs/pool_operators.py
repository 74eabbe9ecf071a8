"""Pools, means and padding."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from shufflenet.importers.programs.draft import Layer, Value, padded, picked
from shufflenet.importers.programs.draft import global_average as averaged
from shufflenet.importers.programs.program import Operation
from shufflenet.importers.programs.translation import Translation
from shufflenet.importers.programs.windows import NO_EDGES, window_of
from shufflenet.networks.graph import Pad, Pool, WindowPool


def pool(t: Translation, operation: Operation) -> Value:
    value = t.value(operation)
    average = operation.operator == "AveragePool"
    kernel = operation.attributes["kernel_shape"]
    source, before = (None, NO_EDGES) if average else value.unpadded()
    if source is not None and not source.never_negative and value.layer.fill != -math.inf:
        source = None
    if source is None:
        source, before = t.planes(operation, value), NO_EDGES
    window = window_of(operation, source.size, kernel, before)
    counts = bool(operation.attributes.get("count_include_pad", 0))
    if window.dilations != (1, 1):
        raise operation.refused(f"dilations {list(window.dilations)}")
    name, out = t.name(operation), window.outputs()
    if average and window.kernel == source.size and not any(window.edges) and out == (1, 1):
        return Value.of(averaged(source, name))
    if window.kernel[0] != window.kernel[1]:
        raise operation.refused(f"kernel_shape {list(window.kernel)}: both sides must be the same")
    top, left, bottom, right = window.edges
    padding, more, ceil = top, bottom - top, window.ceil
    if left != top or bottom - top != right - left or more < 0 or top > window.kernel[0] // 2:
        raise operation.refused(f"pads {list(window.edges)}")
    if more and (average and counts):
        source, padding = padded(source, f"{name}.pad", top, bottom), 0
    elif more:
        ceil = replace(window, edges=(top, left, top, left), ceil=True).outputs() == out
        if not ceil:
            raise operation.refused(f"pads {list(window.edges)}")
    return Value.of(_pooled(name, source, window.kernel[0], window.stride, padding, ceil, average, counts, out))


def global_average(t: Translation, operation: Operation) -> Value:
    value = t.value(operation)
    shape = (1, value.shape[1], *[1] * (len(value.shape) - 2))
    return _mean(t, operation, value, shape)


def _mean(t: Translation, operation: Operation, value: Value, shape: tuple[int, ...]) -> Value:
    if value.layer.flat or value.layer.size == (1, 1):
        again = value.reshaped(shape)
        if again is None:
            raise operation.refused(f"from {list(value.shape)} to {list(shape)}: it takes means of channels")
        return again
    return Value.of(averaged(picked(value), t.name(operation)), shape)


def reduce_mean(t: Translation, operation: Operation) -> Value:
    value = t.value(operation)
    given = operation.attributes.get("axes") if len(operation.inputs) < 2 else t.constant(operation, 1)
    count = len(value.shape)
    axes = sorted(int(axis) % count for axis in ([] if given is None else np.ravel(given)))
    of_pixels = [axis for axis in range(value.channels.ndim, count) if value.shape[axis] > 1]
    if not set(of_pixels) <= set(axes) or any(value.shape[a] > 1 and a not in of_pixels for a in axes):
        raise operation.refused(f"axes {axes} of {list(value.shape)}: not all pixels of each channel")
    kept = operation.attributes.get("keepdims", 1)
    shape = [1 if axis in axes else length for axis, length in enumerate(value.shape) if kept or axis not in axes]
    return _mean(t, operation, value, tuple(shape))


def pad(t: Translation, operation: Operation) -> Value:
    given = operation.attributes.get("pads") if len(operation.inputs) < 2 else t.constant(operation, 1)
    values = t.constant(operation, 2) if len(operation.inputs) > 2 else operation.attributes.get("value", 0)
    filled = 0.0 if values is None else float(np.ravel(values)[0])
    if operation.attributes.get("mode", "constant") != "constant":
        raise operation.refused(f"mode {operation.attributes['mode']}")
    if given is None:
        raise operation.refused("pads is missing")
    pads = [int(each) for each in np.ravel(given)]
    value = t.value(operation)
    if not any(pads):
        return value
    source = t.planes(operation, value)
    if len(pads) != 8 or any(pads[place] for place in (0, 1, 4, 5)) or min(pads) < 0:
        raise operation.refused(f"pads {pads}: only planes can be padded")
    if filled not in (0.0, -math.inf):
        raise operation.refused(f"value {filled:g}")
    top, left, bottom, right = edges = pads[2], pads[3], pads[6], pads[7]
    size = source.size[0] + top + bottom, source.size[1] + left + right
    layer = Layer(Pad, t.name(operation), [source], source.channels, size, edges=edges, fill=filled)
    return Value.of(layer)


def _pooled(
    name: str, source: Layer, kernel_size: int, stride: int, padding: int, ceil: bool, average: bool, counts: bool,
    size: tuple[int, int],
) -> Layer:  # fmt: skip
    """The pool that the engine is fast at, where it is one."""
    kind = "average" if average else "max"
    usual = kernel_size == 3 and stride == 2 and padding <= 1
    fits = counts and padding == 1 and not ceil if average else source.never_negative and not (ceil and padding)
    if usual and fits:
        fields: dict[str, Any] = {"kind": kind, "padding": padding, "ceil": ceil}
        return Layer(Pool, name, [source], source.channels, size, fields)
    fields = {
        "kind": kind, "kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil": ceil,
        "counts_padding": average and counts,
    }  # fmt: skip
    return Layer(WindowPool, name, [source], source.channels, size, fields)
