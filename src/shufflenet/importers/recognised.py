"""What a state dict was recognised as, before it is decided how its network is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers.convention import Convention
from shufflenet.networks.graph import Graph

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Recognised:
    """A state dict that can be built as a network.

    Args:
        arch: the name of the nearest member of the family.
        build: the graph and its tensors, for a way to build it. The graph takes what `Preprocessing` makes, red first.
    """

    arch: str
    classes: int
    build: Callable[[Convention], tuple[Graph, Tensors]]


def for_own_pictures(graph: Graph, tensors: Tensors, convention: Convention) -> tuple[Graph, Tensors]:
    """A graph and its tensors, the first convolution's for pictures of red, green, blue from 0 to 1."""
    conv1 = tensors["conv1.weight"]
    if convention.bgr:
        conv1 = conv1[:, ::-1]
    if convention.bytes_in:
        conv1 = conv1 * np.float32(255)
    tensors = {**tensors, "conv1.weight": conv1}
    return graph, {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
