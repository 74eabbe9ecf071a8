"""A ShuffleNet v1 that differs from the family's by strides, pools, ReLUs or groups, as a graph of no family."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shufflenet.importers.convention import Convention
from shufflenet.importers.structure import Structure
from shufflenet.networks.graph import Graph, Node, WindowPool
from shufflenet.networks.shufflenet_v1 import Unit


def graph(structure: Structure, convention: Convention) -> Graph:
    """The network of these shapes that is built as ``convention`` says. Names are those of `ShuffleNetV1`."""
    arch = structure.arch
    result = Graph(f"{arch.name}_variant")
    x: Node = result.convolution(
        "conv1", result.input, arch.stem_channels, structure.stem_kernel_size,
        stride=convention.stem_stride, batch_norm="bn1" if structure.stem_norm else "",
        activation="relu" if convention.stem_relu else "linear",
    )  # fmt: skip
    if convention.max_pool and convention.stem_relu:
        x = result.max_pool("maxpool", x)
    elif convention.max_pool:
        x = result.append(WindowPool("maxpool", (x,), x.channels, "max", 3, 2, 1, False, False))
    for number, unit in enumerate(structure.units):
        x = _add_unit(result, x, unit, convention, negative=number == 0 and not convention.stem_relu)
    result.fully_connected("fc", result.global_average_pool("global_pool", x), arch.classes)
    return result


def added_tensors(graph: Graph) -> dict[str, NDArray[np.float32]]:
    """Those of convolutions that only pass on their input, to a ReLU."""
    shapes = {name: shape for name, shape in graph.tensor_shapes().items() if ".shortcut_relu." in name}
    return {name: np.full(shape, name.endswith("weight"), np.float32) for name, shape in shapes.items()}


def _add_unit(graph: Graph, x: Node, unit: Unit, convention: Convention, negative: bool) -> Node:
    """Adds a unit that reads ``x``, which may be ``negative``; returns its output."""
    name = unit.name
    shuffle_groups = _shuffle_groups(unit, convention)

    def shuffled(branch: Node, here: bool) -> Node:
        return graph.shuffle(f"{name}.shuffle", branch, shuffle_groups) if here and shuffle_groups > 1 else branch

    branch: Node = graph.convolution(
        f"{name}.pointwise1", x, unit.bottleneck_channels,
        groups=unit.groups1, batch_norm=f"{name}.bn1", activation="relu",
    )  # fmt: skip
    branch = shuffled(branch, not convention.shuffle_last)
    branch = graph.depthwise(
        f"{name}.depthwise", branch, stride=unit.stride,
        batch_norm=f"{name}.bn2", activation="relu" if convention.depthwise_relu else "linear",
    )  # fmt: skip
    branch = shuffled(branch, convention.shuffle_last)
    # If the shortcut is an average of values after a ReLU, a ReLU behind the concatenation is the branch's alone.
    relu = unit.stride == 2 and convention.concat_relu
    branch = graph.convolution(
        f"{name}.pointwise2", branch, unit.branch_channels,
        groups=unit.groups2, batch_norm=f"{name}.bn3", activation="relu" if relu else "linear",
    )  # fmt: skip
    if unit.stride == 1:
        return graph.add(f"{name}.add", branch, x, activation="relu")
    shortcut: Node = graph.average_pool(f"{name}.shortcut", x)
    if relu and negative:
        shortcut = graph.convolution(
            f"{name}.shortcut_relu", shortcut, shortcut.channels, groups=shortcut.channels, activation="relu"
        )
    both = [shortcut, branch]
    return graph.concat(f"{name}.concat", both[::-1] if convention.branch_first else both)


def _shuffle_groups(unit: Unit, convention: Convention) -> int:
    """1: no shuffle."""
    if convention.shuffle == "none" or (unit.groups1 == 1 and not convention.first_unit_shuffles):
        return 1
    return unit.bottleneck_channels // unit.groups2 if convention.shuffle == "inverse" else unit.groups2
