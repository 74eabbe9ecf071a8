"""Which operators the engine runs in strips: those before the planes become small (engine/operators/strips.c).

The first operators of a network write planes larger than a core's second-level cache. Run a few lines at a time, one
behind the other, they hand them on while they are still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from shufflenet.engine.layout import ROW_ALIGNMENT, Layout, halo, planes_of, planes_pitch, round_up, runs_depthwise
from shufflenet.engine.steps import MOST_GROUP_STEPS
from shufflenet.networks.graph import Convolution, Graph, Input, Node, Pool, Shuffle

# Words that a thread's sliding buffers may hold: 384 KB of a second-level cache of 512.
SLIDING_WORDS = 96 << 10
# And if even strips of one line need more: a third-level cache is still faster than memory.
_MOST_SLIDING_WORDS = 256 << 10
_MOST_STRIPS = 1 << 12


@dataclass(frozen=True)
class Strips:
    """Operators that run in strips: the last ones write ``height`` lines, ``lines`` of them in each strip."""

    nodes: list[Node]
    height: int
    lines: int
    sliding: dict[Node, int]  # lines of each operator's output that have to be there at once; 0: all, it is read later
    planes: dict[Node, int]  # the same of the planes into which a convolution splits the picture


def choose_strips(
    graph: Graph,
    readers: Mapping[Node, Sequence[Node]],
    added_to: Iterable[Node],
    layouts: Mapping[Node, Layout],
    sliding_words: int,
) -> Strips | None:
    """The longest beginning of a network that has room for its sliding buffers; None if strips would not help.

    Args:
        added_to: convolutions that add another value.
        sliding_words: room for a thread's sliding buffers.
    """
    added_to = set(added_to)
    ends = [place for place, node in enumerate(graph.nodes) if _skips_lines(node)]
    for end in reversed(ends):
        nodes = _members(graph.nodes[1 : end + 1], readers, added_to, layouts)
        strips = _strips(nodes, readers, layouts, sliding_words)
        if strips:
            return strips
    return None


def _strips(
    nodes: list[Node], readers: Mapping[Node, Sequence[Node]], layouts: Mapping[Node, Layout], sliding_words: int
) -> Strips | None:
    last = [node for node in nodes if any(reader not in nodes for reader in readers[node])]
    heights = {layouts[node].height for node in last}
    steps = sum(1 + isinstance(node.inputs[0], Input) for node in nodes if not isinstance(node, Shuffle))
    if not steps or steps > MOST_GROUP_STEPS or len(heights) != 1:
        return None
    (height,) = heights
    best = None
    for lines in range(1 + height // _MOST_STRIPS, height):
        strips = _with_lines(nodes, set(last), readers, height, lines)
        words = sum(n.channels * n_lines * layouts[n].pitch for n, n_lines in strips.sliding.items())
        words += sum(planes_of(n) * n_lines * planes_pitch(n, layouts[n]) for n, n_lines in strips.planes.items())
        if words > (sliding_words if best else max(sliding_words, _MOST_SLIDING_WORDS)):
            return best
        best = strips
    return None  # a sliding buffer would hold whole planes


def _members(
    candidates: Sequence[Node],
    readers: Mapping[Node, Sequence[Node]],
    added_to: set[Node],
    layouts: Mapping[Node, Layout],
) -> list[Node]:
    nodes: list[Node] = []
    for node in candidates:
        joins = node not in added_to and _can_join(node, layouts[node])
        if joins and all(isinstance(x, Input) or x in nodes for x in node.inputs):
            nodes.append(node)
    while True:
        outside = {node for node in nodes if any(reader not in nodes for reader in readers[node])}
        # What is read later must be written whole, by an operator that can leave off between two vectors; and what is
        # written whole is not read in strips.
        gone = {node for node in outside if not _skips_lines(node)}
        gone |= {node for node in nodes if any(origin(x) in outside for x in node.inputs)}
        if not gone:
            return nodes
        nodes = [node for node in nodes if node not in gone]


def _can_join(node: Node, layout: Layout) -> bool:
    if isinstance(node, Shuffle) or _skips_lines(node):
        return not isinstance(node.inputs[0], Input)
    if not isinstance(node, Convolution):
        return False
    if runs_depthwise(node):
        whole_vectors = layout.pitch == round_up(layout.width, ROW_ALIGNMENT)
        return _runs_by_lines(node) and whole_vectors and not isinstance(node.inputs[0], Input)
    return node.pointwise or isinstance(node.inputs[0], Input)


def _skips_lines(node: Node) -> bool:
    """Whether it reads windows of 3 lines, one for every second line."""
    return isinstance(node, Pool) or (_runs_by_lines(node) and node.stride == 2)


def _runs_by_lines(node: Node) -> TypeGuard[Convolution]:
    """Whether a kernel for depthwise convolutions runs it that can write some lines only."""
    return isinstance(node, Convolution) and runs_depthwise(node) and node.kernel_size == 3


def origin(node: Node) -> Node:
    """The operator that has written the rows of ``node``."""
    while isinstance(node, Shuffle):
        node = node.inputs[0]
    return node


def _with_lines(
    nodes: list[Node], last: set[Node], readers: Mapping[Node, Sequence[Node]], height: int, lines: int
) -> Strips:
    needed: dict[Node, int] = {}
    planes: dict[Node, int] = {}
    for node in reversed(nodes):
        written = lines if node in last else max(needed[reader] for reader in readers[node])
        if isinstance(node, Shuffle):
            needed[node] = written
        elif _skips_lines(node):
            needed[node] = 2 * written + 1
        elif runs_depthwise(node):
            needed[node] = written + 2
        else:
            needed[node] = written + halo(node)
        if isinstance(node.inputs[0], Input):
            planes[node] = needed[node]
    sliding = {
        node: 0 if node in last else max(needed[reader] for reader in readers[node])
        for node in nodes
        if not isinstance(node, Shuffle)
    }
    return Strips(nodes, height, lines, sliding, planes)
