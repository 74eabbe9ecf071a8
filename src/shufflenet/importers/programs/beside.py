"""A translated network beside the program that it comes from: the logits must be the same, or a layer is named."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.engine import Engine
from shufflenet.importers.programs.program import Program, ProgramError
from shufflenet.importers.programs.translate import Translated
from shufflenet.networks.graph import AdaptiveAveragePool, Graph, Node
from shufflenet.networks.model import Model

# The engine may differ from the program by this much of the largest logit.
TOLERANCE = 1e-5

_MOST_WINDOWS = 8  # on a side, by whose means a layer's planes are compared
_SECONDS = 60  # in which the first layer that differs is looked for

Inputs = Sequence[NDArray[np.float32]]


def difference(translated: Translated, program: Program, inputs: Inputs) -> float:
    """How far the engine's logits are from the program's, in parts of its largest one.

    Args:
        inputs: each float32 [1, C, H, W].

    Raises:
        ProgramError: by more than `TOLERANCE`; the message names the first layer that differs.
    """
    engine = Engine(Model(translated.graph, translated.tensors))
    worst = 0.0
    for x in inputs:
        (expected,) = program.run(x, [program.output])
        if not _is_of(expected, translated.graph.classes):
            raise ProgramError("its own output is not one row of logits, float32 [1, classes]")
        if not np.isfinite(expected).all():
            raise ProgramError("its own logits of a test picture are not finite")
        apart = _apart(engine.run(x), expected)
        if not apart <= TOLERANCE:
            raise ProgramError(
                f"the engine's logits differ from its own by {apart:.1e} of the largest, more than {TOLERANCE:g}; "
                f"{_first_that_differs(translated, program, x)}"
            )
        worst = max(worst, apart)
    return worst


def _is_of(theirs: Any, count: int) -> bool:
    """Whether a program's value is so many floats."""
    return isinstance(theirs, np.ndarray) and theirs.dtype == np.float32 and theirs.size == count


def _apart(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    with np.errstate(all="ignore"):
        largest = np.abs(theirs).max()
        if not largest:
            return 0.0 if not np.abs(ours).max() else np.inf
        return float(np.abs(ours.ravel() - theirs.ravel()).max() / largest)


def _first_that_differs(translated: Translated, program: Program, x: NDArray[np.float32]) -> str:
    """In words; found one by one, since branches that differ stand beside others that don't."""
    nodes = [node for node in translated.graph.nodes if node in translated.made and node is not translated.graph.input]
    theirs = dict(zip(nodes, program.run(x, [translated.made[node] for node in nodes]), strict=True))
    end = monotonic() + _SECONDS
    for node in nodes:
        if not _layer_apart(translated, node, x, theirs[node]) <= TOLERANCE or node is nodes[-1]:
            return f"the first layer that differs is {node.name}, which computes {translated.made[node]!r}"
        if monotonic() > end:
            return f"the first {nodes.index(node) + 1:,} layers don't differ"
    return "no layer's own values are known"


def _layer_apart(translated: Translated, node: Node, x: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """How far a layer's values are from the program's; planes are compared by the means of windows."""
    nodes = translated.graph.nodes
    part = Graph(translated.graph.name, translated.graph.in_channels)
    part.input, part.nodes = translated.graph.input, nodes[: nodes.index(node) + 1]
    height, width = translated.graph.sizes(*x.shape[2:])[node]
    if not _is_of(theirs, node.channels * height * width):
        return np.inf
    if not node.flat:
        theirs = theirs.reshape(1, node.channels, height, width)
        windows = min(height, width, _MOST_WINDOWS)
        pool = AdaptiveAveragePool("values", (node,), node.channels * windows**2, windows)
        part.append(pool)
        theirs = _means(theirs, pool)
    names = part.tensor_shapes()
    ours = Engine(Model(part, {name: translated.tensors[name] for name in names})).run(x)
    return _apart(ours, theirs)


def _means(planes: NDArray[np.float32], pool: AdaptiveAveragePool) -> NDArray[np.float32]:
    rows = [
        [planes[0, :, top:bottom, left:right].mean(axis=(1, 2)) for left, right in pool.windows(planes.shape[3])]
        for top, bottom in pool.windows(planes.shape[2])
    ]
    return np.asarray(rows, np.float32).transpose(2, 0, 1)
