"""Rewrites a network that is built another way as one of this package that computes the same.

Where it can, it becomes a member of the family, by permutations of channels and one scale: the logits differ by
rounding at most. Otherwise it becomes a graph of no family (`importers.variant`) with the tensors as they are. Letters:
g groups, n channels per group in the bottleneck.

- *Branch first in the concatenation.* Reverse all channels of the network. A group convolution with its input
  and output reversed is a group convolution, the shuffle and its inverse commute with reversal, and
  (branch, shortcut) reversed is (shortcut, branch).
- *Shuffle behind the depthwise convolution.* A depthwise convolution works on each channel alone, so it can be
  moved through the shuffle with its channels permuted.
- *Shuffle of order (n, g)*, the inverse of the paper's, is a field of `ShuffleNetV1`: weights make up for it only
  where both orders join each two groups by equally many channels, for n mod g = 0, 1 or g - 1.
- *Blue, green, red* and *0 to 255*: Conv1's input channels and scale. Padding stays zero only without a mean,
  so a network that subtracts one keeps it as `Preprocessing`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers import variant
from shufflenet.importers.convention import Convention
from shufflenet.importers.recognised import Tensors, for_own_pictures
from shufflenet.importers.structure import Structure
from shufflenet.networks.graph import Graph, Shuffle
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1


def convert(structure: Structure, tensors: Tensors, convention: Convention) -> tuple[Graph, Tensors]:
    """A network of these shapes, built as ``convention`` says -> a graph and its tensors with the same logits."""
    if structure.in_family and convention.in_family:
        arch = replace(
            structure.arch,
            stem_stride=convention.stem_stride,
            shuffle=convention.shuffle != "none",
            inverse_shuffle=convention.shuffle == "inverse",
        )
        graph = arch.graph()
        if convention.branch_first:
            tensors = {name: _reversed(name, tensor) for name, tensor in tensors.items()}
        if convention.shuffle_last:
            tensors = _shuffled_depthwise(arch, tensors)
    else:
        graph = variant.graph(structure, convention)
        tensors = {**tensors, **variant.added_tensors(graph)}
    return for_own_pictures(graph, tensors, convention)


def _reversed(name: str, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    if name.startswith("fc."):
        return tensor[:, ::-1] if name == "fc.weight" else tensor
    return tensor[::-1, ::-1] if ".pointwise" in name else tensor[::-1]


def _shuffled_depthwise(arch: ShuffleNetV1, tensors: Tensors) -> Tensors:
    """The depthwise convolutions and their batch norms in the order that the shuffle makes."""
    orders = {
        f"{node.name.removesuffix('.shuffle')}.{moved}": node.order
        for node in arch.graph().nodes
        if isinstance(node, Shuffle)
        for moved in ("depthwise", "bn2")
    }
    shuffled = {}
    for name, tensor in tensors.items():
        order = orders.get(name.rpartition(".")[0])
        shuffled[name] = tensor if order is None else tensor[order]
    return shuffled
