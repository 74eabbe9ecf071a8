"""Which convolutions the engine runs in blocks of pixels: neighbours on planes that no second-level cache holds.

A pointwise convolution finds each pixel where it writes it, so the next one can go on with a few pixels as soon as they
are there: from the last convolution of one unit to the first of the next one (engine/kernels.h).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shufflenet.engine.steps import MOST_GROUP_STEPS, Layout
from shufflenet.networks.graph import MOVES, Convolution, Graph, Input, Node

_LARGE = 4  # times the room for windows, which is a quarter of a large second-level cache
_BLOCK = 80  # pixels: five of the widest vectors
_MOST_BLOCKS = 3  # measured: more at a time are no faster, however large the cache


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
        if isinstance(node, MOVES) or node in in_strips:  # what runs in strips has run before
            continue
        if not isinstance(node, Convolution) or not node.pointwise or isinstance(node.inputs[0], Input):
            current = []
        elif (
            current
            and node not in added_to
            and len(current) < MOST_GROUP_STEPS
            and current[-1] in _written(node.inputs)
        ):
            current.append(node)
        else:
            current = [node]
            runs.append(current)
    return [
        Blocks(nodes, min(_MOST_BLOCKS, max(1, window_floats // _rows(nodes) // _BLOCK)) * _BLOCK)
        for nodes in runs
        if len(nodes) > 1 and _rows(nodes[:1]) * layouts[nodes[0]].floats > _LARGE * window_floats
    ]


def _written(nodes: Sequence[Node]) -> set[Node]:
    """The operators that wrote these values."""
    written: set[Node] = set()
    for node in nodes:
        written |= _written(node.inputs) if isinstance(node, MOVES) else {node}
    return written


def _rows(nodes: Sequence[Convolution]) -> int:
    """That they read or write, at least."""
    others = sum(max(0, node.in_channels - before.channels) for before, node in pairwise(nodes))
    return nodes[0].in_channels + sum(node.channels for node in nodes) + others
