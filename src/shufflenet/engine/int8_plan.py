"""From a quantized model to a plan: what plan.py is for float32. The steps are described in engine/int8_steps.h."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shufflenet.engine import int8_weights
from shufflenet.engine.int8_weights import arranged, outputs_of, per_window
from shufflenet.engine.layout import (
    ByteLayout,
    Layout,
    gap_behind_planes,
    halo,
    keeps_size,
    planes_pitch,
    round_up,
    runs_depthwise_in_int8,
)
from shufflenet.engine.quads import LANES, Storage, storage_of
from shufflenet.engine.steps import ACTIVATIONS, NO_TABLE, Indices, Rows, Steps
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Input,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
)
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import (
    Requantised,
    activation_of,
    carriers,
    constants_of,
    factors_of,
    pixel_input,
)

# enum int8_reads and int8_writes in engine/int8_steps.h.
QUADS_READ, WINDOWS_READ, WINDOWS_OF_STRIDE_2_READ, WINDOWS_OF_STRIDE_4_READ = range(4)
QUADS_WRITTEN, QUADS_ADDED, BYTES_WRITTEN = range(3)
_READS_OF_STRIDE = {1: WINDOWS_READ, 2: WINDOWS_OF_STRIDE_2_READ, 4: WINDOWS_OF_STRIDE_4_READ}
_MOST_STRIDE = 16  # MAX_STRIDE in engine/kernels.h

_NO_ROWS = Rows(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class _Value:
    """Where the channels of a value lie: in quads, or in byte rows of their own.

    Args:
        places: LANES * quad + lane of each channel, [C]; None: row c is channel c's.
    """

    rows: Rows
    places: Indices | None


def plan_int8(model: Model, sizes: dict[Node, tuple[int, int]]) -> Steps:
    """The steps of a quantized model; ``sizes`` as `Graph.sizes` gives them.

    Raises:
        ValueError: the network has an operator that the engine has no int8 kernel for.
    """
    planner = _Planner(model, sizes)
    for node in model.graph.nodes[1:]:
        planner.add(node)
    return planner.steps


@dataclass
class _Planner:
    """Adds the steps of one node after the other."""

    model: Model
    sizes: dict[Node, tuple[int, int]]
    steps: Steps = field(default_factory=Steps)
    values: dict[Node, _Value] = field(default_factory=dict)  # of every node's output, until its last reader has run

    def __post_init__(self) -> None:
        assert self.model.quantized is not None
        self.graph, self.quantized = self.model.graph, self.model.quantized
        self.readers = self.graph.readers()
        self.carried, self.factors = carriers(self.graph), factors_of(self.graph)
        for node in self.graph.nodes:
            if isinstance(node, Add) and node not in self.carried.values():
                raise ValueError(
                    f"{node.name} must follow a convolution without ReLU, or a scale, that nothing else reads"
                )
        self.storage: Storage = storage_of(self.graph, self.carried)
        self.gaps = self._gaps()

    def add(self, node: Node) -> None:
        value = self._value(node)
        self.values[node] = value
        self.steps.retain(value.rows)
        for source in dict.fromkeys(node.inputs):
            if self.readers[source][-1] is node and not isinstance(source, Input):
                self.steps.release(self.values.pop(source).rows)

    def _value(self, node: Node) -> _Value:
        match node:
            case Convolution() if runs_depthwise_in_int8(node) and node not in self.carried:
                return self._depthwise(node)
            case Convolution() if isinstance(node.inputs[0], Input):
                return self._stem(node)
            case Convolution():
                return self._convolution(node)
            case Pool():
                return self._pool(node)
            case AdaptiveAveragePool():
                return self._adaptive_average_pool(node)
            case FullyConnected():
                return self._fully_connected(node)
            case Scale():
                return self._scale(node)
            case Add():
                return self.values[next(source for source in node.inputs if self.carried.get(source) is node)]
            case Concat():
                return self._concat(node)
            case Split():
                return self._channels(node, slice(node.first, node.first + node.channels))
            case Shuffle():
                return self._channels(node, node.order)
            case _:
                raise TypeError(f"no step for {type(node).__name__}")

    def _channels(self, node: Node, which: slice | Indices) -> _Value:
        value = self.values[node.inputs[0]]
        if value.places is None:
            return _Value(value.rows[which], None)
        return _Value(value.rows, value.places[which])

    def _concat(self, node: Concat) -> _Value:
        parts = [self.values[source] for source in node.inputs]
        rows = Rows.join([part.rows for part in parts])
        if parts[0].places is None:
            return _Value(rows, None)
        first, places = 0, []
        for part in parts:
            assert part.places is not None
            places.append(part.places + LANES * first)
            first += len(part.rows)
        return _Value(rows, np.concatenate(places))

    # How values lie.

    def _gaps(self) -> dict[tuple[int, int], tuple[int, int]]:
        """For planes of each size the words between their lines, and how far beyond the edges there are zeros."""
        padding = dict.fromkeys(self.sizes.values(), 0)
        split = []
        for node in self.graph.nodes:
            if isinstance(node, Convolution) and not isinstance(node.inputs[0], Input):
                if self._reads_in_place(node):
                    padding[self.sizes[node]] = max(padding[self.sizes[node]], node.padding)
                elif not runs_depthwise_in_int8(node) or node in self.carried:
                    split.append(node)
        gaps = dict(padding)
        for node in split:
            size = self.sizes[node]
            gaps[size] = gap_behind_planes(size[1], gaps[size], halo(node))
        return {size: (gaps[size], padding[size]) for size in padding}

    def _reads_in_place(self, node: Convolution) -> bool:
        """Whether a dense convolution finds its taps as shifted rows where its input lies, with zeros around."""
        if runs_depthwise_in_int8(node) and node not in self.carried:
            return False
        return keeps_size(node, self.sizes) and not (node.padding and self._zero_points(node.inputs[0]).any())

    def _zero_points(self, node: Node) -> Indices:
        return activation_of(node, self.quantized.activations).zero_point.astype(np.int64)

    def _layout(self, node: Node) -> Layout:
        """How a value in quads lies."""
        height, width = self.sizes[node]
        gap, padding = self.gaps[height, width]
        return Layout(height, width, width + gap, padding)

    def _byte_layout(self, node: Node) -> ByteLayout:
        """How a value in byte rows lies."""
        padding = 1 + any(isinstance(n, Convolution) and n.kernel_size > 3 for n in self._depthwise_readers(node))
        return ByteLayout(*self.sizes[node], padding=padding, around=self._around(node))

    def _depthwise_readers(self, node: Node) -> list[Node]:
        """The depthwise convolutions that read a value, maybe behind operators that pass it on."""
        found: list[Node] = []
        for reader in self.readers[node]:
            passes_on = isinstance(reader, Concat | Split | Shuffle)
            found += (
                self._depthwise_readers(reader) if passes_on else [reader] if runs_depthwise_in_int8(reader) else []
            )
        return found

    def _around(self, node: Node) -> int:
        """The byte that a depthwise convolution pads a value with."""
        zero_points = self._zero_points(node)
        if np.ptp(zero_points):
            raise ValueError(f"{node.name}: what a depthwise convolution pads must have one zero point in all channels")
        return int(zero_points[0])

    def _constants(self, node: Node) -> Requantised:
        """Those of what ``node`` hands to an addition lead to the addition's bytes."""
        return constants_of(self.carried.get(node, node), self.quantized, self.carried, *self.sizes[node.inputs[0]])

    def _activation(self, node: Node) -> int:
        return ACTIVATIONS[getattr(self.carried.get(node, node), "activation", "linear")]

    def _target(self, node: Node) -> tuple[Rows, Rows | None, Indices | None]:
        """Where ``node`` writes: its rows; those of what it adds, quad for quad; and the places of its channels."""
        if node in self.storage.in_bytes:
            return self.steps.rows(node.channels, self._byte_layout(node)), None, None
        places, count = self.storage.places[node], self.storage.quads(node)
        add = self.carried.get(node)
        if add is None:
            return self.steps.rows(count, self._layout(node)), None, places
        (other,) = (source for source in add.inputs if source is not node)
        residual = self.values[other].rows[self._quads(other, places, count)]
        last_reader = self.readers[other][-1] is add
        if last_reader and other not in node.inputs and self.steps.only_reference(self.values[other].rows):
            return residual, residual, places  # added in place
        return self.steps.rows(count, self._layout(node)), residual, places

    def _quads(self, node: Node, places: Indices, count: int) -> Indices:
        """The numbers of a value's ``count`` quads in the order in which ``places`` have the same channels."""
        value = self.values[node]
        assert value.places is not None
        from_quad = np.zeros(count, np.int64)
        from_quad[places // LANES] = value.places // LANES
        return from_quad

    # Convolutions.

    def _convolution(self, node: Convolution) -> _Value:
        """Pointwise, or with rows for the taps that are shifted: in place, or in planes split by row and column."""
        source, layout = self.values[node.inputs[0]], self._layout(node)
        assert source.places is not None
        taps, phases = node.kernel_size**2, 1
        y, x = np.divmod(np.arange(taps), node.kernel_size)
        if self._reads_in_place(node):
            planes, pitch = source.rows, layout.pitch
            which, shifts = np.zeros(taps, np.int64), (y - node.padding) * pitch + x - node.padding
        else:
            phases, pitch = min(node.kernel_size, node.stride), planes_pitch(node, layout)
            planes = self._split(node, node.stride, phases, node.padding, layout.height + halo(node), pitch)
            which = y % node.stride * phases + x % node.stride
            shifts = y // node.stride * pitch + x // node.stride
        weight = self.quantized.layers[node.name].weight.reshape(node.channels, -1, taps)
        quads, by_quads = int8_weights.by_quads(weight, node.groups, source.places)
        rows = planes[(quads[:, :, None] * phases**2 + which).ravel()].shifted(np.tile(shifts, quads.size))
        return self._add_convolution(node, by_quads, rows, QUADS_READ, pitch)

    def _split(self, node: Node, stride: int, phases: int, padding: int, height: int, pitch: int) -> Rows:
        """Splits the quads that ``node`` reads by rows and columns modulo stride, with real zeros around them."""
        if stride > _MOST_STRIDE:
            raise ValueError(f"{node.name}: the engine's convolutions have strides up to {_MOST_STRIDE}, not {stride}")
        (source, *_) = node.inputs
        value, layout = self.values[source], self._layout(source)
        assert value.places is not None
        around = np.zeros((len(value.rows), LANES), np.uint8)
        around.flat[value.places] = self._zero_points(source)
        planes = self.steps.new_rows(len(value.rows) * phases**2, height * pitch)
        self.steps.add(
            f"{node.name}.input", "input",
            stride=stride, phases=phases, padding=padding, out_height=height, out_pitch=pitch,
            channels=len(value.rows), height=layout.height, width=layout.width, in_pitch=layout.pitch, stem=0,
            around=around.view(np.int32).ravel(), input=value.rows, output=planes,
        )  # fmt: skip
        return planes

    def _stem(self, node: Convolution) -> _Value:
        """On the picture: its windows are read from byte rows."""
        if node.groups != 1 or node.stride not in _READS_OF_STRIDE:
            raise ValueError(f"{node.name}: the engine has no int8 kernel for such a convolution of the picture")
        height = self.sizes[node][0]
        channels, stride, size = node.in_channels, node.stride, node.kernel_size
        words = -(-size // LANES)  # of a window's line
        lines = stride * (height - 1) + size
        seen = stride * self._stem_pitch(node) + LANES * words
        pitch = round_up(max(seen, self.sizes[self.graph.input][1] + node.padding), 4)
        rows = self.steps.new_rows(channels, lines * pitch // 4)
        pixels = pixel_input(self.model.preprocessing.mean, self.model.preprocessing.std)
        self.steps.add(
            "input", "int8_input", padding=node.padding, out_height=lines, out_pitch=pitch, output=rows,
            factors=pixels.multiplier, offsets=pixels.offset, around=pixels.padding.astype(np.int32),
        )  # fmt: skip
        c, line, word = np.indices((channels, size, words)).reshape(3, -1)
        taps = rows[c].shifted(line * (pitch // 4) + word)
        weight = np.zeros((node.channels, channels, size, words * LANES), np.int8)
        weight[..., :size] = self.quantized.layers[node.name].weight
        by_words = weight.reshape(node.channels, -1, LANES)
        return self._add_convolution(node, by_words, taps, _READS_OF_STRIDE[stride], stride * pitch // 4)

    def _stem_pitch(self, node: Convolution) -> int:
        return self.sizes[node][1] if node in self.storage.in_bytes else self._layout(node).pitch

    def _add_convolution(
        self, node: Convolution, weight: int8_weights.Weights, taps: Rows, reads: int, in_pitch: int
    ) -> _Value:
        """``weight``: [M, K, LANES]."""
        target, residual, places = self._target(node)
        layer, constants = self.quantized.layers[node.name], self._constants(node)
        groups, m = node.groups, node.channels // node.groups
        out, added, order = target, residual, np.arange(node.channels)
        if places is not None:
            out, added, order, m = self._whole_quads(node, target, residual, places)
        layout: Layout | ByteLayout = self._layout(node) if places is not None else self._byte_layout(node)
        self.steps.add(
            node.name, "int8_convolution",
            groups=groups, k=weight.shape[1], m=m,
            pixels=(layout.height - 1) * layout.pitch + layout.width,
            width=layout.width if isinstance(layout, Layout) and layout.padding else layout.pitch,
            pitch=layout.pitch, in_pitch=in_pitch, reads=reads,
            writes=BYTES_WRITTEN if places is None else QUADS_WRITTEN if residual is None else QUADS_ADDED,
            activation=self._activation(node), around=layout.around if isinstance(layout, ByteLayout) else 0,
            input=taps, output=out, residual=NO_TABLE if added is None else added,
            weights=arranged(weight, order), bias=arranged(layer.bias + constants.shift, order),
            outputs=outputs_of(constants, order),
        )  # fmt: skip
        return _Value(target, places)

    def _whole_quads(
        self, node: Convolution, target: Rows, residual: Rows | None, places: Indices
    ) -> tuple[Rows, Rows | None, Indices, int]:
        """Every group's quads, as many for each: their rows, those of what is added, channels of lanes, outputs.

        A lane that holds no channel has number -1; what a quad that there is not would hold goes to a row of its own.
        """
        m, layout = node.channels // node.groups, self._layout(node)
        quads = [np.unique(places[g * m : (g + 1) * m] // LANES) for g in range(node.groups)]
        most = max(map(len, quads))
        missing = most * node.groups - len(target)
        spare = self.steps.rows(missing, layout) if missing else None
        order, rows, added = np.full((node.groups, most, LANES), -1), [], []
        for g, some in enumerate(quads):
            channels = np.arange(g * m, (g + 1) * m)
            order[g, np.searchsorted(some, places[channels] // LANES), places[channels] % LANES] = channels
            rows.append(target[some])
            added += [residual[some]] if residual is not None else []
            if spare is not None and len(some) < most:
                used, spare = spare[: most - len(some)], spare[most - len(some) :]
                rows.append(used)
                added += [used] if residual is not None else []
                self.steps.retain(used)
                self.steps.release(used)
        return Rows.join(rows), Rows.join(added) if added else None, order.ravel(), most * LANES

    def _depthwise(self, node: Convolution) -> _Value:
        (source,) = node.inputs
        layer, constants, (height, width) = self.quantized.layers[node.name], self._constants(node), self.sizes[source]
        rows = self._byte_rows(source)
        target, residual, places = self._target(node)
        assert places is not None
        assert residual is None
        order = np.full(len(target) * LANES, -1)
        order[places] = np.arange(node.channels)
        self.steps.add(
            node.name, "int8_depthwise",
            kernel_size=node.kernel_size, quads=len(target), height=height, width=width, stride=node.stride,
            in_pitch=width, out_pitch=self._layout(node).pitch,
            activation=self._activation(node), around=self._around(source),
            input=rows[np.maximum(order, 0)], output=target,
            weights=arranged(layer.weight.reshape(node.channels, -1), order),
            bias=arranged(layer.bias + constants.shift, order),
            outputs=outputs_of(constants, order),
        )  # fmt: skip
        if self.values[source].places is not None:
            self.steps.release(rows)
        return _Value(target, places)

    def _byte_rows(self, node: Node) -> Rows:
        """A value's channels in byte rows; they are made, and the caller's to release, if it lies in quads."""
        value, layout = self.values[node], self._layout(node)
        if value.places is None:
            return value.rows
        quads = np.unique(value.places // LANES)
        rows = self.steps.rows(len(quads) * LANES, self._byte_layout(node))
        self.steps.add(
            f"{node.name}.bytes", "int8_bytes_of_quads",
            quads=len(quads), height=layout.height, width=layout.width, in_pitch=layout.pitch,
            input=value.rows[quads], output=rows,
        )  # fmt: skip
        self.steps.retain(rows)
        return rows[LANES * np.searchsorted(quads, value.places // LANES) + value.places % LANES]

    # All else.

    def _pool(self, node: Pool) -> _Value:
        (source,) = node.inputs
        layout, padding = self._layout(source), node.padding
        target, _, places = self._target(node)
        assert places is not None
        sizes = zip(self.sizes[node], self.sizes[source], strict=True)
        if any(2 * windows > size + padding for windows, size in sizes):
            raise ValueError(f"{node.name}: a window of the engine's pools reaches over the edge by one pixel at most")
        which, rows = self._quads(source, places, len(target)), self.values[source].rows
        if node.kind == "average" and padding and self._zero_points(source).any():  # a byte of 0 is no real 0
            layout = Layout(layout.height + 2 * padding, layout.width + 2 * padding, layout.width + 2 * padding, 0)
            rows = self._split(node, 1, 1, padding, layout.height, layout.pitch)
            padding = 0
        if layout.width > self.sizes[self.graph.input][1]:
            raise ValueError(f"{node.name}: reads lines of more pixels than the picture has")
        order = np.full(len(target) * LANES, -1)
        order[places] = np.arange(node.channels)
        constants = self._constants(node) if node.kind == "average" else None
        self.steps.add(
            node.name, "int8_max_pool" if node.kind == "max" else "int8_average_pool",
            quads=len(target), height=layout.height, width=layout.width, in_pitch=layout.pitch,
            out_pitch=self._layout(node).pitch, padding=padding,
            out_height=self.sizes[node][0], out_width=self.sizes[node][1],
            input=rows[which], output=target,
            factors=0 if constants is None else arranged(constants.multiplier, order),
            offsets=0 if constants is None else arranged(constants.offset, order),
        )  # fmt: skip
        return _Value(target, places)

    def _adaptive_average_pool(self, node: AdaptiveAveragePool) -> _Value:
        (source,) = node.inputs
        value, layout = self.values[source], self._layout(source)
        assert value.places is not None
        quads = np.unique(value.places // LANES)
        windows = node.size**2
        places = per_window(LANES * np.searchsorted(quads, value.places // LANES) + value.places % LANES, windows)
        is_last = node is self.graph.nodes[-1]
        if is_last and not np.array_equal(places, np.arange(node.channels)):
            raise ValueError(f"{node.name}: the engine's int8 averages are logits where their input has whole quads")
        order = np.full(len(quads) * windows * LANES, -1)
        order[places] = np.arange(node.channels)
        constants = self._constants(node)
        target = _NO_ROWS if is_last else self.steps.new_rows(1, len(quads) * windows)
        self.steps.add(
            node.name, "int8_adaptive_average_pool",
            quads=len(quads), height=layout.height, width=layout.width, in_pitch=layout.pitch,
            out_height=node.size, out_width=node.size,
            input=value.rows[quads], output=NO_TABLE if is_last else target,
            factors=arranged(constants.multiplier, order), offsets=arranged(constants.offset, order),
        )  # fmt: skip
        return _Value(target, places)

    def _fully_connected(self, node: FullyConnected) -> _Value:
        source, layer = self.values[node.inputs[0]], self.quantized.layers[node.name]
        constants = self._constants(node)
        assert source.places is not None
        k = int(source.places.max()) // LANES + 1
        order, is_last = np.arange(node.channels), node is self.graph.nodes[-1]
        if node in self.factors:
            order = self._order_of_factors(node)
        weights = np.zeros((node.channels, k * LANES), np.int8)
        weights[:, source.places] = layer.weight.reshape(node.channels, -1)
        makes_bytes = not is_last and node not in self.factors
        target = _NO_ROWS if is_last else self.steps.new_rows(1, -(-len(order) // LANES) if makes_bytes else len(order))
        self.steps.add(
            node.name, "int8_fully_connected",
            k=k, m=len(order), activation=self._activation(node), writes_bytes=int(makes_bytes),
            input=source.rows, output=NO_TABLE if is_last else target,
            weights=arranged(weights, order), bias=arranged(layer.bias + constants.shift, order),
            outputs=outputs_of(constants, order),
        )  # fmt: skip
        return _Value(target, order)

    def _order_of_factors(self, node: Node) -> Indices:
        """The channels of each lane of what a layer's factors scale, -1 for none."""
        orders = []
        for scale in self.readers[node]:
            order = np.full(self.storage.quads(scale) * LANES, -1)
            order[self.storage.places[scale]] = np.arange(scale.channels)
            orders.append(order)
        if not all(np.array_equal(order, orders[0]) for order in orders):
            raise ValueError(f"{node.name}: the engine scales values of different quads by factors of their own only")
        return orders[0]

    def _scale(self, node: Scale) -> _Value:
        source, factors = node.inputs
        target, residual, places = self._target(node)
        assert places is not None
        layout, order = self._layout(node), np.full(len(target) * LANES, -1)
        order[places] = np.arange(node.channels)
        constants = self._constants(node)
        own = constants_of(node, self.quantized, self.carried)  # what a factor is multiplied with
        outputs = outputs_of(constants, order)
        outputs[:, 0] = arranged(own.multiplier, order)
        self.steps.add(
            node.name, "int8_scale",
            quads=len(target), pixels=layout.words, width=layout.width if layout.padding else layout.pitch,
            pitch=layout.pitch, activation=self._activation(node),
            input=self.values[source].rows[self._quads(source, places, len(target))],
            factors=self.values[factors].rows,
            output=target, residual=NO_TABLE if residual is None else residual,
            zeros=arranged(self._zero_points(source).astype(np.float32), order), outputs=outputs,
        )  # fmt: skip
        return _Value(target, places)
