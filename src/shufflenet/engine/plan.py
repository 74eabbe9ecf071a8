"""From a model to a plan: batch norm folded, rows laid out in one arena, every operator's row tables written.

The plan is the engine's input, described in engine/plan.h. A channel is a row of pixels; operators find their rows
through tables, so shuffle, concatenation, split and groups cost nothing when the plan runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shufflenet.engine.steps import (
    AVERAGE_POOL,
    CONVOLUTION,
    DEPTHWISE,
    FULLY_CONNECTED,
    INPUT,
    MAX_POOL,
    MEANS,
    NO_TABLE,
    ROW_ALIGNMENT,
    SCALE,
    STRIPS,
    Floats,
    Indices,
    Layout,
    Rows,
    Steps,
    Window,
    round_up,
)
from shufflenet.engine.strips import (
    WINDOW_FLOATS,
    Strips,
    choose_strips,
    origin,
    planes_of,
    planes_pitch,
    reach,
    runs_depthwise,
)
from shufflenet.networks.graph import (
    MOVES,
    Activation,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Input,
    Means,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
    check_tensors,
)
from shufflenet.networks.model import Model

# Batch norm's epsilon, as in network.py.
EPSILON = 1e-5

SMALLEST_SIDE = 32  # pixels of a picture
_MOST_STRIDE = 16  # MAX_STRIDE
_NO_ROWS = Rows(np.empty(0, np.int64), np.empty(0, np.int64))
_ACTIVATIONS: dict[Activation, int] = {"linear": 0, "relu": 1, "sigmoid": 2}


def make_plan(model: Model, height: int, width: int, window_floats: int = WINDOW_FLOATS) -> bytes:
    """The plan of ``model`` for pictures of ``height`` x ``width`` pixels; ``window_floats`` as in `choose_strips`.

    Raises:
        ValueError: as `step_names`.
    """
    graph = model.graph
    return _plan(model, height, width, window_floats).serialise(graph.in_channels, height, width, graph.classes)


def step_names(model: Model, height: int, width: int, window_floats: int = WINDOW_FLOATS) -> list[str]:
    """What each step of the plan is called: the layer that it computes, where it is one.

    Raises:
        ValueError: the size is below 32 or so large that the arena would not fit the plan's 32-bit offsets; or the
            tensors are not the network's.
    """
    return _plan(model, height, width, window_floats).names


def _plan(model: Model, height: int, width: int, window_floats: int) -> Steps:
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"pictures must be at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, not {width} x {height}")
    if height * width > 1 << 24:
        raise ValueError(f"pictures of {width} x {height} pixels are too large for one pass; at most 2^24 pixels")
    graph = model.graph
    check_tensors(graph.tensor_shapes(), {name: tensor.shape for name, tensor in model.tensors.items()})
    planner = _Planner(model, graph, graph.sizes(height, width))
    in_strips = planner.add_strips(window_floats)
    for node in graph.nodes[1:]:
        if node not in in_strips:
            planner.add(node)
    return planner.steps


def fold_batch_norm(model: Model, convolution: str, batch_norm: str) -> tuple[Floats, Floats]:
    """Weight [out, the rest] and bias [out] of a convolution and the batch norm behind it, as one convolution."""
    weight = model.tensors[f"{convolution}.weight"].astype(np.float64)
    gamma, beta, mean, variance = (
        model.tensors[f"{batch_norm}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    scaled = weight.reshape(len(scale), -1) * scale[:, None]
    return scaled.astype(np.float32), (beta - mean * scale).astype(np.float32)


@dataclass
class _Planner:
    """Adds the steps of one node after the other."""

    model: Model
    graph: Graph
    sizes: dict[Node, tuple[int, int]]
    steps: Steps = field(default_factory=Steps)
    rows: dict[Node, Rows] = field(default_factory=dict)  # of every node's output, until its last reader has run
    # Of what runs in strips: where it writes, and where the picture is split for it.
    targets: dict[Node, tuple[Rows, Window]] = field(default_factory=dict)
    planes: dict[Node, tuple[Rows, Window]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = self.graph.readers()
        self.fused = {self._fusible(node): node for node in self.graph.nodes if isinstance(node, Add)}
        self.layouts = self._layouts()

    def add_strips(self, window_floats: int) -> list[Node]:
        """Adds the operators at the start that are better run in strips, and returns them."""
        strips = choose_strips(self.graph, self.readers, self.fused, self.layouts, window_floats)
        if not strips:
            return []
        self._place_windows(strips)
        for node in strips.nodes:
            self.add(node)
        self.steps.end_group()
        return strips.nodes

    def _place_windows(self, strips: Strips) -> None:
        """Begins the strips, and finds room for what their steps write."""
        numbers: dict[Node, int] = {}  # of the steps that write
        steps: list[tuple[dict[Node, tuple[Rows, Window]], Node, int, int, Window]] = []
        for node, lines in strips.windows.items():
            source = numbers.get(origin(node.inputs[0]), len(steps))
            if node in strips.planes:
                pitch = planes_pitch(node, self.layouts[node])
                steps.append((self.planes, node, planes_of(node), pitch, Window(lines=strips.planes[node])))
            numbers[node] = len(steps)
            window = Window(reach(node), source, lines)
            steps.append((self.targets, node, node.channels, self.layouts[node].pitch, window))
        shift = ROW_ALIGNMENT - 1  # planes of the picture begin with any float of a vector: `_input_planes`
        sizes = [(count, window.lines * pitch + shift) for _, _, count, pitch, window in steps if window.lines]
        windows, place = self.steps.new_windows(sizes)
        for rows, node, count, _, window in steps:
            whole = None if window.lines else self.steps.rows(count, self.layouts[node])
            rows[node] = whole or windows.pop(0), window
        self.steps.begin_group(STRIPS, len(steps), strips.height, strips.lines, place)

    def add(self, node: Node) -> None:
        match node:
            case Convolution():
                rows = self._depthwise(node) if runs_depthwise(node) else self._convolution(node)
            case Pool():
                rows = self._pool(node)
            case Means() | FullyConnected():
                rows = self._vector(node)
            case Scale():
                rows = self._scale(node)
            case Add():
                rows = self.rows[next(source for source in node.inputs if self.fused.get(source) is node)]
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

    def _fusible(self, add: Add) -> Node:
        """The operator that makes the last of what ``add`` reads, and can add the other in its own step."""
        last = max(add.inputs, key=self.graph.nodes.index)
        is_kernel = isinstance(last, Scale) or (isinstance(last, Convolution) and not runs_depthwise(last))
        if not is_kernel or self.readers[last] != [add] or getattr(last, "relu", False):
            raise ValueError(f"{add.name} must follow a convolution without ReLU, or a scale, that nothing else reads")
        return last

    def _layouts(self) -> dict[Node, Layout]:
        """All values of one size have one pitch, with the gaps that the neediest convolution asks for."""
        gaps, paddings = dict.fromkeys(self.sizes.values(), 0), dict.fromkeys(self.graph.nodes, 0)
        for node in reversed(self.graph.nodes):
            gap = padding = 0
            if isinstance(node, Convolution) and runs_depthwise(node):
                padding = int(node.stride == 1)
            elif isinstance(node, Convolution) and self._keeps_size(node):
                gap = padding = node.padding
            elif isinstance(node, MOVES | Scale):
                padding = paddings[node]  # its rows are its inputs', or the gaps between its lines come from theirs
            gaps[self.sizes[node]] = max(gaps[self.sizes[node]], gap)
            for source in node.inputs:
                paddings[source] = max(paddings[source], padding)
        for node, size in self.sizes.items():
            if isinstance(node, Convolution) and not runs_depthwise(node) and not self._keeps_size(node):
                gaps[size] = _gap_behind_planes(size[1], gaps[size], reach(node))
        return {
            node: Layout(height, width, width + gaps[height, width], paddings[node])
            for node, (height, width) in self.sizes.items()
        }

    def _keeps_size(self, node: Convolution) -> bool:
        """Finds its taps as shifted rows where its input lies."""
        (source,) = node.inputs
        return node.stride == 1 and self.sizes[node] == self.sizes[source] and not isinstance(source, Input)

    def _target(self, node: Node) -> tuple[Rows, Rows | int, bool]:
        """Where ``node`` writes; what it adds, if that is fused; whether there is a ReLU behind."""
        if node in self.targets:
            return self.targets[node][0], NO_TABLE, getattr(node, "relu", False)
        add = self.fused.get(node)
        if not isinstance(add, Add):
            return self.steps.rows(node.channels, self.layouts[node]), NO_TABLE, getattr(node, "relu", False)
        (other,) = (source for source in add.inputs if source is not node)
        residual = self.rows[other]
        last_reader = self.readers[other][-1] is add
        if last_reader and other not in node.inputs and self.steps.only_reference(residual):
            return residual, residual, add.relu  # added in place
        return self.steps.rows(node.channels, self.layouts[node]), residual, add.relu

    def _window(self, node: Node) -> Window:
        return self.targets[node][1] if node in self.targets else Window()

    def _weights(self, node: Convolution | FullyConnected) -> tuple[Floats, Floats]:
        if isinstance(node, Convolution) and node.batch_norm:
            return fold_batch_norm(self.model, node.name, node.batch_norm)
        return self.model.tensors[f"{node.name}.weight"], self.model.tensors[f"{node.name}.bias"]

    def _convolution(self, node: Convolution) -> Rows:
        layout = self.layouts[node]
        taps, in_pitch = (
            (self._shifted_rows(node), layout.pitch)
            if self._keeps_size(node)
            else (self._input_planes(node), planes_pitch(node, layout))
        )
        target, residual, relu = self._target(node)
        k = node.in_channels // node.groups * node.kernel_size**2
        self.steps.add(
            node.name, CONVOLUTION, node.groups, k, node.channels // node.groups, layout.floats,
            layout.width if layout.padding else layout.pitch, layout.pitch, in_pitch, int(relu),
            taps, target, residual, *self._weights(node), window=self._window(node),
        )  # fmt: skip
        return target

    def _shifted_rows(self, node: Convolution) -> Rows:
        """Every tap of every channel, in the order of the weights."""
        rows, pitch = self.rows[node.inputs[0]], self.layouts[node].pitch
        y, x = np.divmod(np.arange(node.kernel_size**2), node.kernel_size)
        shifts = (y - node.padding) * pitch + x - node.padding
        return rows[np.repeat(np.arange(len(rows)), len(shifts))].shifted(np.tile(shifts, len(rows)))

    def _input_planes(self, node: Convolution) -> Rows:
        """Splits the input by rows and columns modulo stride, so that each tap reads neighbouring pixels."""
        source, layout, k, stride = node.inputs[0], self.layouts[node], node.kernel_size, node.stride
        if stride > _MOST_STRIDE:
            raise ValueError(f"{node.name}: the engine's convolutions have strides up to {_MOST_STRIDE}, not {stride}")
        phases, height, window = min(k, stride), layout.height + reach(node), Window()
        pitch = planes_pitch(node, layout)
        if node in self.planes:
            planes, window = self.planes[node]
        else:
            planes = self.steps.new_rows(planes_of(node), height * pitch + ROW_ALIGNMENT - 1)
        # What is left of the picture lies before a vector's start, so that its first pixel is at it.
        zeros = -(np.minimum(np.arange(phases) - node.padding, 0) // stride)
        planes = planes.shifted(np.tile(-zeros % ROW_ALIGNMENT, source.channels * phases))
        shape = [source.channels, *self.sizes[source], self.layouts[source].pitch]
        rows: Rows | int = NO_TABLE if isinstance(source, Input) else self.rows[source]
        name = "input" if isinstance(source, Input) else f"{node.name}.input"
        self.steps.add(name, INPUT, stride, phases, node.padding, height, pitch, *shape, rows, planes, window=window)
        y, x = np.divmod(np.arange(k**2), k)
        plane = y % stride * phases + x % stride
        shifts = y // stride * pitch + x // stride
        which: Indices = np.arange(source.channels)[:, None] * phases**2 + plane
        return planes[which.ravel()].shifted(np.tile(shifts, source.channels))

    def _depthwise(self, node: Convolution) -> Rows:
        source = node.inputs[0]
        (height, width), layout = self.sizes[source], self.layouts[source]
        self._check_width(node)
        target, _, relu = self._target(node)
        self.steps.add(
            node.name, DEPTHWISE, node.channels, height, width, node.stride, layout.pitch, self.layouts[node].pitch,
            int(relu), self.rows[source], target, *self._weights(node), window=self._window(node),
        )  # fmt: skip
        return target

    def _pool(self, node: Pool) -> Rows:
        source = node.inputs[0]
        if node.kind == "max" and not _never_negative(source):
            raise ValueError(f"{node.name}: the engine's max pool is of values behind a ReLU")
        self._check_width(node)
        sizes = zip(self.sizes[node], self.sizes[source], strict=True)
        if any(2 * windows > size + node.padding for windows, size in sizes):
            raise ValueError(f"{node.name}: a window of the engine's pools reaches over the edge by one pixel at most")
        target, _, _ = self._target(node)
        kind = MAX_POOL if node.kind == "max" else AVERAGE_POOL
        self.steps.add(
            node.name, kind, node.channels, *self.sizes[source], self.layouts[source].pitch, self.layouts[node].pitch,
            node.padding, *self.sizes[node], self.rows[source], target, window=self._window(node),
        )  # fmt: skip
        return target

    def _check_width(self, node: Node) -> None:
        """The engine has zeros above and below a plane for as many pixels as the picture is wide."""
        width, most = self.sizes[node.inputs[0]][1], self.sizes[self.graph.input][1]
        if width > most:
            raise ValueError(f"{node.name}: reads lines of {width} pixels, the engine takes no more than {most}")

    def _vector(self, node: Means | FullyConnected) -> Rows:
        """All channels in one row, or as logits where nothing reads them."""
        source = node.inputs[0]
        target = self.steps.new_rows(1, node.channels) if self.readers[node] else _NO_ROWS
        out: Rows | int = target if self.readers[node] else NO_TABLE
        if isinstance(node, Means):
            shape = [source.channels, *self.sizes[source], self.layouts[source].pitch, node.size, node.size]
            self.steps.add(node.name, MEANS, *shape, self.rows[source], out)
        else:
            activation = _ACTIVATIONS[node.activation]
            self.steps.add(
                node.name, FULLY_CONNECTED, source.channels, node.channels, activation, self.rows[source], out,
                *self._weights(node),
            )  # fmt: skip
        return target

    def _scale(self, node: Scale) -> Rows:
        source, factors = node.inputs
        target, residual, relu = self._target(node)
        self.steps.add(
            node.name, SCALE, node.channels, self.layouts[node].floats, int(relu),
            self.rows[source], self.rows[factors], residual, target,
        )  # fmt: skip
        return target


def _gap_behind_planes(width: int, gap: int, reach: int) -> int:
    """Of what a convolution writes that reads planes of the picture, ``reach`` pixels beyond the right edge.

    Lines of whole vectors can be written one by one, with a pitch of their own. Where those took more than a few
    floats, the planes' pitch, so that all lines are one long row of pixels. ``gap``: what others ask for.
    """
    whole = round_up(width + gap, ROW_ALIGNMENT) - width
    return whole if 16 * (whole - gap) <= width else max(gap, reach)


def _never_negative(node: Node) -> bool:
    match node:
        case Convolution() | Add() | Scale():
            return node.relu
        case Pool() | Concat() | Split() | Shuffle():
            return all(_never_negative(source) for source in node.inputs)
        case _:
            return False
