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
from shufflenet.importers.programs.program import Program
from shufflenet.importers.programs.translation import Function, Translation
from shufflenet.networks.graph import Graph, Node


@dataclass(frozen=True)
class Translated:
    """A graph with its tensors, and for each operator of it the value of the program that it computes, if it is one."""

    graph: Graph
    tensors: dict[str, NDArray[np.float32]]
    made: dict[Node, str]


def translate(program: Program, name: str) -> Translated:
    """The graph, called ``name``, that computes the logits of ``program``.

    Raises:
        ProgramError: it has an operator or an attribute that no graph expresses; the message says which and where.
    """
    graph, tensors, nodes = as_graph(name, Translation(program, _OPERATORS).run())
    return Translated(graph, tensors, {node: layer.made for layer, node in nodes.items() if layer.made})


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
