"""Which operators the engine runs in strips: those before the planes become small (engine/strips.h).

The first operators of a network write planes larger than a core's second-level cache. Run a few lines at a time, one
behind the other, they hand them on while they are still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shufflenet.engine.steps import MOST_GROUP_STEPS, ROW_ALIGNMENT, Layout, round_up
from shufflenet.networks.graph import Convolution, Graph, Input, Node, Pool, Shuffle

# What a thread's windows may hold, 384 KB of a second-level cache of 512: more makes a plan faster, not different.
WINDOW_FLOATS = 96 << 10
# And if even strips of one line need more: a third-level cache is still nearer than memory.
_MOST_WINDOW_FLOATS = 256 << 10
_MOST_STRIPS = 1 << 12


@dataclass(frozen=True)
class Strips:
    """``height``: lines that the last operators write, ``lines`` of them in each strip."""

    nodes: list[Node]
    height: int
    lines: int
    windows: dict[Node, int]  # lines of each operator's output that have to be there at once; 0: all, it is read later
    planes: dict[Node, int]  # likewise of the planes into which a convolution splits the picture


def runs_depthwise(node: Node) -> bool:
    """By the engine's kernel for depthwise convolutions."""
    return (
        isinstance(node, Convolution)
        and node.depthwise
        and node.kernel_size == 3
        and node.padding == 1
        and node.stride in (1, 2)
    )


def reach(node: Node) -> int:
    """Lines below the one that it writes that a convolution reads, of planes split by its stride."""
    return (node.kernel_size - 1) // node.stride if isinstance(node, Convolution) and not runs_depthwise(node) else 0


def choose_strips(
    graph: Graph,
    readers: Mapping[Node, Sequence[Node]],
    added_to: Iterable[Node],
    layouts: Mapping[Node, Layout],
    window_floats: int,
) -> Strips | None:
    """As many operators as have room for their windows. None if strips would not help.

    ``added_to``: convolutions that add another value; ``window_floats``: room for a thread's windows, and with it a
    measure of the second-level cache.
    """
    added_to = set(added_to)
    ends = [place for place, node in enumerate(graph.nodes) if _skips_lines(node)]
    for end in reversed(ends):
        nodes = _members(graph.nodes[1 : end + 1], readers, added_to, layouts)
        strips = _strips(nodes, readers, layouts, window_floats)
        if strips:
            return strips
    return None


def _strips(
    nodes: list[Node], readers: Mapping[Node, Sequence[Node]], layouts: Mapping[Node, Layout], window_floats: int
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
        floats = sum(n.channels * n_lines * layouts[n].pitch for n, n_lines in strips.windows.items())
        floats += sum(planes_of(n) * n_lines * planes_pitch(n, layouts[n]) for n, n_lines in strips.planes.items())
        if floats > (window_floats if best else max(window_floats, _MOST_WINDOW_FLOATS)):
            return best
        best = strips
    return None  # a window would hold whole planes


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
        return whole_vectors and not isinstance(node.inputs[0], Input)
    return node.pointwise or isinstance(node.inputs[0], Input)


def _skips_lines(node: Node) -> bool:
    """Reads windows of 3 lines, one for every second line."""
    return isinstance(node, Pool) or (isinstance(node, Convolution) and runs_depthwise(node) and node.stride == 2)


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
            needed[node] = written + reach(node)
        if isinstance(node.inputs[0], Input):
            planes[node] = needed[node]
    windows = {
        node: 0 if node in last else max(needed[reader] for reader in readers[node])
        for node in nodes
        if not isinstance(node, Shuffle)
    }
    return Strips(nodes, height, lines, windows, planes)


def planes_of(node: Node) -> int:
    """Into which a convolution's input is split, by rows and columns modulo its stride."""
    assert isinstance(node, Convolution)
    return node.in_channels * min(node.kernel_size, node.stride) ** 2


def planes_pitch(node: Node, layout: Layout) -> int:
    """Of those planes; ``layout`` is that of the convolution's output.

    Where every line is convolved by itself, all of them lie as the first one does in its vectors.
    """
    pitch = max(layout.pitch, layout.width + reach(node))
    return pitch if pitch == layout.pitch else round_up(pitch, ROW_ALIGNMENT)
