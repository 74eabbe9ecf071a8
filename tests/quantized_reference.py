"""A quantized network in plain whole numbers, loop by loop: what the emulation and the engine have to agree with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import (
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
from shufflenet.networks.quantized import (
    PixelInput,
    Quantized,
    Requantised,
    activation_of,
    carriers,
    constants_of,
    input_of,
)

Bytes = NDArray[np.int64]


def run(
    graph: Graph, quantized: Quantized, pixels: PixelInput, x: NDArray[np.float32]
) -> dict[Node, NDArray[Any]]:  # fmt: skip
    """Every operator's output for one picture [C, H, W]: bytes, sums where those go on, factors or logits."""
    values: dict[Node, NDArray[Any]] = {graph.input: _pixels(x, pixels)}
    carried = carriers(graph)
    for node in graph.nodes[1:]:
        values[node] = _step(graph, quantized, pixels, node, values, carried)
    return values


def _pixels(x: NDArray[np.float32], pixels: PixelInput) -> Bytes:
    t = x * pixels.multiplier[:, None, None] + pixels.offset[:, None, None]
    assert t.dtype == np.float32
    pixel: Bytes = np.rint(np.clip(t, 0, 255)).astype(np.int64)
    return pixel


def _step(
    graph: Graph, quantized: Quantized, pixels: PixelInput, node: Node, values: dict[Node, NDArray[Any]],
    carried: dict[Node, Add],
) -> NDArray[Any]:  # fmt: skip
    read = [values[source] for source in node.inputs]
    first = read[0]
    match node:
        case Convolution() | FullyConnected():
            padding = (
                pixels.padding if input_of(node) else activation_of(node.inputs[0], quantized.activations).zero_point
            )
            layer = quantized.layers[node.name]
            if isinstance(node, Convolution):
                sums = _convolution(node, first, layer.weight.astype(np.int64), padding) + layer.bias[:, None, None]
            else:
                sums = layer.weight.astype(np.int64).reshape(len(layer.bias), -1) @ first + layer.bias
            shift = constants_of(carried.get(node, node), quantized, carried).shift
            sums = sums + shift.astype(np.int64).reshape(-1, *[1] * (sums.ndim - 1))
            assert np.abs(sums).max() < 1 << 31
            constants = constants_of(node, quantized, carried)
            if node in carried:
                return sums
            if node.name not in quantized.activations:
                return _function(constants.function, sums.astype(np.float32) * layer.scale)
            return _rounded(sums, constants)
        case Pool():
            windows = [[first[:, y, x] for y, x in places] for places in _windows(node, *first.shape[1:])]
            over = np.max if node.kind == "max" else np.sum
            pooled = np.stack([over(window, axis=0) for window in windows], axis=1)
            pooled = pooled.reshape(node.channels, *node.output_size(*first.shape[1:]))
            return pooled if node.kind == "max" else _rounded(pooled, constants_of(node, quantized, carried))
        case AdaptiveAveragePool():
            rows, columns = (_parts(size, node.size) for size in first.shape[1:])
            parts: list[NDArray[Any]] = [
                first[:, y0:y1, x0:x1].sum(axis=(1, 2)) for y0, y1 in rows for x0, x1 in columns
            ]
            means = constants_of(node, quantized, carried, *first.shape[1:])
            return _rounded(np.stack(parts, axis=1).ravel(), means)
        case Scale():
            constants = constants_of(node, quantized, carried)
            zero_point = activation_of(node.inputs[0], quantized.activations).zero_point.astype(np.int64)
            t = (first - zero_point[:, None, None]).astype(np.float32) * (read[1] * constants.multiplier)[:, None, None]
            return t if node in carried else _finished(t, constants)
        case Add():
            carrier = next((source for source in node.inputs if source in carried), node.inputs[0])
            residual = read[1] if carrier is node.inputs[0] else read[0]
            return _rounded(
                values[carrier], constants_of(node, quantized, carried), residual, isinstance(carrier, Scale)
            )
        case Concat():
            return np.concatenate(read)
        case Split():
            return first[node.first : node.first + node.channels]
        case Shuffle():
            return first[node.order]
        case _:
            raise TypeError(node)


def _convolution(node: Convolution, x: Bytes, weight: Bytes, padding: NDArray[np.uint8]) -> Bytes:
    channels, height, width = x.shape
    padded = np.empty((channels, height + 2 * node.padding, width + 2 * node.padding), np.int64)
    padded[:] = padding[:, None, None]
    padded[:, node.padding : node.padding + height, node.padding : node.padding + width] = x
    side = (node.kernel_size, node.kernel_size)
    windows = np.lib.stride_tricks.sliding_window_view(padded, side, axis=(1, 2))[:, :: node.stride, :: node.stride]
    inputs, outputs = channels // node.groups, node.channels // node.groups
    return np.stack(
        [np.einsum("khwyx,kyx->hw", windows[m // outputs * inputs :][:inputs], weight[m]) for m in range(node.channels)]
    )


def _windows(node: Pool, height: int, width: int) -> list[list[tuple[int, int]]]:
    """The pixels of each window that are not padding."""
    rows, columns = node.output_size(height, width)
    return [
        [
            (y, x)
            for y in range(2 * row - node.padding, 2 * row - node.padding + 3)
            for x in range(2 * column - node.padding, 2 * column - node.padding + 3)
            if 0 <= y < height and 0 <= x < width
        ]
        for row in range(rows)
        for column in range(columns)
    ]


def _parts(size: int, count: int) -> list[tuple[int, int]]:
    return [(math.floor(i * size / count), math.ceil((i + 1) * size / count)) for i in range(count)]


def _rounded(
    sums: NDArray[Any], constants: Requantised, residual: NDArray[Any] | None = None, scaled: bool = False
) -> Bytes:
    shape = [-1] + [1] * (sums.ndim - 1)
    t = sums.astype(np.float32)
    if not scaled:
        t = t * constants.multiplier.reshape(shape)
    if residual is not None:
        assert constants.residual_multiplier is not None
        if constants.function in ("linear", "relu"):
            t = (t + np.float32(12582912)) - np.float32(12582912)
        t = t + residual.astype(np.float32) * constants.residual_multiplier.reshape(shape)
    return _finished(t, constants)


def _finished(t: NDArray[np.float32], constants: Requantised) -> Bytes:
    shape = [-1] + [1] * (t.ndim - 1)
    t = t + constants.offset.reshape(shape)
    if constants.gain is not None and constants.zero is not None:
        t = _function(constants.function, t) * constants.gain.reshape(shape) + constants.zero.reshape(shape)
    return _clamped(t)


def _function(function: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    match function:
        case "relu":
            return np.maximum(x, np.float32(0))
        case "sigmoid":
            return np.float32(1) / (np.float32(1) + _exponential(np.clip(-x, np.float32(-30), np.float32(30))))
        case "hard_sigmoid":
            return _hard_sigmoid(x)
        case "hard_swish":
            return x * _hard_sigmoid(x)
        case _:
            return x


def _hard_sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = np.clip(x + np.float32(3), np.float32(0), np.float32(6)) * np.float32(1 / 6)
    return result


def _exponential(x: NDArray[np.float32]) -> NDArray[np.float32]:
    whole = np.rint(x * np.float32(1.44269504))
    rest = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    total = np.full_like(rest, np.float32(1 / 720))
    for factor in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1):
        total = total * rest + np.float32(factor)
    result: NDArray[np.float32] = np.ldexp(total, whole.astype(np.int32))
    return result


def _clamped(t: NDArray[np.float32]) -> Bytes:
    assert t.dtype == np.float32
    return np.rint(np.clip(t, 0, 127)).astype(np.int64)
