"""Windows as programs have them (sides, dilations, padding by edge) as the graph's: square, one padding all around.

A kernel that is not square, or dilated, becomes the square one with zeros, which computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers.programs.program import Operation

_MOST_SIDE = 64  # of a kernel with its zeros

Edges = tuple[int, int, int, int]  # top, left, bottom, right
NO_EDGES: Edges = (0, 0, 0, 0)


@dataclass(frozen=True)
class Window:
    """``edges``: the pixels of padding; ``size`` is that of the plane, height and width."""

    kernel: tuple[int, int]
    stride: int
    dilations: tuple[int, int]
    edges: Edges
    ceil: bool
    size: tuple[int, int]

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels from a window's first to its last, with both."""
        (height, width), (down, right) = self.kernel, self.dilations
        return (height - 1) * down + 1, (width - 1) * right + 1

    def outputs(self) -> tuple[int, int]:
        """Height and width of the output."""

        def count(axis: int) -> int:
            beyond = self.size[axis] + self.edges[axis] + self.edges[axis + 2] - self.reach[axis]
            if not self.ceil or beyond < 0:
                return beyond // self.stride + 1
            last = -(-beyond // self.stride)
            return last + (last * self.stride < self.size[axis] + self.edges[axis])

        return count(0), count(1)


def window_of(
    operation: Operation, size: tuple[int, int], kernel: Sequence[int], before: Edges = (0, 0, 0, 0)
) -> Window:
    """The window of an operator on planes of ``size``; ``before``: padding by an operator before it.

    Raises:
        ProgramError: the graph has no such window.
    """
    given = operation.attributes
    strides, dilations = (tuple(given.get(key) or (1, 1)) for key in ("strides", "dilations"))
    if len(kernel) != 2 or len(strides) != 2 or len(dilations) != 2:
        raise operation.refused(f"kernel_shape {list(kernel)} is not that of planes")
    if strides[0] != strides[1]:
        raise operation.refused(f"strides {list(strides)}: both must be the same")
    padding = tuple(given.get("pads") or (0, 0, 0, 0))
    automatic = given.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        padding = _same(size, kernel, strides[0], dilations, automatic == "SAME_LOWER")
    elif automatic not in ("NOTSET", "VALID"):
        raise operation.refused(f"auto_pad {automatic}")
    if len(padding) != 4 or min(padding) < 0:
        raise operation.refused(f"pads {list(padding)}")
    edges = tuple(a + b for a, b in zip(padding, before, strict=True))
    window = Window(tuple(kernel), strides[0], dilations, edges, bool(given.get("ceil_mode", 0)), size)  # type: ignore[arg-type]
    if min(*window.kernel, window.stride, *window.dilations) < 1 or max(window.reach) > _MOST_SIDE:
        raise operation.refused(f"kernel_shape {list(kernel)} with dilations {list(dilations)}")
    if min(window.outputs()) < 1:
        raise operation.refused(f"planes of {size[1]} x {size[0]} pixels are too small for it")
    return window


def _same(
    size: tuple[int, int], kernel: Sequence[int], stride: int, dilations: Sequence[Any], lower: bool
) -> tuple[int, ...]:
    begins, ends = [], []
    for pixels, side, dilation in zip(size, kernel, dilations, strict=True):
        all_of_it = max((-(-pixels // stride) - 1) * stride + (side - 1) * dilation + 1 - pixels, 0)
        less, more = all_of_it // 2, all_of_it - all_of_it // 2
        begins.append(more if lower else less)
        ends.append(less if lower else more)
    return (*begins, *ends)


@dataclass(frozen=True)
class Square:
    """A square kernel of ``side``: ``padding`` all around, behind ``before`` and ``after`` pixels of an explicit pad.

    Args:
        rows: of the square, those that hold a row of the window's kernel; the others are zeros.
        columns: those that hold a column of it.
    """

    side: int
    rows: slice
    columns: slice
    padding: int
    before: int
    after: int

    def enlarged(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """The weights [out, in, kernel height, kernel width] with the square's zeros around and between."""
        square = np.zeros((*weight.shape[:2], self.side, self.side), np.float32)
        square[:, :, self.rows, self.columns] = weight
        return square


def squared(window: Window) -> Square | None:
    """The square kernel that computes the same; None: its padding differs too much from edge to edge."""
    top, left, bottom, right = window.edges
    height, width = window.reach
    # What is more below and to the right than above and to the left is padded by itself; what is less, by zeros of the
    # kernel behind it.
    padding = max(top, left)
    above, beside = padding - top, padding - left
    side = max(height + above, width + beside)
    below, behind = bottom + side - height - above, right + side - width - beside
    if below != behind:
        return None
    if below < padding:
        side, below = side + padding - below, padding
    if side > _MOST_SIDE:
        return None
    down, across = window.dilations
    rows, columns = slice(above, above + height, down), slice(beside, beside + width, across)
    if padding < side:
        return Square(side, rows, columns, padding, 0, below - padding)
    return Square(side, rows, columns, 0, padding, below)
