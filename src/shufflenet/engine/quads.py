"""How the channels of a quantized network's values share words: a quad row holds four channels of each pixel.

Which four is free, since weights are arranged alike, but for what an operator can do: a convolution reads and writes
quads of one of its groups, a pool's quads are its input's, and so are those of what is added. `storage_of` finds quads
that suit all who write and read them. What a dense convolution writes for depthwise ones alone is byte rows instead,
one channel each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from shufflenet.engine.layout import runs_depthwise_in_int8
from shufflenet.engine.steps import Indices
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    Graph,
    Input,
    Node,
    Pool,
    Scale,
    Shuffle,
    Split,
)

LANES = 4


@dataclass(frozen=True)
class Storage:
    """Where the bytes of a network's values are written.

    Args:
        writers: the operators that write any planes.
        written_by: for every node, which writer's and which of its channels each of its own channels is. [C] each.
        in_bytes: writers whose output is byte rows.
        places: for each writer of quads the place of each channel, LANES * quad + lane. [C]
    """

    writers: list[Node]
    written_by: dict[Node, tuple[Indices, Indices]]
    in_bytes: set[Node]
    places: dict[Node, Indices]

    def quads(self, writer: Node) -> int:
        """How many quads a writer's output has."""
        return int(self.places[writer].max()) // LANES + 1


def storage_of(graph: Graph, added_to: Mapping[Node, Add]) -> Storage:
    """Finds the place of every channel.

    Args:
        added_to: the operators that add another value in their own step, and that addition.
    """
    moves = Input | Add | Concat | Split | Shuffle
    writers = [node for node in graph.nodes if not node.flat and not isinstance(node, moves)]
    written_by = _written_by(graph, writers, added_to)
    in_bytes = _in_bytes(graph, writers, written_by, added_to)
    return Storage(writers, written_by, in_bytes, _places(graph, writers, written_by, in_bytes, added_to))


def _written_by(graph: Graph, writers: list[Node], added_to: Mapping[Node, Add]) -> dict[Node, tuple[Indices, Indices]]:
    numbers = {writer: number for number, writer in enumerate(writers)}
    carrier_of = {add: carrier for carrier, add in added_to.items()}
    found: dict[Node, tuple[Indices, Indices]] = {}
    for node in graph.nodes[1:]:
        if node.flat:
            continue
        match node:
            case Add():
                found[node] = found[carrier_of[node]]
            case Concat():
                parts = [found[source] for source in node.inputs]
                found[node] = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
            case Split():
                some = slice(node.first, node.first + node.channels)
                found[node] = found[node.inputs[0]][0][some], found[node.inputs[0]][1][some]
            case Shuffle():
                found[node] = found[node.inputs[0]][0][node.order], found[node.inputs[0]][1][node.order]
            case _:
                found[node] = np.full(node.channels, numbers[node]), np.arange(node.channels)
    return found


def _in_bytes(
    graph: Graph,
    writers: list[Node],
    written_by: Mapping[Node, tuple[Indices, Indices]],
    added_to: Mapping[Node, Add],
) -> set[Node]:
    """Dense convolutions that nothing but depthwise ones read, all of whose inputs are so."""
    depthwise: list[set[Node]] = []  # the writers of what each depthwise convolution reads
    others: set[Node] = set()
    for node in graph.nodes[1:]:
        if isinstance(node, Concat | Split | Shuffle):
            continue
        for source in node.inputs:
            if source.flat or isinstance(source, Input):
                continue
            read = {writers[number] for number in np.unique(written_by[source][0]).tolist()}
            if runs_depthwise_in_int8(node):
                depthwise.append(read)
            else:
                others |= read
    found: set[Node] = {
        writer
        for writer in set().union(*depthwise) - others - added_to.keys()
        if isinstance(writer, Convolution)
        and not runs_depthwise_in_int8(writer)
        and not (isinstance(writer.inputs[0], Input) and writer.channels % LANES)  # the stem writes whole quads
    }
    while mixed := set().union(*(read for read in depthwise if not read <= found)) & found:
        found -= mixed
    return found


def _places(
    graph: Graph,
    writers: list[Node],
    written_by: Mapping[Node, tuple[Indices, Indices]],
    in_bytes: set[Node],
    added_to: Mapping[Node, Add],
) -> dict[Node, Indices]:
    first = dict(zip(writers, np.cumsum([0, *(w.channels for w in writers)]).tolist(), strict=False))
    starts = np.array([first[writer] for writer in writers])

    def channels_of(node: Node) -> Indices:
        """The numbers of a node's channels among those of all writers."""
        numbers, channels = written_by[node]
        return starts[numbers] + channels

    same = _Classes(sum(writer.channels for writer in writers))
    asks: list[set[Hashable]] = [set() for _ in same.parents]

    def ask(who: Hashable, channels: Indices, groups: int) -> None:
        for place, channel in enumerate(channels.tolist()):
            asks[channel].add((who, place * groups // len(channels)))

    for writer in writers:
        groups = writer.groups if isinstance(writer, Convolution) and not runs_depthwise_in_int8(writer) else 1
        ask((writer, "writes"), channels_of(writer), groups)
    for node in graph.nodes[1:]:
        source = node.inputs[0]
        if source.flat or isinstance(source, Input) or runs_depthwise_in_int8(node):
            continue
        if isinstance(node, Convolution | AdaptiveAveragePool):
            ask(node, channels_of(source), node.groups if isinstance(node, Convolution) else 1)
        if isinstance(node, Pool | Scale):
            same.join(channels_of(node), channels_of(source))
        if node in added_to:
            (other,) = (x for x in added_to[node].inputs if x is not node)
            same.join(channels_of(node), channels_of(other))
    chosen = _quads(same, asks)
    places: dict[Node, Indices] = {}
    for writer in writers:
        if writer not in in_bytes:
            quads, lanes = chosen[0][channels_of(writer)], chosen[1][channels_of(writer)]
            _, firsts, numbers = np.unique(quads, return_index=True, return_inverse=True)
            order = np.argsort(np.argsort(firsts))  # quads in the order of their first channels
            places[writer] = LANES * order[numbers] + lanes
    return places


def _quads(same: _Classes, asks: list[set[Hashable]]) -> tuple[Indices, Indices]:
    """Quad and lane of every channel: four by four of those of which all ask the same."""
    members: dict[int, list[int]] = defaultdict(list)
    for channel in range(len(asks)):
        members[same.find(channel)].append(channel)
    alike: dict[frozenset[Hashable], list[list[int]]] = defaultdict(list)
    for channels in members.values():
        alike[frozenset().union(*(asks[channel] for channel in channels))].append(channels)
    quads, lanes = np.zeros(len(asks), np.int64), np.zeros(len(asks), np.int64)
    count = 0
    for classes in alike.values():
        for place, channels in enumerate(classes):
            quads[channels], lanes[channels] = count + place // LANES, place % LANES
        count += -(-len(classes) // LANES)
    return quads, lanes


class _Classes:
    """Channels that have to lie at the same place of their quads."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def find(self, channel: int) -> int:
        while self.parents[channel] != channel:
            self.parents[channel] = self.parents[self.parents[channel]]
            channel = self.parents[channel]
        return channel

    def join(self, some: Indices, others: Indices) -> None:
        for a, b in zip(some.tolist(), others.tolist(), strict=True):
            a, b = sorted((self.find(a), self.find(b)))
            self.parents[b] = a
