"""The plan as it is written: steps, row tables and weights, and the rows' places in one arena (engine/plan.h)."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.layout import ROW_TAIL, ByteLayout, Layout, row_pitch
from shufflenet.networks.graph import Activation

MAGIC = 0x4C504E53
VERSION = 12
NO_TABLE = 0xFFFFFFFF
WHOLE = 0xFFFFFFFF
MOST_GROUP_STEPS = 16  # MAX_GROUP_STEPS in engine/kernels.h
_MOST_ARENA_WORDS = 1 << 28  # LIMIT in engine/builder.h

# The fields of each kind of step, in the order of its struct in engine/plan.h; kinds are numbered from 1. `Rows` say
# where a step reads (input, residual, factors) and writes (output), arrays are blocks of weights.
_POOL = (
    "channels",
    "height",
    "width",
    "in_pitch",
    "out_pitch",
    "padding",
    "out_height",
    "out_width",
    "input",
    "output",
)
_INT8_POOL = (
    "quads",
    "height",
    "width",
    "in_pitch",
    "out_pitch",
    "padding",
    "out_height",
    "out_width",
    "input",
    "output",
    "factors",
    "offsets",
)
KINDS: dict[str, tuple[str, ...]] = {
    "input": (
        "stride", "phases", "padding", "out_height", "out_pitch", "channels", "height", "width", "in_pitch", "stem",
        "around", "input", "output",
    ),
    "zero": ("count", "length", "word", "output"),
    "convolution": (
        "groups", "k", "m", "pixels", "width", "pitch", "in_pitch", "activation", "halo", "stem", "cold",
        "input", "output", "residual", "weights", "bias",
    ),
    "depthwise": (
        "kernel_size", "channels", "height", "width", "stride", "in_pitch", "out_pitch", "activation",
        "input", "output", "weights", "bias",
    ),
    "max_pool": _POOL,
    "average_pool": _POOL,
    "adaptive_average_pool": ("channels", "height", "width", "in_pitch", "out_height", "out_width", "input", "output"),
    "fully_connected": ("k", "m", "activation", "input", "output", "weights", "bias"),
    "scale": ("channels", "pixels", "activation", "input", "factors", "output", "residual"),
    "strips": ("count", "height", "lines", "sliding_begin", "sliding_words"),
    "int8_input": ("padding", "out_height", "out_pitch", "output", "factors", "offsets", "around"),
    "int8_convolution": (
        "groups", "k", "m", "pixels", "width", "pitch", "in_pitch", "reads", "writes", "activation", "around",
        "input", "output", "residual", "weights", "bias", "outputs",
    ),
    "int8_depthwise": (
        "kernel_size", "quads", "height", "width", "stride", "in_pitch", "out_pitch", "activation", "around",
        "input", "output", "weights", "bias", "outputs",
    ),
    "int8_max_pool": _INT8_POOL,
    "int8_average_pool": _INT8_POOL,
    "int8_adaptive_average_pool": (
        "quads", "height", "width", "in_pitch", "out_height", "out_width", "input", "output", "factors", "offsets",
    ),
    "int8_fully_connected": ("k", "m", "activation", "writes_bytes", "input", "output", "weights", "bias", "outputs"),
    "int8_scale": (
        "quads", "pixels", "width", "pitch", "activation", "input", "factors", "output", "residual", "zeros", "outputs",
    ),
    "int8_bytes_of_quads": ("quads", "height", "width", "in_pitch", "input", "output"),
    "window_pool": (
        "pooling", "kernel_size", "stride", "channels", "height", "width", "in_pitch", "out_pitch", "padding",
        "out_height", "out_width", "input", "output",
    ),
}  # fmt: skip
KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS, 1)}
ACTIVATIONS: dict[Activation, int] = {
    "linear": 0,
    "relu": 1,
    "sigmoid": 2,
    "hard_sigmoid": 3,
    "hard_swish": 4,
    "relu6": 5,
    "silu": 6,
    "gelu": 7,
}
POOLINGS = {"max": 0, "average": 1, "average_with_padding": 2}
DTYPES = {"float32": 1, "float16": 2, "int8": 3, "int32": 4}

HEADER = (
    "magic", "version", "block_count", "step_count", "table_count", "weight_bytes", "arena_words",
    "in_channels", "height", "width", "classes",
)  # fmt: skip
COMMON_FIELDS = ("kind", "source", "sliding_lines")
_STEP_WORDS = len(COMMON_FIELDS) + max(map(len, KINDS.values()))

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The rows of a row table: row i starts ``offsets[i]`` words behind the start of buffer number ``buffers[i]``."""

    buffers: Indices
    offsets: Indices

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, which: slice | Indices) -> Rows:
        return Rows(self.buffers[which], self.offsets[which])

    def shifted(self, words: int | Indices) -> Rows:
        return Rows(self.buffers, self.offsets + words)

    def places(self) -> list[tuple[int, int]]:
        return list(zip(self.buffers.tolist(), self.offsets.tolist(), strict=True))

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        return Rows(np.concatenate([p.buffers for p in parts]), np.concatenate([p.offsets for p in parts]))


@dataclass(frozen=True)
class Sliding:
    """How a step in strips reads and writes: ``source`` and ``lines`` are struct plan_step's in engine/plan.h."""

    source: int = WHOLE
    lines: int = 0


Weights = Floats | NDArray[np.float16] | NDArray[np.int8] | NDArray[np.int32]
Field = int | Rows | Weights


@dataclass
class _Step:
    kind: str
    fields: dict[str, Field]
    sliding: Sliding
    buffer: int | None = None  # of the sliding buffers of strips


@dataclass
class _Buffer:
    words: int
    layout: Layout | ByteLayout | None = None  # of its rows, if others may use them again
    first_use: int = -1
    last_use: int = -1
    offset: int = 0  # in the arena; known once all lifetimes are


@dataclass
class Steps:
    """Steps in the order in which they run, and the buffers that they use."""

    names: list[str] = field(default_factory=list)
    _steps: list[_Step] = field(default_factory=list)
    _strips: int | None = None  # the step that says how those behind it are run, if they are not all there
    _buffers: list[_Buffer] = field(default_factory=list)
    _idle: dict[Layout | ByteLayout, list[tuple[int, int]]] = field(default_factory=dict)
    _references: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, name: str, kind: str, *, sliding: Sliding | None = None, **fields: Field) -> None:
        """Adds a step with the ``fields`` that `KINDS` names for its ``kind``.

        Args:
            name: the layer's in `complexity.summary`, or what the step does that no layer is.
        """
        assert fields.keys() == set(KINDS[kind]), (kind, fields.keys() ^ set(KINDS[kind]))
        for value in fields.values():
            if isinstance(value, Rows):
                for number in np.unique(value.buffers).tolist():
                    buffer = self._buffers[number]
                    buffer.first_use = len(self._steps) if buffer.first_use < 0 else buffer.first_use
                    buffer.last_use = len(self._steps)
        self._steps.append(_Step(kind, fields, sliding or Sliding()))
        if self._strips is None:
            self.names.append(name)
        else:
            self.names[-1] += f" + {name}" if self.names[-1] else name

    def begin_strips(self, count: int, height: int, lines: int, sizes: Sequence[tuple[int, int]]) -> list[Rows]:
        """Begins a group of steps that are run in strips and have one name; returns rows of sliding buffers.

        Args:
            count: how many steps there will be.
            height, lines: what the last ones write, in all and in each strip.
            sizes: for each sliding buffer the number of its rows and the words of one.
        """
        assert self._strips is None
        rows, end = [], 0
        for number, words in sizes:
            pitch, front = row_pitch(words, 0)
            offsets = end + front + pitch * np.arange(number, dtype=np.int64)  # rows may be shifted into the front
            rows.append(Rows(np.full(number, len(self._buffers)), offsets))
            end += front + number * pitch
        self._buffers.append(_Buffer(end))
        self.add("", "strips", count=count, height=height, lines=lines, sliding_begin=0, sliding_words=end)
        self._strips = len(self._steps) - 1
        self._steps[-1].buffer = len(self._buffers) - 1
        return rows

    def end_strips(self) -> None:
        """Ends the group: the buffers that its steps use are in use from its first to its last step."""
        assert self._strips is not None
        for buffer in self._buffers:
            if buffer.last_use > self._strips:
                buffer.first_use = min(buffer.first_use, self._strips)
                buffer.last_use = len(self._steps) - 1
        self._strips = None

    def new_rows(self, count: int, words: int, guard: int = 0) -> Rows:
        """Room for ``count`` rows of ``words`` words, ``guard`` or more before and behind each, and the tail."""
        pitch, front = row_pitch(words, guard)
        self._buffers.append(_Buffer(front + count * pitch))
        return Rows(np.full(count, len(self._buffers) - 1), front + pitch * np.arange(count, dtype=np.int64))

    def rows(self, count: int, layout: Layout | ByteLayout) -> Rows:
        """Rows of ``layout`` that hold nothing: idle ones first, whose guards are zero already."""
        idle = self._idle.setdefault(layout, [])
        places = sorted(idle[max(0, len(idle) - count) :])
        del idle[len(idle) - len(places) :]
        parts = [Rows(*np.array(places, dtype=np.int64).reshape(-1, 2).T)]
        if len(places) < count:
            # Beside the guard, room for the zeros behind the last line and for the tail.
            guard = max(layout.guard, layout.pitch - layout.width + ROW_TAIL)
            new = self.new_rows(count - len(places), layout.words, guard)
            self._buffers[-1].layout = layout
            if layout.guard:
                gap = row_pitch(layout.words, guard)[0] - layout.words
                gaps = Rows.join([new[:1].shifted(-gap), new.shifted(layout.words)])
                self.add(
                    f"zero {layout.height}x{layout.width}", "zero",
                    count=len(gaps), length=gap, word=layout.word_around, output=gaps,
                )  # fmt: skip
            parts.append(new)
        return Rows.join(parts)

    def retain(self, rows: Rows) -> None:
        """Notes that a value consists of ``rows``."""
        self._references.update(rows.places())

    def release(self, rows: Rows) -> None:
        """Ends the use of a value's ``rows``; those that are part of no other become idle."""
        for place in rows.places():
            self._references[place] -= 1
            layout = self._buffers[place[0]].layout
            if self._references[place] == 0 and layout is not None:
                self._idle.setdefault(layout, []).append(place)

    def only_reference(self, rows: Rows) -> bool:
        """Whether no other value has a part in ``rows``."""
        return all(self._references[place] == 1 for place in rows.places())

    def serialise(self, in_channels: int, height: int, width: int, classes: int) -> bytes:
        """The plan's bytes.

        Raises:
            ValueError: the arena would be too large for the plan's offsets.
        """
        arena_words = self._lay_out()
        if arena_words >= _MOST_ARENA_WORDS:
            raise ValueError(f"pictures of {width} x {height} pixels are too large for one pass of this network")
        starts = np.array([buffer.offset for buffer in self._buffers], dtype=np.int64)
        records: list[bytes] = []
        tables: list[memoryview] = []
        blocks: list[bytes] = []
        weights: list[bytes] = []
        table_count = weight_bytes = 0
        for step in self._steps:
            words = [KIND_NUMBERS[step.kind], step.sliding.source, step.sliding.lines]
            for name in KINDS[step.kind]:
                value = step.fields[name]
                if isinstance(value, Rows):
                    words.append(table_count)
                    tables.append((starts[value.buffers] + value.offsets).astype(np.uint32).data)
                    table_count += len(value)
                elif isinstance(value, np.ndarray):
                    words.append(len(blocks))
                    data = value.tobytes()
                    blocks.append(struct.pack("<3I", DTYPES[value.dtype.name], value.size, weight_bytes))
                    weights.append(data + bytes(-len(data) % 4))
                    weight_bytes += len(weights[-1])
                elif name == "sliding_begin":
                    assert step.buffer is not None
                    words.append(int(starts[step.buffer]))
                else:
                    words.append(value)
            words += [0] * (_STEP_WORDS - len(words))
            records.append(struct.pack(f"<{_STEP_WORDS}I", *words))
        header = {
            "magic": MAGIC, "version": VERSION, "block_count": len(blocks), "step_count": len(records),
            "table_count": table_count, "weight_bytes": weight_bytes, "arena_words": arena_words,
            "in_channels": in_channels, "height": height, "width": width, "classes": classes,
        }  # fmt: skip
        packed = struct.pack(f"<{len(HEADER)}I", *(header[name] for name in HEADER))
        return b"".join([packed, *blocks, *records, *tables, *weights])

    def _lay_out(self) -> int:
        """Places every buffer, largest first, where none of the same time lies; returns the arena's words."""
        placed: list[_Buffer] = []
        for buffer in sorted(self._buffers, key=lambda b: -b.words):
            others = [b for b in placed if b.first_use <= buffer.last_use and buffer.first_use <= b.last_use]
            buffer.offset = 0
            for other in sorted(others, key=lambda b: b.offset):
                if buffer.offset + buffer.words <= other.offset:
                    break
                buffer.offset = max(buffer.offset, other.offset + other.words)
            placed.append(buffer)
        return max(b.offset + b.words for b in placed)
