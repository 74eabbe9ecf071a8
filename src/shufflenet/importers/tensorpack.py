"""tensorpack's networks, in files of TensorFlow's variables.

Units are the paper's, with the inverse shuffle. TensorFlow pads in its own way: a window of 3x3 with stride 2 gets one
line below and one column to the right of planes of even size, and nothing else. Its average pool leaves padding out.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from shufflenet.importers.checkpoint import StateDict
from shufflenet.importers.convention import Convention
from shufflenet.importers.recognised import Recognised, Tensors, for_own_pictures
from shufflenet.importers.source import PublicNetwork, Source
from shufflenet.networks.graph import Graph, Node, Pad, WindowPool
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, STAGE_UNITS, ShuffleNetV1

_NORM = {"gamma": "weight", "beta": "bias", "mean/EMA": "running_mean", "variance/EMA": "running_var"}
_MOST_UNGROUPED = 24  # channels that its first convolution of a unit reads without groups
_SCALES = (0.5, 1.0)


def _recognise(state: StateDict) -> Recognised:
    try:
        classes = len(state["linear/b"])
        graph, theirs = _graph(state, classes)
    except (KeyError, IndexError, ZeroDivisionError, ValueError):
        raise ValueError("not a ShuffleNet v1 of tensorpack's, which has other variables (its v2 is none)") from None
    tensors: Tensors = {}
    for name, shape in graph.tensor_shapes().items():
        layer, _, part = name.rpartition(".")
        values = _in_our_order(state, theirs[layer], part)
        if values.shape != shape or values.dtype.kind != "f" or not np.isfinite(values).all():
            raise ValueError(f"variable {theirs[layer]!r} is {list(values.shape)}, not {list(shape)}, or not finite")
        tensors[name] = values.astype(np.float32)
    return Recognised(graph.name.removesuffix("_variant"), classes, partial(for_own_pictures, graph, tensors))


def _in_our_order(state: StateDict, name: str, part: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if name == "linear":
        return state["linear/b"] if part == "bias" else state["linear/W"].T
    if part == "weight" and f"{name}/W" in state:
        weight = state[f"{name}/W"]
        return weight.transpose(2, 3, 0, 1) if name.endswith("/dconv") else weight.transpose(3, 2, 0, 1)
    return next(state[f"{name}/{theirs}"] for theirs, ours in _NORM.items() if ours == part)


def _graph(state: StateDict, classes: int) -> tuple[Graph, dict[str, str]]:
    """The graph, and for each of its layers the scope of its variables."""
    stage2 = state["stage2/block1/conv2/W"].shape[3]
    groups = stage2 // state["stage2/block1/conv1/W"].shape[2]
    known = (ShuffleNetV1(groups, scale) for scale in _SCALES if groups in STAGE2_CHANNELS)
    arch = next((each.name for each in known if each.stage_channels(2) == stage2), "shufflenet_v1")
    graph, scopes = Graph(f"{arch}_variant"), {"conv1": "conv1", "bn1": "conv1/bn", "fc": "linear"}
    x: Node = graph.append(Pad("pad", (graph.input,), 3, 0, 1))
    stem = state["conv1/W"].shape[3]
    x = graph.convolution("conv1", x, stem, 3, stride=2, padding=0, batch_norm="bn1", activation="relu")
    x = graph.max_pool("maxpool", x, padding=0, ceil=True)
    for stage, units in STAGE_UNITS.items():
        for number in range(units):
            channels = stage2 << (stage - 2)
            x = _add_unit(graph, x, f"stage{stage}.{number}", channels, groups, scopes)
    graph.fully_connected("fc", graph.global_average_pool("global_pool", x), classes)
    return graph, scopes


def _add_unit(graph: Graph, x: Node, name: str, channels: int, groups: int, scopes: dict[str, str]) -> Node:
    stage, _, number = name.partition(".")
    scope, stride = f"{stage}/block{number}", 2 if number == "0" else 1
    behind = (("pointwise1", "conv1"), ("bn1", "conv1/bn"), ("depthwise", "dconv"), ("bn2", "dconv_bn"))
    for ours, theirs in (*behind, ("pointwise2", "conv2"), ("bn3", "conv2_bn")):
        scopes[f"{name}.{ours}"] = f"{scope}/{theirs}"
    mid = channels // 4
    branch: Node = graph.convolution(
        f"{name}.pointwise1", x, mid,
        groups=groups if x.channels > _MOST_UNGROUPED else 1, batch_norm=f"{name}.bn1", activation="relu",
    )  # fmt: skip
    branch = graph.shuffle(f"{name}.shuffle", branch, mid // groups)  # the inverse of the paper's
    if stride == 2:
        branch = graph.append(Pad(f"{name}.pad", (branch,), mid, 0, 1))
    branch = graph.convolution(
        f"{name}.depthwise", branch, mid, 3,
        stride=stride, padding=2 - stride, groups=mid, batch_norm=f"{name}.bn2",
    )  # fmt: skip
    branch = graph.convolution(
        f"{name}.pointwise2", branch, channels if stride == 1 else channels - x.channels,
        groups=groups, batch_norm=f"{name}.bn3", activation="linear" if stride == 1 else "relu",
    )  # fmt: skip
    if stride == 1:
        return graph.add(f"{name}.add", x, branch, activation="relu")
    shortcut = graph.append(WindowPool(f"{name}.shortcut", (x,), x.channels, "average", 3, 2, 0, True, False))
    return graph.concat(f"{name}.concat", [shortcut, branch])


SOURCE = Source(
    name="tensorpack",
    page="http://models.tensorpack.com/ShuffleNet/",
    key="/dconv_bn/",
    networks={"ShuffleNetV1-0.5x-g3": PublicNetwork("shufflenet_g3_x0_5", 42.32)},
    convention=Convention(bgr=True),
    built="built as tensorpack's shufflenet.py is for pictures of 224x224 pixels",
    recognise=_recognise,
)
