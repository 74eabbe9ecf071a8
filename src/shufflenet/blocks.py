"""Which convolutions the engine runs in blocks of pixels: neighbours on planes that no cache holds.

A pointwise convolution finds each pixel where it writes it, so the next one can go on with a few pixels as soon as they
are there: from the last convolution of one unit to the first of the next one (engine/kernels.h).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shufflenet.graph import Add, Concat, Convolution, Graph, Input, Node, Shuffle, Split
from shufflenet.steps import Layout

_MOST_STEPS = 16  # MAX_GROUP_STEPS
_CACHES = 4  # windows' room is a quarter of a second-level cache
_TILE = 80  # pixels: five of the widest vectors, so that no tile need be narrow
_MOST_TILES = 3  # measured: more are no faster, however large the cache
_MOVES = Concat | Split | Shuffle | Add  # without a step of their own


@dataclass(frozen=True)
class Blocks:
    """``nodes``: convolutions in their order, with nothing but moves in between; ``pixels`` of each at a time."""

    nodes: list[Convolution]
    pixels: int


def choose_blocks(
    graph: Graph,
    layouts: Mapping[Node, Layout],
    in_strips: Container[Node],
    added_to: Container[Node],
    window_floats: int,
) -> list[Blocks]:
    """Those that are worth it. ``added_to`` and ``window_floats`` as in `strips.choose_strips`."""
    runs: list[list[Convolution]] = []
    current: list[Convolution] = []
    for node in graph.nodes:
        if isinstance(node, _MOVES) or node in in_strips:  # what runs in strips has run before
            continue
        if not isinstance(node, Convolution) or not _is_pointwise(node):
            current = []
        elif current and node not in added_to and len(current) < _MOST_STEPS and _goes_on(current[-1], node, layouts):
            current.append(node)
        else:
            current = [node]
            runs.append(current)
    return [
        Blocks(nodes, min(_MOST_TILES, max(1, window_floats // _rows(nodes) // _TILE)) * _TILE)
        for nodes in runs
        if len(nodes) > 1 and _rows(nodes[:1]) * layouts[nodes[0]].floats > _CACHES * window_floats
    ]


def _is_pointwise(node: Convolution) -> bool:
    return node.kernel_size == node.stride == 1 and node.padding == 0 and not isinstance(node.inputs[0], Input)


def _goes_on(before: Convolution, node: Convolution, layouts: Mapping[Node, Layout]) -> bool:
    """``node`` reads what ``before`` has written, and perhaps other values."""
    return layouts[node].pitch == layouts[before].pitch and before in _written(node.inputs)


def _written(nodes: Sequence[Node]) -> set[Node]:
    """The operators that wrote these values."""
    written: set[Node] = set()
    for node in nodes:
        written |= _written(node.inputs) if isinstance(node, _MOVES) else {node}
    return written


def _rows(nodes: Sequence[Convolution]) -> int:
    """That they read or write."""
    others = sum(max(0, node.in_channels - before.channels) for before, node in pairwise(nodes))
    return nodes[0].in_channels + sum(node.channels for node in nodes) + others
