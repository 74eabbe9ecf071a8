"""From a model to a plan: batch norm folded, rows laid out in one arena, every operator's row tables written.

The plan is the engine's input, described in engine/plan.h. A channel is a row of pixels; operators find their rows
through tables, so shuffle, concatenation, split and groups cost nothing when the plan runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shufflenet.engine.int8_plan import plan_int8
from shufflenet.engine.layout import (
    ROW_ALIGNMENT,
    Layout,
    halo,
    keeps_size,
    layouts,
    planes_of,
    planes_pitch,
    runs_depthwise,
)
from shufflenet.engine.steps import ACTIVATIONS, NO_TABLE, POOLINGS, Floats, Indices, Rows, Sliding, Steps, Weights
from shufflenet.engine.strips import SLIDING_WORDS, Strips, choose_strips, origin
from shufflenet.networks.folded import fold
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Input,
    Node,
    Pad,
    Pool,
    Scale,
    Shuffle,
    Split,
    WindowPool,
    never_negative,
)
from shufflenet.networks.model import Model

SMALLEST_SIDE = 32  # pixels of a picture
_MOST_STRIDE = 16  # MAX_STRIDE in engine/kernels.h
_NO_ROWS = Rows(np.empty(0, np.int64), np.empty(0, np.int64))
_MOST_STEM_CHANNELS = 4  # MAX_STEM_CHANNELS
_COLD_WORDS = 1 << 19  # 2 MB: more than any second-level cache holds for one core


def make_plan(model: Model, height: int, width: int, sliding_words: int = SLIDING_WORDS) -> bytes:
    """The plan of ``model`` for pictures of ``height`` x ``width`` pixels; ``sliding_words`` as in `choose_strips`.

    Raises:
        ValueError: as `step_names`.
    """
    graph = model.graph
    return _plan(model, height, width, sliding_words).serialise(graph.in_channels, height, width, graph.classes)


def step_names(model: Model, height: int, width: int, sliding_words: int = SLIDING_WORDS) -> list[str]:
    """The name of each step of the plan: that of the layer that it computes, where it is one.

    Raises:
        ValueError: the size is below 32 or too large for the plan's 32-bit offsets; or the tensors are not its own.
    """
    return _plan(model, height, width, sliding_words).names


def _plan(model: Model, height: int, width: int, sliding_words: int) -> Steps:
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"pictures must be at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, not {width} x {height}")
    if height * width > 1 << 24:
        raise ValueError(f"pictures of {width} x {height} pixels are too large for one pass; at most 2^24 pixels")
    if model.quantized is not None:
        return plan_int8(model, model.graph.sizes(height, width))
    folded = fold(model)
    graph = folded.graph
    planner = _Planner(folded, graph, graph.sizes(height, width))
    in_strips = planner.add_strips(sliding_words)
    for node in graph.nodes[1:]:
        if node not in in_strips:
            planner.add(node)
    return planner.steps


@dataclass
class _Planner:
    """Adds the steps of one node after the other."""

    model: Model
    graph: Graph
    sizes: dict[Node, tuple[int, int]]
    steps: Steps = field(default_factory=Steps)
    rows: dict[Node, Rows] = field(default_factory=dict)  # of every node's output, until its last reader has run
    # Where operators in strips write, and where the picture is split for them.
    targets: dict[Node, tuple[Rows, Sliding]] = field(default_factory=dict)
    planes: dict[Node, tuple[Rows, Sliding]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = self.graph.readers()
        adds = (node for node in self.graph.nodes if isinstance(node, Add))
        self.fused = {carrier: node for node in adds if (carrier := self._carrier(node)) is not None}
        self.layouts: dict[Node, Layout] = layouts(self.graph, self.sizes)

    def add_strips(self, sliding_words: int) -> list[Node]:
        """Adds the operators at the start that are better run in strips, and returns them."""
        strips = choose_strips(self.graph, self.readers, self.fused, self.layouts, sliding_words)
        if not strips:
            return []
        self._place_sliding_buffers(strips)
        for node in strips.nodes:
            self.add(node)
        self.steps.end_strips()
        return strips.nodes

    def _place_sliding_buffers(self, strips: Strips) -> None:
        """Begins the strips, and finds room for what their steps write."""
        numbers: dict[Node, int] = {}  # of the steps that write
        steps: list[tuple[dict[Node, tuple[Rows, Sliding]], Node, int, int, Sliding]] = []
        for node, lines in strips.sliding.items():
            source = numbers.get(origin(node.inputs[0]), len(steps))
            if node in strips.planes:
                pitch = planes_pitch(node, self.layouts[node])
                steps.append((self.planes, node, planes_of(node), pitch, Sliding(lines=strips.planes[node])))
            numbers[node] = len(steps)
            steps.append((self.targets, node, node.channels, self.layouts[node].pitch, Sliding(source, lines)))
        shift = ROW_ALIGNMENT - 1  # planes of the picture begin with any word of a vector: `_input_planes`
        sizes = [(count, sliding.lines * pitch + shift) for _, _, count, pitch, sliding in steps if sliding.lines]
        whole = {
            node: self.steps.rows(count, self.layouts[node])
            for _, node, count, _, sliding in steps
            if not sliding.lines
        }
        buffers = self.steps.begin_strips(len(steps), strips.height, strips.lines, sizes)
        for rows, node, _, _, sliding in steps:
            rows[node] = buffers.pop(0) if sliding.lines else whole[node], sliding

    def add(self, node: Node) -> None:
        if self.graph.input in node.inputs and not isinstance(node, Pad) and not self._splits_picture(node):
            self.rows[self.graph.input] = self._pad(Pad("input", (self.graph.input,), self.graph.in_channels, 0, 0))
        match node:
            case Convolution():
                rows = self._depthwise(node) if runs_depthwise(node) else self._convolution(node)
            case Pool():
                rows = self._pool(node)
            case WindowPool():
                rows = self._window_pool(node)
            case Pad():
                rows = self._pad(node)
            case AdaptiveAveragePool() | FullyConnected():
                rows = self._vector(node)
            case Scale():
                rows = self._scale(node)
            case Add():
                carrier = next((source for source in node.inputs if self.fused.get(source) is node), None)
                rows = self._sum(node) if carrier is None else self.rows[carrier]
            case Concat():
                rows = Rows.join([self.rows[source] for source in node.inputs])
            case Split():
                rows = self.rows[node.inputs[0]][node.first : node.first + node.channels]
            case Shuffle():
                rows = self.rows[node.inputs[0]][node.order]
            case _:
                raise TypeError(f"no step for {type(node).__name__}")
        self.rows[node] = rows
        self.steps.retain(rows)
        for source in dict.fromkeys(node.inputs):
            if self.readers[source][-1] is node and not isinstance(source, Input):
                self.steps.release(self.rows.pop(source))

    def _carrier(self, add: Add) -> Node | None:
        """The operator that makes the last of what ``add`` reads, if it can add the other in its own step."""
        last = max(add.inputs, key=self.graph.nodes.index)
        if self.readers[last] != [add]:
            return None
        match last:
            case Convolution(activation="linear"):
                return None if runs_depthwise(last) else last
            case Scale(activation="linear"):
                return last if add.activation in ("linear", "relu") else None
            case _:
                return None

    def _sum(self, node: Add) -> Rows:
        """A sum in a step of its own: a convolution that changes nothing, with a residual."""
        first, second = (self.rows[source] for source in node.inputs)
        layout, ones = self.layouts[node], np.ones(node.channels, np.float32)
        target = self.steps.rows(node.channels, layout)
        self.steps.add(
            node.name,
            "convolution",
            groups=node.channels,
            k=1,
            m=1,
            pixels=layout.words,
            width=layout.width if layout.padding else layout.pitch,
            pitch=layout.pitch,
            in_pitch=layout.pitch,
            activation=_activation(node),
            halo=0,
            stem=0,
            cold=0,
            input=first,
            output=target,
            residual=second,
            weights=ones,
            bias=np.zeros_like(ones),
        )
        return target

    def _target(self, node: Node) -> tuple[Rows, Rows | int, int]:
        """Where ``node`` writes; what it adds, if that is fused; the activation's number in the plan."""
        if node in self.targets:
            return self.targets[node][0], NO_TABLE, _activation(node)
        add = self.fused.get(node)
        if not isinstance(add, Add):
            return self.steps.rows(node.channels, self.layouts[node]), NO_TABLE, _activation(node)
        (other,) = (source for source in add.inputs if source is not node)
        residual = self.rows[other]
        last_reader = self.readers[other][-1] is add
        if last_reader and other not in node.inputs and self.steps.only_reference(residual):
            return residual, residual, _activation(add)  # added in place
        return self.steps.rows(node.channels, self.layouts[node]), residual, _activation(add)

    def _sliding(self, node: Node) -> Sliding:
        return self.targets[node][1] if node in self.targets else Sliding()

    def _weights(self, node: Convolution | FullyConnected) -> tuple[Floats, Floats]:
        return self.model.tensors[f"{node.name}.weight"], self.model.tensors[f"{node.name}.bias"]

    def _convolution(self, node: Convolution) -> Rows:
        layout = self.layouts[node]
        taps, in_pitch = (
            (self._shifted_rows(node), layout.pitch)
            if keeps_size(node, self.sizes)
            else (self._input_planes(node), planes_pitch(node, layout))
        )
        target, residual, activation = self._target(node)
        weights, bias = self._weights(node)
        in_strips = node in self.targets
        self.steps.add(
            node.name,
            "convolution",
            sliding=self._sliding(node),
            groups=node.groups,
            k=node.in_channels // node.groups * node.kernel_size**2,
            m=node.channels // node.groups,
            pixels=layout.words,
            width=layout.width if layout.padding else layout.pitch,
            pitch=layout.pitch,
            in_pitch=in_pitch,
            activation=activation,
            halo=halo(node) if in_strips else 0,
            stem=int(self._is_stem(node)),
            cold=int(not in_strips and (node.channels + len(taps)) * layout.words > _COLD_WORDS),
            input=taps,
            output=target,
            residual=residual,
            weights=weights,
            bias=bias,
        )
        return target

    def _is_stem(self, node: Convolution) -> bool:
        """Whether the kernel for a first convolution can read the picture itself."""
        shape = node.kernel_size, node.stride, node.padding, node.groups
        fits = node.in_channels <= _MOST_STEM_CHANNELS and node.channels % 4 == 0
        return node in self.planes and shape == (3, 2, 1, 1) and fits

    def _shifted_rows(self, node: Convolution) -> Rows:
        """The rows of every tap of every channel, in the order of the weights."""
        rows, pitch = self.rows[node.inputs[0]], self.layouts[node].pitch
        y, x = np.divmod(np.arange(node.kernel_size**2), node.kernel_size)
        shifts = (y - node.padding) * pitch + x - node.padding
        return rows[np.repeat(np.arange(len(rows)), len(shifts))].shifted(np.tile(shifts, len(rows)))

    def _input_planes(self, node: Convolution) -> Rows:
        """Splits the input by rows and columns modulo stride, so that each tap reads neighbouring pixels."""
        source, layout, k, stride = node.inputs[0], self.layouts[node], node.kernel_size, node.stride
        if stride > _MOST_STRIDE:
            raise ValueError(f"{node.name}: the engine's convolutions have strides up to {_MOST_STRIDE}, not {stride}")
        phases, height, sliding = min(k, stride), layout.height + halo(node), Sliding()
        pitch = planes_pitch(node, layout)
        if node in self.planes:
            planes, sliding = self.planes[node]
        else:
            planes = self.steps.new_rows(planes_of(node), height * pitch + ROW_ALIGNMENT - 1)
        # What is left of the picture lies before a vector's start, so that its first pixel is at it.
        zeros = -(np.minimum(np.arange(phases) - node.padding, 0) // stride)
        planes = planes.shifted(np.tile(-zeros % ROW_ALIGNMENT, source.channels * phases))
        in_height, in_width = self.sizes[source]
        self.steps.add(
            "input" if isinstance(source, Input) else f"{node.name}.input",
            "input",
            sliding=sliding,
            stride=stride,
            phases=phases,
            padding=node.padding,
            out_height=height,
            out_pitch=pitch,
            channels=source.channels,
            height=in_height,
            width=in_width,
            in_pitch=self.layouts[source].pitch,
            stem=int(self._is_stem(node)),
            around=NO_TABLE,
            input=NO_TABLE if isinstance(source, Input) else self.rows[source],
            output=planes,
        )
        y, x = np.divmod(np.arange(k**2), k)
        plane = y % stride * phases + x % stride
        shifts = y // stride * pitch + x // stride
        which: Indices = np.arange(source.channels)[:, None] * phases**2 + plane
        return planes[which.ravel()].shifted(np.tile(shifts, source.channels))

    def _depthwise(self, node: Convolution) -> Rows:
        source = node.inputs[0]
        (height, width), layout = self.sizes[source], self.layouts[source]
        self._check_width(node)
        target, _, activation = self._target(node)
        weights, bias = self._weights(node)
        self.steps.add(
            node.name,
            "depthwise",
            sliding=self._sliding(node),
            kernel_size=node.kernel_size,
            channels=node.channels,
            height=height,
            width=width,
            stride=node.stride,
            in_pitch=layout.pitch,
            out_pitch=self.layouts[node].pitch,
            activation=activation,
            input=self.rows[source],
            output=target,
            weights=weights,
            bias=bias,
        )
        return target

    def _pool(self, node: Pool) -> Rows:
        source = node.inputs[0]
        if node.kind == "max" and not never_negative(source):
            raise ValueError(f"{node.name}: the engine's max pool is of values behind a ReLU")
        self._check_width(node)
        sizes = zip(self.sizes[node], self.sizes[source], strict=True)
        if any(2 * windows > size + node.padding for windows, size in sizes):
            raise ValueError(f"{node.name}: a window of the engine's pools reaches over the edge by one pixel at most")
        target, _, _ = self._target(node)
        (height, width), (out_height, out_width) = self.sizes[source], self.sizes[node]
        self.steps.add(
            node.name,
            "max_pool" if node.kind == "max" else "average_pool",
            sliding=self._sliding(node),
            channels=node.channels,
            height=height,
            width=width,
            in_pitch=self.layouts[source].pitch,
            out_pitch=self.layouts[node].pitch,
            padding=node.padding,
            out_height=out_height,
            out_width=out_width,
            input=self.rows[source],
            output=target,
        )
        return target

    def _window_pool(self, node: WindowPool) -> Rows:
        source = node.inputs[0]
        target = self.steps.rows(node.channels, self.layouts[node])
        (height, width), (out_height, out_width) = self.sizes[source], self.sizes[node]
        pooling = "average_with_padding" if node.kind == "average" and node.counts_padding else node.kind
        self.steps.add(
            node.name,
            "window_pool",
            pooling=POOLINGS[pooling],
            kernel_size=node.kernel_size,
            stride=node.stride,
            channels=node.channels,
            height=height,
            width=width,
            in_pitch=self.layouts[source].pitch,
            out_pitch=self.layouts[node].pitch,
            padding=node.padding,
            out_height=out_height,
            out_width=out_width,
            input=self.rows[source],
            output=target,
        )
        return target

    @staticmethod
    def _splits_picture(node: Node) -> bool:
        """Whether its own step reads the picture, as that of a convolution does; all others find rows."""
        return isinstance(node, Convolution) and not runs_depthwise(node)

    def _pad(self, node: Pad) -> Rows:
        source = node.inputs[0]
        layout = self.layouts.get(node, self.layouts[source])
        target = self.steps.rows(node.channels, layout)
        height, width = self.sizes[source]
        self.steps.add(
            node.name,
            "input",
            stride=1,
            phases=1,
            padding=node.before,
            out_height=layout.height,
            out_pitch=layout.pitch,
            channels=node.channels,
            height=height,
            width=width,
            in_pitch=self.layouts[source].pitch,
            stem=0,
            around=NO_TABLE,
            input=NO_TABLE if isinstance(source, Input) else self.rows[source],
            output=target,
        )
        return target

    def _check_width(self, node: Node) -> None:
        """The engine has zeros above and below a plane for as many pixels as the picture is wide."""
        width, most = self.sizes[node.inputs[0]][1], self.sizes[self.graph.input][1]
        if width > most:
            raise ValueError(f"{node.name}: reads lines of {width} pixels, the engine takes no more than {most}")

    def _vector(self, node: AdaptiveAveragePool | FullyConnected) -> Rows:
        """All channels in one row, or as logits where nothing reads them."""
        source = node.inputs[0]
        target = self.steps.new_rows(1, node.channels) if self.readers[node] else _NO_ROWS
        out: Rows | int = target if self.readers[node] else NO_TABLE
        if isinstance(node, AdaptiveAveragePool):
            height, width = self.sizes[source]
            self.steps.add(
                node.name,
                "adaptive_average_pool",
                channels=source.channels,
                height=height,
                width=width,
                in_pitch=self.layouts[source].pitch,
                out_height=node.size,
                out_width=node.size,
                input=self.rows[source],
                output=out,
            )
        else:
            weights, bias = self._weights(node)
            self.steps.add(
                node.name,
                "fully_connected",
                k=source.channels,
                m=node.channels,
                activation=_activation(node),
                input=self.rows[source],
                output=out,
                weights=_half_if_exact(weights),
                bias=bias,
            )
        return target

    def _scale(self, node: Scale) -> Rows:
        source, factors = node.inputs
        target, residual, activation = self._target(node)
        self.steps.add(
            node.name,
            "scale",
            channels=node.channels,
            pixels=self.layouts[node].words,
            activation=activation,
            input=self.rows[source],
            factors=self.rows[factors],
            output=target,
            residual=residual,
        )
        return target


def _activation(node: Node) -> int:
    """Its number in the plan."""
    return ACTIVATIONS[getattr(node, "activation", "linear")]


def _half_if_exact(weights: Floats) -> Weights:
    """In half precision, which takes half the time to read, if that changes none of them."""
    with np.errstate(over="ignore"):
        halves = weights.astype(np.float16)
    return halves if np.array_equal(halves.astype(np.float32), weights) else weights
