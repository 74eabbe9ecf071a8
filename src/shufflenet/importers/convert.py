"""Rewrites the weights of a network that is built another way, so that this package's network computes the same.

Only permutations of channels and one scale are used, so the logits differ by rounding at most. Letters: g groups,
n channels per group in the bottleneck.

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

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks.graph import Shuffle
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Convention:
    """How a network is built where implementations of the paper differ. The defaults are the paper's."""

    inverse_shuffle: bool = False  # reshape to (n, g) instead of (g, n)
    shuffle_last: bool = False  # behind the depthwise convolution
    branch_first: bool = False  # in the concatenation
    bgr: bool = False
    bytes_in: bool = False  # pixels from 0 to 255, without mean and std
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def convert(arch: ShuffleNetV1, tensors: Tensors, convention: Convention) -> tuple[ShuffleNetV1, Tensors]:
    """A network of the shapes of ``arch``, built as ``convention`` says -> one of this package with the same logits."""
    arch = replace(arch, inverse_shuffle=convention.inverse_shuffle)
    if convention.branch_first:
        tensors = {name: _reversed(name, tensor) for name, tensor in tensors.items()}
    if convention.shuffle_last:
        tensors = _shuffled_depthwise(arch, tensors)
    conv1 = tensors["conv1.weight"]
    if convention.bgr:
        conv1 = conv1[:, ::-1]
    if convention.bytes_in:
        conv1 = conv1 * np.float32(255)
    tensors = {**tensors, "conv1.weight": conv1}
    return arch, {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


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
