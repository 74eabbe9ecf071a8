"""From a model to a plan: batch norm folded, rows laid out in one arena, every operator's row tables written.

The plan is the engine's input, described in engine/plan.h. A channel is a row of pixels; operators find their rows
through tables, so the channel shuffle, the concatenation and the groups cost nothing when the plan runs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shufflenet.arch import STAGE_UNITS, Architecture, Unit
from shufflenet.model_file import Model

MAGIC = 0x4C504E53
VERSION = 1
ROW_ALIGNMENT = 16  # floats
ROW_TAIL = ROW_ALIGNMENT - 1
NO_TABLE = 0xFFFFFFFF
STEP_FIELDS = 15

INPUT, ZERO, CONVOLUTION, DEPTHWISE, MAX_POOL, AVERAGE_POOL, GLOBAL_AVERAGE, CLASSIFIER = range(1, 9)

# Batch norm's epsilon, as in network.py.
EPSILON = 1e-5

Floats = NDArray[np.float32]


@dataclass(eq=False)
class _Buffer:
    """Rows of one size in the arena; where they lie is known once all lifetimes are."""

    floats: int
    pitch: int  # from one row to the next
    rows: NDArray[np.int64]  # where each row starts, from the buffer's start
    first_use: int = -1
    last_use: int = -1
    offset: int = 0

    def table(self, which: slice = slice(None)) -> _Table:
        return _Table(self, self.rows[which])


@dataclass(eq=False)
class _Table:
    """Rows that a step reads or writes: of each row its buffer's start plus ``rows``."""

    buffer: _Buffer
    rows: NDArray[np.int64]


@dataclass
class _Builder:
    steps: list[tuple[int, list[int | _Table | Floats]]] = field(default_factory=list)
    step_names: list[str] = field(default_factory=list)
    buffers: list[_Buffer] = field(default_factory=list)

    def buffer(self, rows: int, pixels: int, guard: int = 0) -> _Buffer:
        """Room for ``rows`` rows of ``pixels`` floats, ``guard`` or more floats before and after each, and the tail."""
        guard = max(guard, ROW_TAIL)
        # An odd number of cache lines: a power of two would put all rows of a group into the same few cache sets.
        pitch = _round_up(pixels + guard, ROW_ALIGNMENT)
        pitch += ROW_ALIGNMENT * (pitch // ROW_ALIGNMENT % 2 == 0)
        front = _round_up(pitch - pixels, ROW_ALIGNMENT)
        buffer = _Buffer(front + rows * pitch, pitch, front + pitch * np.arange(rows, dtype=np.int64))
        self.buffers.append(buffer)
        return buffer

    def step(self, name: str, kind: int, *fields: int | _Table | Floats) -> None:
        """``name`` is the layer's in `complexity.summary`, or says what the step does that no layer is."""
        for value in fields:
            if isinstance(value, _Table):
                buffer = value.buffer
                buffer.first_use = len(self.steps) if buffer.first_use < 0 else buffer.first_use
                buffer.last_use = len(self.steps)
        self.steps.append((kind, list(fields)))
        self.step_names.append(name)

    def convolution(
        self, name: str, weight: Floats, bias: Floats, groups: int, source: _Table, target: _Table, pixels: int, *,
        relu: bool, lines: int = 1, in_pitch: int = 0, out_pitch: int = 0, residual: bool = False,
    ) -> None:  # fmt: skip
        """weight [groups * m, k]. ``residual``: what stands in ``target`` is added."""
        outputs, k = weight.shape
        self.step(
            name, CONVOLUTION, groups, k, outputs // groups, lines, pixels, in_pitch, out_pitch, int(relu),
            source, target, target if residual else NO_TABLE, weight, bias,
        )  # fmt: skip

    def lay_out(self) -> int:
        """Places every buffer, largest first, where none of the same time lies; returns the arena's floats."""
        placed: list[_Buffer] = []
        for buffer in sorted(self.buffers, key=lambda b: -b.floats):
            others = [b for b in placed if b.first_use <= buffer.last_use and buffer.first_use <= b.last_use]
            buffer.offset = 0
            for other in sorted(others, key=lambda b: b.offset):
                if buffer.offset + buffer.floats <= other.offset:
                    break
                buffer.offset = max(buffer.offset, other.offset + other.floats)
            placed.append(buffer)
        return max(b.offset + b.floats for b in placed)

    def serialise(self, arch: Architecture, height: int, width: int) -> bytes:
        arena_floats = self.lay_out()
        records, tables, weights = [], [np.empty(0, np.uint32)], [np.empty(0, np.float32)]
        table_count = weight_count = 0
        for kind, fields in self.steps:
            words = [kind]
            for value in fields:
                if isinstance(value, _Table):
                    words.append(table_count)
                    tables.append((value.buffer.offset + value.rows).astype(np.uint32))
                    table_count += len(value.rows)
                elif isinstance(value, np.ndarray):
                    words.append(weight_count)
                    weights.append(value.astype(np.float32).ravel())
                    weight_count += value.size
                else:
                    words.append(value)
            records.append(struct.pack(f"<{1 + STEP_FIELDS}I", *words, *[0] * (1 + STEP_FIELDS - len(words))))
        header = struct.pack(
            "<10I", MAGIC, VERSION, len(records), table_count, weight_count, arena_floats,
            arch.in_channels, height, width, arch.classes,
        )  # fmt: skip
        tail = np.concatenate(tables).astype("<u4").tobytes() + np.concatenate(weights).astype("<f4").tobytes()
        return header + b"".join(records) + tail


def make_plan(model: Model, height: int, width: int) -> bytes:
    """The plan of ``model`` for pictures of ``height`` x ``width`` pixels.

    Raises:
        ValueError: as `step_names`.
    """
    return _build(model, height, width).serialise(model.arch, height, width)


def step_names(model: Model, height: int, width: int) -> list[str]:
    """What each step of the plan is called: the layer that it computes, where it is one.

    Raises:
        ValueError: the size is below 32 or so large that the arena would not fit the plan's 32-bit offsets.
    """
    return _build(model, height, width).step_names


def _build(model: Model, height: int, width: int) -> _Builder:
    if height < 32 or width < 32:
        raise ValueError(f"pictures must be at least 32 x 32 pixels, not {width} x {height}")
    if height * width > 1 << 24:
        raise ValueError(f"pictures of {width} x {height} pixels are too large for one pass; at most 2^24 pixels")
    arch = model.arch
    builder = _Builder()
    trunk, height, width = _add_stem(builder, model, height, width)
    for stage in STAGE_UNITS:
        first, *others = (unit for unit in arch.units() if unit.stage == stage)
        trunk = _add_stride2_unit(builder, model, first, trunk, height, width)
        height, width = _halved(height), _halved(width)
        _add_stride1_units(builder, model, others, trunk, height, width)
    features = builder.buffer(1, arch.features)
    builder.step("global_pool", GLOBAL_AVERAGE, arch.features, height * width, trunk.table(), features.table())
    weight, bias = model.tensors["fc.weight"], model.tensors["fc.bias"]
    builder.step("fc", CLASSIFIER, arch.features, features.table(), weight, bias)
    return builder


def _add_stem(builder: _Builder, model: Model, height: int, width: int) -> tuple[_Buffer, int, int]:
    """Conv1 as shifted rows over the padded picture, then the max pool."""
    arch = model.arch
    stride, channels = arch.stem_stride, arch.stem_channels
    out_height, out_width = (height - 1) // stride + 1, (width - 1) // stride + 1
    # The padded picture is split by row and column parity, so that each tap reads neighbouring pixels.
    rows, pitch = out_height + 2 // stride, _round_up(out_width + 2 // stride, ROW_ALIGNMENT)
    padded = builder.buffer(arch.in_channels * stride * stride, rows * pitch)
    builder.step("input", INPUT, stride, rows, pitch, padded.table())
    plane = padded.rows.reshape(arch.in_channels, stride, stride)
    taps = [
        plane[c, y % stride, x % stride] + y // stride * pitch + x // stride
        for c in range(arch.in_channels)
        for y in range(3)
        for x in range(3)
    ]
    out_pitch = _round_up(out_width, ROW_ALIGNMENT)
    conv1 = builder.buffer(channels, out_height * out_pitch)
    weight, bias = _folded(model, "conv1", "bn1")
    builder.convolution(
        "conv1", weight, bias, 1, _Table(padded, np.array(taps)), conv1.table(), out_width,
        relu=True, lines=out_height, in_pitch=pitch, out_pitch=out_pitch,
    )  # fmt: skip
    pooled = builder.buffer(channels, _halved(out_height) * _halved(out_width))
    builder.step("maxpool", MAX_POOL, channels, out_height, out_width, out_pitch, conv1.table(), pooled.table())
    return pooled, _halved(out_height), _halved(out_width)


def _add_stride2_unit(builder: _Builder, model: Model, unit: Unit, source: _Buffer, height: int, width: int) -> _Buffer:
    """Figure 2c: the average pool and the second convolution write their shares of the concatenation."""
    middle, pixels = unit.bottleneck_channels, height * width
    out_pixels = _halved(height) * _halved(width)
    wide = builder.buffer(middle, pixels)
    narrow = builder.buffer(middle, out_pixels)
    target = builder.buffer(unit.out_channels, out_pixels)
    name = f"{unit.name}.pointwise1"
    weight, bias = _folded(model, name, f"{unit.name}.bn1")
    builder.convolution(name, weight, bias, unit.groups1, source.table(), wide.table(), pixels, relu=True)
    _add_depthwise(builder, model, unit, wide, narrow, height, width)
    shortcut, branch = slice(0, unit.in_channels), slice(unit.in_channels, None)
    builder.step(
        f"{unit.name}.shortcut", AVERAGE_POOL,
        unit.in_channels, height, width, width, source.table(), target.table(shortcut),
    )  # fmt: skip
    name = f"{unit.name}.pointwise2"
    weight, bias = _folded(model, name, f"{unit.name}.bn3")
    # The shortcut is an average of values after a ReLU, so the ReLU behind the concatenation is the branch's alone.
    builder.convolution(name, weight, bias, unit.groups2, narrow.table(), target.table(branch), out_pixels, relu=True)
    return target


def _add_stride1_units(
    builder: _Builder, model: Model, units: Sequence[Unit], trunk: _Buffer, height: int, width: int
) -> None:
    """Figure 2b: each unit adds to the trunk in place."""
    middle, pixels = units[0].bottleneck_channels, height * width
    guard = width + 1
    expanded = builder.buffer(middle, pixels, guard)
    filtered = builder.buffer(middle, pixels)
    # The depthwise convolution finds zeros around each row; nothing else writes there while the stage runs.
    gap = expanded.pitch - pixels
    gaps = np.concatenate((expanded.rows[:1] - gap, expanded.rows + pixels))
    builder.step(f"stage{units[0].stage}.zero", ZERO, len(gaps), gap, _Table(expanded, gaps))
    for unit in units:
        name = f"{unit.name}.pointwise1"
        weight, bias = _folded(model, name, f"{unit.name}.bn1")
        builder.convolution(name, weight, bias, unit.groups1, trunk.table(), expanded.table(), pixels, relu=True)
        _add_depthwise(builder, model, unit, expanded, filtered, height, width)
        name = f"{unit.name}.pointwise2"
        weight, bias = _folded(model, name, f"{unit.name}.bn3")
        builder.convolution(
            name, weight, bias, unit.groups2, filtered.table(), trunk.table(), pixels, relu=True, residual=True
        )


def _add_depthwise(
    builder: _Builder, model: Model, unit: Unit, source: _Buffer, target: _Buffer, height: int, width: int
) -> None:
    """Reads its rows in shuffled order: the channel shuffle is this table."""
    groups = unit.groups2 if model.arch.shuffle else 1
    order = np.arange(unit.bottleneck_channels).reshape(groups, -1).T.ravel()
    name = f"{unit.name}.depthwise"
    weight, bias = _folded(model, name, f"{unit.name}.bn2")
    table = _Table(source, source.rows[order])
    builder.step(name, DEPTHWISE, len(order), height, width, unit.stride, table, target.table(), weight, bias)


def _folded(model: Model, convolution: str, batch_norm: str) -> tuple[Floats, Floats]:
    """Weight [out, the rest] and bias [out] of a convolution and the batch norm behind it, as one convolution."""
    weight = model.tensors[f"{convolution}.weight"].astype(np.float64)
    gamma, beta, mean, variance = (
        model.tensors[f"{batch_norm}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    folded = weight.reshape(len(scale), -1) * scale[:, None]
    return folded.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _halved(size: int) -> int:
    """Output pixels of a 3x3 window with stride 2 and padding 1."""
    return (size - 1) // 2 + 1


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
