"""How planes lie in the arena: pitches, the zeros around and between lines, and the planes that the stem reads.

Sizes are in words of 32 bits. A row is a plane of words, each of which holds one pixel: of one float32 channel, of two
16-bit channels or of four 8-bit channels (engine/plan.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shufflenet.networks.graph import MOVES, Convolution, Graph, Input, Node, Scale

ROW_ALIGNMENT = 16
ROW_TAIL = ROW_ALIGNMENT - 1


@dataclass(frozen=True)
class Layout:
    """How a channel's plane lies in its row: lines of ``width`` words, ``pitch`` from one to the next.

    If ``padding`` is not 0, an operator looks as many pixels over the edges, and finds zeros there.
    """

    height: int
    width: int
    pitch: int
    padding: int

    @property
    def words(self) -> int:
        """Without what lies behind the last line."""
        return (self.height - 1) * self.pitch + self.width

    @property
    def guard(self) -> int:
        """Words before and behind the plane that must be zero."""
        return self.padding * (self.pitch + 1)

    @property
    def word_around(self) -> int:
        """What the guards hold."""
        return 0


@dataclass(frozen=True)
class ByteLayout:
    """How a channel of 8 bits lies in a byte row, for depthwise convolutions: lines of ``width`` bytes without gaps.

    If ``padding`` is not 0, an operator looks as many pixels over the edges, and finds ``around`` there.
    """

    height: int
    width: int
    padding: int
    around: int

    @property
    def pitch(self) -> int:
        return self.width

    @property
    def bytes(self) -> int:
        return self.height * self.width

    @property
    def words(self) -> int:
        """Whole words; guards are written from the one on in which the plane ends."""
        return self.bytes // 4

    @property
    def word_around(self) -> int:
        """Four bytes of ``around``."""
        return self.around * 0x01010101

    @property
    def guard(self) -> int:
        """Words before the plane and behind its whole words that an operator sees."""
        return self.padding * (-(-(self.width + 1) // 4) + 1)


def layouts(graph: Graph, sizes: Mapping[Node, tuple[int, int]]) -> dict[Node, Layout]:
    """The layout of every node's output; ``sizes`` as `Graph.sizes` gives them.

    All values of one size have one pitch, with the gaps between lines that the neediest convolution asks for.
    """
    gaps, paddings = dict.fromkeys(sizes.values(), 0), dict.fromkeys(graph.nodes, 0)
    for node in reversed(graph.nodes):
        gap = padding = 0
        if isinstance(node, Convolution) and runs_depthwise(node):
            padding = node.padding if node.stride == 1 else 0
            gap = padding if node.kernel_size > 3 else 0  # the kernel for 3x3 can mask what is beyond a line's ends
        elif isinstance(node, Convolution) and keeps_size(node, sizes):
            gap = padding = node.padding
        elif isinstance(node, MOVES | Scale):
            padding = paddings[node]  # its rows are its inputs', or the gaps between its lines come from theirs
        gaps[sizes[node]] = max(gaps[sizes[node]], gap)
        for source in node.inputs:
            paddings[source] = max(paddings[source], padding)
    for node, size in sizes.items():
        if isinstance(node, Convolution) and not runs_depthwise(node) and not keeps_size(node, sizes):
            gaps[size] = gap_behind_planes(size[1], gaps[size], halo(node))
    return {
        node: Layout(height, width, width + gaps[height, width], paddings[node])
        for node, (height, width) in sizes.items()
    }


def runs_depthwise(node: Node) -> bool:
    """Whether the engine's kernel for depthwise convolutions runs it."""
    return (
        isinstance(node, Convolution)
        and node.depthwise
        and node.kernel_size in (3, 5)
        and node.padding == node.kernel_size // 2
        and node.stride in (1, 2)
    )


def runs_depthwise_in_int8(node: Node) -> bool:
    """Whether the engine's int8 kernels for depthwise convolutions run it."""
    return runs_depthwise(node) and not isinstance(node.inputs[0], Input)


def keeps_size(node: Convolution, sizes: Mapping[Node, tuple[int, int]]) -> bool:
    """Whether it finds its taps as shifted rows where its input lies."""
    (source,) = node.inputs
    return node.stride == 1 and sizes[node] == sizes[source] and not isinstance(source, Input)


def halo(node: Node) -> int:
    """Lines below the one that it writes that a convolution reads, of planes split by its stride."""
    return (node.kernel_size - 1) // node.stride if isinstance(node, Convolution) and not runs_depthwise(node) else 0


def planes_of(node: Node) -> int:
    """Into how many planes a convolution's input is split, by rows and columns modulo its stride."""
    assert isinstance(node, Convolution)
    return node.in_channels * min(node.kernel_size, node.stride) ** 2


def planes_pitch(node: Node, layout: Layout) -> int:
    """The pitch of those planes; ``layout`` is that of the convolution's output.

    Where every line is convolved by itself, all of them lie as the first one does in its vectors.
    """
    pitch = max(layout.pitch, layout.width + halo(node))
    return pitch if pitch == layout.pitch else round_up(pitch, ROW_ALIGNMENT)


def gap_behind_planes(width: int, gap: int, halo: int) -> int:
    """The gap behind the lines of a convolution that reads such planes, ``halo`` pixels beyond the right edge.

    Lines of whole vectors can be written one by one, with a pitch of their own. Where those took more than a few
    words, the planes' pitch, so that all lines are one long row of pixels. ``gap``: what others ask for.
    """
    whole = round_up(width + gap, ROW_ALIGNMENT) - width
    return whole if 16 * (whole - gap) <= width else max(gap, halo)


def row_pitch(words: int, guard: int) -> tuple[int, int]:
    """Words from one row of ``words`` to the next, and from the buffer's start to the first; ``guard`` around each."""
    guard = max(guard, ROW_TAIL)
    # An odd number of cache lines: a power of two would put all rows of a group into the same few cache sets.
    pitch = round_up(words + guard, ROW_ALIGNMENT)
    pitch += ROW_ALIGNMENT * (pitch // ROW_ALIGNMENT % 2 == 0)
    return pitch, round_up(pitch - words, ROW_ALIGNMENT)


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
