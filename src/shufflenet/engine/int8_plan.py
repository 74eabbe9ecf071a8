"""From a quantized model to a plan: what plan.py is for float32. The steps are described in engine/int8_steps.h."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.layout import ByteLayout, Layout, keeps_size, round_up, runs_depthwise
from shufflenet.engine.quads import LANES, Storage, storage_of
from shufflenet.engine.steps import NO_TABLE, Floats, Indices, Rows, Steps
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Input,
    Node,
    Pool,
    Shuffle,
    Split,
)
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Quantized, Requantised, carriers, constants_of, pixel_input

_Number = TypeVar("_Number", bound=np.generic)

# enum int8_reads and int8_writes in engine/int8_steps.h.
QUADS_READ, WINDOWS_READ, WINDOWS_OF_STRIDE_2_READ = range(3)
QUADS_WRITTEN, QUADS_ADDED, BYTES_WRITTEN = range(3)


@dataclass(frozen=True)
class _Value:
    """Where the channels of a value lie: in quads, or in byte rows of their own.

    Args:
        places: LANES * quad + lane of each channel, [C]; None: row c is channel c's.
    """

    rows: Rows
    places: Indices | None

    def quads_of(self, channels: Indices | slice) -> Indices:
        """The quads that hold these channels, each once, in the order of their first channels."""
        assert self.places is not None
        quads, firsts = np.unique(self.places[channels] // LANES, return_index=True)
        return quads[np.argsort(firsts)]


def plan_int8(model: Model, graph: Graph, sizes: dict[Node, tuple[int, int]]) -> Steps:
    """The steps of a quantized model; ``sizes`` as `Graph.sizes` gives them.

    Raises:
        ValueError: the network has an operator that the engine has no int8 kernel for.
    """
    assert model.quantized is not None
    planner = _Planner(model, model.quantized, graph, sizes)
    for node in graph.nodes[1:]:
        planner.add(node)
    return planner.steps


@dataclass
class _Planner:
    """Adds the steps of one node after the other."""

    model: Model
    quantized: Quantized
    graph: Graph
    sizes: dict[Node, tuple[int, int]]
    steps: Steps = field(default_factory=Steps)
    values: dict[Node, _Value] = field(default_factory=dict)  # of every node's output, until its last reader has run

    def __post_init__(self) -> None:
        self.readers = self.graph.readers()
        self.carried = carriers(self.graph)
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
            case Convolution() if runs_depthwise(node):
                return self._depthwise(node)
            case Convolution() if isinstance(node.inputs[0], Input):
                return self._stem(node)
            case Convolution() if keeps_size(node, self.sizes):
                return self._convolution(node)
            case Pool():
                return self._pool(node)
            case AdaptiveAveragePool() if node.size == 1:
                return self._global_average_pool(node)
            case FullyConnected() if node is self.graph.nodes[-1] and isinstance(node.inputs[0], AdaptiveAveragePool):
                return self._classifier(node)
            case Add() if node in self.carried.values():
                return self.values[next(source for source in node.inputs if self.carried.get(source) is node)]
            case Concat():
                return self._concat(node)
            case Split():
                return self._channels(node, slice(node.first, node.first + node.channels))
            case Shuffle():
                return self._channels(node, node.order)
            case _:
                raise ValueError(f"{node.name}: the engine has no int8 kernel for such a {type(node).__name__}")

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

    def _gaps(self) -> dict[tuple[int, int], int]:
        """Words between the lines of planes of each size: zeros that dense convolutions find beside their input."""
        gaps = dict.fromkeys(self.sizes.values(), 0)
        for node in self.graph.nodes:
            if isinstance(node, Convolution) and not runs_depthwise(node) and keeps_size(node, self.sizes):
                gaps[self.sizes[node]] = max(gaps[self.sizes[node]], node.padding)
        return gaps

    def _layout(self, node: Node) -> Layout:
        """How a value in quads lies."""
        height, width = self.sizes[node]
        gap = self.gaps[height, width]
        return Layout(height, width, width + gap, gap)

    def _byte_layout(self, node: Node) -> ByteLayout:
        """How a value in byte rows lies."""
        return ByteLayout(*self.sizes[node], padding=1)

    def _constants(self, node: Node, *size: int) -> Requantised:
        return constants_of(self.carried.get(node, node), self.quantized, self.carried, *size)

    def _without_offset(self, node: Node, *size: int) -> Requantised:
        constants = self._constants(node, *size)
        if constants.offset.any():
            raise ValueError(
                f"{node.name}: in 8 bits the engine needs a ReLU behind it, but for depthwise convolutions"
            )
        return constants

    def _target(self, node: Node) -> tuple[Rows, Rows | None, Indices | None]:
        """Where ``node`` writes: its rows; those of what it adds, quad for quad; and the places of its channels."""
        if node in self.storage.in_bytes:
            return self.steps.rows(node.channels, self._byte_layout(node)), None, None
        places, count = self.storage.places[node], self.storage.quads(node)
        add = self.carried.get(node)
        if add is None:
            return self.steps.rows(count, self._layout(node)), None, places
        (other,) = (source for source in add.inputs if source is not node)
        value = self.values[other]
        assert value.places is not None
        from_quad = np.zeros(count, np.int64)
        from_quad[places // LANES] = value.places // LANES
        residual = value.rows[from_quad]
        last_reader = self.readers[other][-1] is add
        if last_reader and other not in node.inputs and self.steps.only_reference(value.rows):
            return residual, residual, places  # added in place
        return self.steps.rows(count, self._layout(node)), residual, places

    def _convolution(self, node: Convolution) -> _Value:
        """Pointwise, or with shifted rows for the taps: whatever finds its input's pixels where it writes them."""
        source, layout = self.values[node.inputs[0]], self._layout(node)
        if source.places is None:
            raise ValueError(f"{node.name}: the engine has no int8 kernel for such a convolution of byte rows")
        if node.padding > layout.padding or node.padding not in (0, node.kernel_size // 2):
            raise ValueError(f"{node.name}: the engine has no int8 kernel for a padding of {node.padding}")
        groups, taps = node.groups, node.kernel_size**2
        per_group = node.in_channels // groups
        quads = [source.quads_of(slice(g * per_group, (g + 1) * per_group)) for g in range(groups)]
        k = max(map(len, quads))
        y, x = np.divmod(np.arange(taps), node.kernel_size)
        shifts = (y - node.padding) * layout.pitch + x - node.padding
        rows, arranged = [], np.zeros((node.channels, k, taps, LANES), np.int8)
        weight = self.quantized.layers[node.name].weight.reshape(node.channels, per_group, taps)
        for g, some in enumerate(quads):
            padded = np.concatenate([some, np.full(k - len(some), some[0])])
            rows.append(source.rows[np.repeat(padded, taps)].shifted(np.tile(shifts, k)))
            places = source.places[g * per_group : (g + 1) * per_group]
            number_of = {int(quad): number for number, quad in enumerate(some)}
            numbers = np.array([number_of[int(place) // LANES] for place in places])
            outputs = slice(g * (node.channels // groups), (g + 1) * (node.channels // groups))
            arranged[outputs, numbers, :, places % LANES] = weight[outputs].transpose(1, 0, 2)
        return self._add_convolution(
            node, arranged.reshape(node.channels, k * taps, LANES), Rows.join(rows), QUADS_READ, layout.pitch
        )

    def _stem(self, node: Convolution) -> _Value:
        """The stem, 3x3 on the picture: its windows are read from byte rows."""
        if (node.kernel_size, node.padding, node.groups) != (3, 1, 1) or node.stride not in (1, 2) or node.channels % 4:
            raise ValueError(f"{node.name}: the engine has no int8 kernel for such a convolution of the picture")
        height, width = self.sizes[node]
        channels, stride = node.in_channels, node.stride
        lines, pitch = stride * (height - 1) + 3, round_up(stride * width + 4, 4)
        rows = self.steps.new_rows(channels, lines * pitch // 4)
        pixels = pixel_input(self.model.preprocessing.mean, self.model.preprocessing.std)
        self.steps.add(
            "input", "int8_input", padding=1, out_height=lines, out_pitch=pitch, output=rows,
            factors=pixels.multiplier, offsets=pixels.offset, around=pixels.padding.astype(np.int32),
        )  # fmt: skip
        taps = Rows.join([rows[c : c + 1].shifted(line * pitch // 4) for c in range(channels) for line in range(3)])
        weight = np.zeros((node.channels, channels, 3, LANES), np.int8)
        weight[..., :3] = self.quantized.layers[node.name].weight
        reads = WINDOWS_READ if stride == 1 else WINDOWS_OF_STRIDE_2_READ
        return self._add_convolution(node, weight.reshape(node.channels, -1, LANES), taps, reads, stride * pitch // 4)

    def _add_convolution(
        self, node: Convolution, weight: NDArray[np.int8], taps: Rows, reads: int, in_pitch: int
    ) -> _Value:
        """``weight``: [M, K, LANES]."""
        if self.carried.get(node, node).activation not in ("linear", "relu"):
            raise ValueError(f"{node.name}: the engine has no int8 kernel for its activation")
        target, residual, places = self._target(node)
        constants, layer = self._without_offset(node), self.quantized.layers[node.name]
        groups, m = node.groups, node.channels // node.groups
        out, added, order = target, residual, np.arange(node.channels)
        if places is not None:
            out, added, order, m = self._whole_quads(node, target, residual, places)
        layout: Layout | ByteLayout = self._layout(node) if places is not None else self._byte_layout(node)
        added_factors = constants.residual_multiplier
        self.steps.add(
            node.name,
            "int8_convolution",
            groups=groups,
            k=weight.shape[1],
            m=m,
            pixels=(layout.height - 1) * layout.pitch + layout.width,
            width=layout.width if isinstance(layout, Layout) and layout.padding else layout.pitch,
            pitch=layout.pitch,
            in_pitch=in_pitch,
            reads=reads,
            writes=BYTES_WRITTEN if places is None else QUADS_WRITTEN if residual is None else QUADS_ADDED,
            input=taps,
            output=out,
            residual=NO_TABLE if added is None else added,
            weights=_arranged(weight, order),
            bias=_arranged(layer.bias, order),
            factors=_arranged(constants.multiplier, order),
            residual_factors=0 if added_factors is None else _arranged(added_factors, order),
        )
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
        source, layer = self.values[node.inputs[0]], self.quantized.layers[node.name]
        if source.places is not None or node in self.storage.in_bytes:
            raise ValueError(f"{node.name}: the engine has no int8 kernel for such a depthwise convolution")
        target, residual, places = self._target(node)
        assert places is not None
        assert residual is None
        (height, width), constants = self.sizes[node.inputs[0]], self._constants(node)
        order = np.full(len(target) * LANES, -1)
        order[places] = np.arange(node.channels)
        self.steps.add(
            node.name,
            "int8_depthwise",
            quads=len(target),
            height=height,
            width=width,
            stride=node.stride,
            in_pitch=width,
            out_pitch=self._layout(node).pitch,
            input=source.rows[np.maximum(order, 0)],
            output=target,
            weights=_arranged(layer.weight.reshape(node.channels, 9), order),
            bias=_arranged(layer.bias, order),
            factors=_arranged(constants.multiplier, order),
            offsets=_arranged(constants.offset, order),
        )
        return _Value(target, places)

    def _pool(self, node: Pool) -> _Value:
        source, source_layout = self.values[node.inputs[0]], self._layout(node.inputs[0])
        target, _, places = self._target(node)
        if source.places is None or places is None:
            raise ValueError(f"{node.name}: the engine has no int8 kernel for a pool beside depthwise convolutions")
        sizes = zip(self.sizes[node], self.sizes[node.inputs[0]], strict=True)
        if any(2 * windows > size + node.padding for windows, size in sizes):
            raise ValueError(f"{node.name}: a window of the engine's pools reaches over the edge by one pixel at most")
        from_quad = np.zeros(len(target), np.int64)
        from_quad[places // LANES] = source.places // LANES
        factors: Floats | int = 0
        if node.kind == "average":
            factors = np.zeros(len(target) * LANES, np.float32)
            factors[places] = self._without_offset(node).multiplier
        self.steps.add(
            node.name,
            "int8_max_pool" if node.kind == "max" else "int8_average_pool",
            quads=len(target),
            height=source_layout.height,
            width=source_layout.width,
            in_pitch=source_layout.pitch,
            out_pitch=self._layout(node).pitch,
            padding=node.padding,
            out_height=self.sizes[node][0],
            out_width=self.sizes[node][1],
            input=source.rows[from_quad],
            output=target,
            factors=factors,
        )
        return _Value(target, places)

    def _global_average_pool(self, node: AdaptiveAveragePool) -> _Value:
        source, layout = self.values[node.inputs[0]], self._layout(node.inputs[0])
        if source.places is None:
            raise ValueError(f"{node.name}: the engine has no int8 kernel for an average of byte rows")
        quads = source.quads_of(slice(None))
        number_of = {int(quad): number for number, quad in enumerate(quads)}
        places = np.array([LANES * number_of[int(place) // LANES] + int(place) % LANES for place in source.places])
        factors = np.zeros(len(quads) * LANES, np.float32)
        factors[places] = self._without_offset(node, layout.height, layout.width).multiplier
        target = self.steps.new_rows(1, len(quads))
        self.steps.add(
            node.name,
            "int8_global_average_pool",
            quads=len(quads),
            height=layout.height,
            width=layout.width,
            in_pitch=layout.pitch,
            input=source.rows[quads],
            output=target,
            factors=factors,
        )
        return _Value(target, places)

    def _classifier(self, node: FullyConnected) -> _Value:
        source, layer = self.values[node.inputs[0]], self.quantized.layers[node.name]
        assert source.places is not None
        k = int(source.places.max()) // LANES + 1
        weights = np.zeros((node.channels, k * LANES), np.int8)
        weights[:, source.places] = layer.weight
        self.steps.add(
            node.name,
            "int8_fully_connected",
            k=k,
            m=node.channels,
            input=source.rows,
            weights=weights,
            bias=layer.bias,
            factors=layer.scale,
        )
        return _Value(Rows(np.empty(0, np.int64), np.empty(0, np.int64)), None)


def _arranged(values: NDArray[_Number], order: Indices) -> NDArray[_Number]:
    """One of ``values`` for each of ``order``, which numbers them along the first axis; 0 for -1."""
    arranged = values[np.maximum(order, 0)]
    arranged[order < 0] = 0
    return arranged
