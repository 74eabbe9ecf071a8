"""The plan as it is written: steps, row tables and weights, and the rows' places in one arena (engine/plan.h)."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x4C504E53
VERSION = 7
ROW_ALIGNMENT = 16  # floats
ROW_TAIL = ROW_ALIGNMENT - 1
NO_TABLE = 0xFFFFFFFF
HEADER_FIELDS = 10
STEP_FIELDS = 16
WHOLE = 0xFFFFFFFF
MOST_GROUP_STEPS = 16  # MAX_GROUP_STEPS in engine/kernels.h
_MOST_ARENA_FLOATS = 1 << 28  # LIMIT in engine/create.c

INPUT, ZERO, CONVOLUTION, DEPTHWISE, MAX_POOL, AVERAGE_POOL, MEANS, FULLY_CONNECTED, SCALE, STRIPS = range(1, 11)

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How a channel's plane lies in its row: lines of ``width`` floats, ``pitch`` from one to the next.

    If ``padding`` is not 0, an operator looks as many pixels over the edges, and finds zeros there.
    """

    height: int
    width: int
    pitch: int
    padding: int

    @property
    def floats(self) -> int:
        """Without what lies behind the last line."""
        return (self.height - 1) * self.pitch + self.width

    @property
    def guard(self) -> int:
        """Floats before and behind the plane that must be zero."""
        return self.padding * (self.pitch + 1)


@dataclass(frozen=True)
class Rows:
    """What a row table lists: row i starts ``offsets[i]`` floats behind the start of buffer number ``buffers[i]``."""

    buffers: Indices
    offsets: Indices

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, which: slice | Indices) -> Rows:
        return Rows(self.buffers[which], self.offsets[which])

    def shifted(self, floats: int | Indices) -> Rows:
        return Rows(self.buffers, self.offsets + floats)

    def places(self) -> list[tuple[int, int]]:
        return list(zip(self.buffers.tolist(), self.offsets.tolist(), strict=True))

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        return Rows(np.concatenate([p.buffers for p in parts]), np.concatenate([p.offsets for p in parts]))


@dataclass(frozen=True)
class Window:
    """Of a step that runs in strips; see struct window in engine/kernels.h."""

    reach: int = 0
    source: int = WHOLE
    lines: int = 0


@dataclass(frozen=True)
class Place:
    """A whole buffer: two fields of a step, where it starts and how many floats it has."""

    buffer: int


@dataclass
class _Buffer:
    floats: int
    layout: Layout | None = None  # of its rows, if others may use them again
    first_use: int = -1
    last_use: int = -1
    offset: int = 0  # in the arena; known once all lifetimes are


@dataclass
class Steps:
    """Steps in the order in which they run, and the buffers that they use."""

    names: list[str] = field(default_factory=list)
    _steps: list[tuple[int, list[int | Rows | Floats | Place], Window]] = field(default_factory=list)
    _group: int | None = None  # the step that says how those behind it are run, if they are not all there
    _buffers: list[_Buffer] = field(default_factory=list)
    _idle: dict[Layout, list[tuple[int, int]]] = field(default_factory=dict)
    _references: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, name: str, kind: int, *fields: int | Rows | Floats | Place, window: Window | None = None) -> None:
        """``name`` is the layer's in `complexity.summary`, or says what the step does that no layer is."""
        for value in fields:
            if isinstance(value, Rows):
                for number in np.unique(value.buffers).tolist():
                    buffer = self._buffers[number]
                    buffer.first_use = len(self._steps) if buffer.first_use < 0 else buffer.first_use
                    buffer.last_use = len(self._steps)
        self._steps.append((kind, list(fields), window or Window()))
        if self._group is None:
            self.names.append(name)
        else:
            self.names[-1] += f" + {name}" if self.names[-1] else name

    def begin_group(self, kind: int, *fields: int | Place) -> None:
        """What is added until `end_group` is run in strips, and has one name."""
        assert self._group is None
        self.add("", kind, *fields)
        self._group = len(self._steps) - 1

    def end_group(self) -> None:
        """What the steps since `begin_group` use they use all the time."""
        assert self._group is not None
        for buffer in self._buffers:
            if buffer.last_use > self._group:
                buffer.first_use = min(buffer.first_use, self._group)
                buffer.last_use = len(self._steps) - 1
        self._group = None

    def new_windows(self, sizes: Sequence[tuple[int, int]]) -> tuple[list[Rows], Place]:
        """Rows for each number of them and of floats in one, and where all of them are."""
        windows, end = [], 0
        for count, floats in sizes:
            pitch, front = _row_pitch(floats, 0)
            offsets = end + front + pitch * np.arange(count, dtype=np.int64)  # rows below may be shifted into the front
            windows.append(Rows(np.full(count, len(self._buffers)), offsets))
            end += front + count * pitch
        self._buffers.append(_Buffer(end))
        return windows, Place(len(self._buffers) - 1)

    def new_rows(self, count: int, floats: int, guard: int = 0) -> Rows:
        """Room for ``count`` rows of ``floats`` floats, ``guard`` or more before and behind each, and the tail."""
        pitch, front = _row_pitch(floats, guard)
        self._buffers.append(_Buffer(front + count * pitch))
        return Rows(np.full(count, len(self._buffers) - 1), front + pitch * np.arange(count, dtype=np.int64))

    def rows(self, count: int, layout: Layout) -> Rows:
        """Rows of ``layout`` that hold nothing: idle ones first, whose guards are zero already."""
        idle = self._idle.setdefault(layout, [])
        places = sorted(idle[max(0, len(idle) - count) :])
        del idle[len(idle) - len(places) :]
        parts = [Rows(*np.array(places, dtype=np.int64).reshape(-1, 2).T)]
        if len(places) < count:
            # Beside the guard, room for the zeros behind the last line and for the tail.
            guard = max(layout.guard, layout.pitch - layout.width + ROW_TAIL)
            new = self.new_rows(count - len(places), layout.floats, guard)
            self._buffers[-1].layout = layout
            if layout.guard:
                gap = _row_pitch(layout.floats, guard)[0] - layout.floats
                gaps = Rows.join([new[:1].shifted(-gap), new.shifted(layout.floats)])
                self.add(f"zero {layout.height}x{layout.width}", ZERO, len(gaps), gap, gaps)
            parts.append(new)
        return Rows.join(parts)

    def retain(self, rows: Rows) -> None:
        """A value consists of ``rows``."""
        self._references.update(rows.places())

    def release(self, rows: Rows) -> None:
        """The value is not needed any more; rows that are part of no other become idle."""
        for place in rows.places():
            self._references[place] -= 1
            layout = self._buffers[place[0]].layout
            if self._references[place] == 0 and layout is not None:
                self._idle.setdefault(layout, []).append(place)

    def only_reference(self, rows: Rows) -> bool:
        """No other value has a part in ``rows``."""
        return all(self._references[place] == 1 for place in rows.places())

    def serialise(self, in_channels: int, height: int, width: int, classes: int) -> bytes:
        arena_floats = self._lay_out()
        if arena_floats >= _MOST_ARENA_FLOATS:
            raise ValueError(f"pictures of {width} x {height} pixels are too large for one pass of this network")
        starts = np.array([buffer.offset for buffer in self._buffers], dtype=np.int64)
        records: list[bytes] = []
        tables: list[memoryview] = []
        weights: list[memoryview] = []
        table_count = weight_count = 0
        for kind, fields, window in self._steps:
            words = [kind]
            for value in fields:
                if isinstance(value, Rows):
                    words.append(table_count)
                    tables.append((starts[value.buffers] + value.offsets).astype(np.uint32).data)
                    table_count += len(value)
                elif isinstance(value, np.ndarray):
                    words.append(weight_count)
                    weights.append(np.ascontiguousarray(value, dtype=np.float32).data)
                    weight_count += value.size
                elif isinstance(value, Place):
                    words += [self._buffers[value.buffer].offset, self._buffers[value.buffer].floats]
                else:
                    words.append(value)
            last = [window.reach, window.source, window.lines]
            words += [0] * (1 + STEP_FIELDS - len(words) - len(last)) + last
            records.append(struct.pack(f"={1 + STEP_FIELDS}I", *words))
        header = struct.pack(
            f"<{HEADER_FIELDS}I", MAGIC, VERSION, len(records), table_count, weight_count, arena_floats,
            in_channels, height, width, classes,
        )  # fmt: skip
        return b"".join([header, *records, *tables, *weights])

    def _lay_out(self) -> int:
        """Places every buffer, largest first, where none of the same time lies; returns the arena's floats."""
        placed: list[_Buffer] = []
        for buffer in sorted(self._buffers, key=lambda b: -b.floats):
            others = [b for b in placed if b.first_use <= buffer.last_use and buffer.first_use <= b.last_use]
            buffer.offset = 0
            for other in sorted(others, key=lambda b: b.offset):
                if buffer.offset + buffer.floats <= other.offset:
                    break
                buffer.offset = max(buffer.offset, other.offset + other.floats)
            placed.append(buffer)
        return max(b.offset + b.floats for b in placed)


def _row_pitch(floats: int, guard: int) -> tuple[int, int]:
    """From one row to the next, and from the buffer's start to the first."""
    guard = max(guard, ROW_TAIL)
    # An odd number of cache lines: a power of two would put all rows of a group into the same few cache sets.
    pitch = round_up(floats + guard, ROW_ALIGNMENT)
    pitch += ROW_ALIGNMENT * (pitch // ROW_ALIGNMENT % 2 == 0)
    return pitch, round_up(pitch - floats, ROW_ALIGNMENT)


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
