"""From a program to a graph that computes the same, operator by operator.

What follows a layer joins it where it can: batch norm, an activation, a factor or an offset of each channel. Where it
can't, it becomes a 1x1 depthwise convolution of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers.programs import channel_operators, moving_operators, pool_operators, weighted_operators
from shufflenet.importers.programs.draft import as_graph
from shufflenet.importers.programs.program import Program, ProgramError
from shufflenet.importers.programs.translation import Function, Translation
from shufflenet.networks.graph import Graph, Node, WindowPool

MOST_WORK = 1 << 38  # for a picture: some ten seconds of a core


@dataclass(frozen=True)
class Translated:
    """A graph with its tensors, and for each operator of it the value of the program that it computes, if it is one."""

    graph: Graph
    tensors: dict[str, NDArray[np.float32]]
    made: dict[Node, str]


def translate(program: Program, name: str) -> Translated:
    """The graph, called ``name``, that computes the logits of ``program``.

    Raises:
        ProgramError: it has an operator or an attribute that no graph expresses, or computes more than `MOST_WORK` or
            `translation.MOST_NUMBERS`; the message says which and where.
    """
    with np.errstate(all="ignore"):  # weights that make no finite numbers are told by the logits
        graph, tensors, nodes = as_graph(name, Translation(program, _OPERATORS).run())
    if (work := _work(graph, *program.shape[2:])) > MOST_WORK:
        raise ProgramError(f"it takes {work:,} multiplications or comparisons a picture, more than {MOST_WORK:,}")
    return Translated(graph, tensors, {node: layer.made for layer, node in nodes.items() if layer.made})


def _work(graph: Graph, height: int, width: int) -> int:
    """Multiply-adds of layers with weights, and the pixels that windows of pools see."""
    work = 0
    for node, size in graph.sizes(height, width).items():
        work += node.macs(*size)
        if isinstance(node, WindowPool):
            work += node.channels * size[0] * size[1] * node.kernel_size**2
    return work


_OPERATORS: Mapping[str, Function] = {
    "Add": channel_operators.arithmetic,
    "AveragePool": pool_operators.pool,
    "BatchNormalization": channel_operators.batch_norm,
    "Clip": channel_operators.clip,
    "Concat": moving_operators.concat,
    "Conv": weighted_operators.convolution,
    "Div": channel_operators.arithmetic,
    "Dropout": moving_operators.same,
    "Flatten": moving_operators.flatten,
    "Gather": moving_operators.gather,
    "Gemm": weighted_operators.gemm,
    "GlobalAveragePool": pool_operators.global_average,
    "HardSigmoid": channel_operators.hard_sigmoid,
    "Identity": moving_operators.same,
    "LeakyRelu": channel_operators.leaky,
    "MatMul": weighted_operators.matmul,
    "MaxPool": pool_operators.pool,
    "Mul": channel_operators.arithmetic,
    "PRelu": channel_operators.leaky,
    "Pad": pool_operators.pad,
    "ReduceMean": pool_operators.reduce_mean,
    "Reshape": moving_operators.reshape,
    "Slice": moving_operators.slice_channels,
    "Split": moving_operators.split,
    "Squeeze": moving_operators.squeeze,
    "Sub": channel_operators.arithmetic,
    "Transpose": moving_operators.transpose,
    "Unsqueeze": moving_operators.unsqueeze,
    "Gelu": partial(channel_operators.activated, activation="gelu"),
    "HardSwish": partial(channel_operators.activated, activation="hard_swish"),
    "Relu": partial(channel_operators.activated, activation="relu"),
    "Sigmoid": partial(channel_operators.activated, activation="sigmoid"),
    "Silu": partial(channel_operators.activated, activation="silu"),
}
