"""Rewrites the weights of a network that is built another way, so that the paper's network computes the same.

Only permutations of channels and one scale are used, so the logits differ by rounding at most. Letters: g groups,
n channels per group in the bottleneck.

- *Branch first in the concatenation.* Reverse all channels of the network. A group convolution with its input
  and output reversed is a group convolution, the shuffle and its inverse commute with reversal, and
  (branch, shortcut) reversed is (shortcut, branch).
- *Shuffle behind the depthwise convolution.* A depthwise convolution works on each channel alone, so it can be
  moved through the shuffle with its channels permuted.
- *Shuffle of order (n, g)*, the inverse of the paper's. Channels may be permuted inside a group of the first
  pointwise convolution's output and inside a group of the second one's input, no further: the residual path
  fixes the groups. So the two networks are the same exactly if each pair of groups is joined by equally many
  channels, M[k, j] channels from group k to group j. The inverse has M transposed, which is M for n mod g = 0,
  1 or g - 1: for all g of 1, 2 and 3. Otherwise no weights make up for it. (Permuting whole groups could help
  only if it kept groups 2i and 2i + 1 together, as the next stage's wider groups need; for g = 8 and n mod g =
  2, 4 or 6 none of the 40,320 permutations does.)
- *Blue, green, red* and *0 to 255*: Conv1's input channels and scale. Padding stays zero only without a mean,
  so a network that subtracts one keeps it as `Preprocessing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shufflenet.arch import Architecture, Unit
from shufflenet.images import Preprocessing

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


def convert(arch: Architecture, tensors: Tensors, how: Convention) -> Tensors:
    """Tensors of a network built as ``how`` says -> those of the paper's network with the same logits.

    Raises:
        ValueError: no weights make the paper's network compute the same.
    """
    tensors = dict(tensors)
    if how.branch_first:
        tensors = {name: _reversed(name, tensor) for name, tensor in tensors.items()}
    for unit in arch.units():
        _reorder(unit, tensors, how)
    conv1 = tensors["conv1.weight"]
    if how.bgr:
        conv1 = conv1[:, ::-1]
    if how.bytes_in:
        conv1 = conv1 * np.float32(255)
    tensors["conv1.weight"] = conv1
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _reversed(name: str, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    if name.startswith("fc."):
        return tensor[:, ::-1] if name == "fc.weight" else tensor
    return tensor[::-1, ::-1] if ".pointwise" in name else tensor[::-1]


def _reorder(unit: Unit, tensors: Tensors, how: Convention) -> None:
    before, after = _matching(unit, how.inverse_shuffle)
    depthwise = shuffle(unit, how.inverse_shuffle)[after] if how.shuffle_last else after
    orders = {"pointwise1": before, "bn1": before, "depthwise": depthwise, "bn2": depthwise}
    for name in list(tensors):
        if name.startswith(f"{unit.name}."):
            order = orders.get(name.split(".")[2])
            if order is not None:
                tensors[name] = tensors[name][order]
    weight = tensors[f"{unit.name}.pointwise2.weight"]
    groups, out_channels = unit.groups2, unit.branch_channels // unit.groups2
    n = unit.bottleneck_channels // groups
    columns = (after % n).reshape(groups, 1, n, 1, 1)  # within each group
    grouped = weight.reshape(groups, out_channels, n, 1, 1)
    tensors[f"{unit.name}.pointwise2.weight"] = np.take_along_axis(grouped, columns, axis=2).reshape(weight.shape)


def shuffle(unit: Unit, inverse: bool) -> NDArray[np.intp]:
    """For every channel behind the unit's shuffle the one that it comes from: [bottleneck_channels]."""
    channels, groups = unit.bottleneck_channels, unit.groups2
    rows = channels // groups if inverse else groups
    return np.arange(channels).reshape(rows, -1).T.ravel()


def _matching(unit: Unit, inverse: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For every channel of our bottleneck its counterpart in theirs: before the shuffle, and behind it.

    Counterparts come from the same group of the first pointwise convolution and go to the same group of the second.
    """
    channels = unit.bottleneck_channels
    ours, theirs = shuffle(unit, False), shuffle(unit, inverse)
    to_group = np.arange(channels) // (channels // unit.groups2)
    from_group = np.arange(channels) // (channels // unit.groups1)
    our_order, their_order = (np.lexsort((to_group, from_group[source])) for source in (ours, theirs))
    if (from_group[ours[our_order]] != from_group[theirs[their_order]]).any() or (
        to_group[our_order] != to_group[their_order]
    ).any():
        raise ValueError(
            f"its shuffle, the inverse of the paper's, joins other groups than the paper's does ({unit.name}: "
            f"{channels} channels in {unit.groups2} groups), so no weights make this package's network compute the same"
        )
    before, after = np.empty_like(ours), np.empty_like(ours)
    after[our_order] = their_order
    before[ours[our_order]] = theirs[their_order]
    return before, after
