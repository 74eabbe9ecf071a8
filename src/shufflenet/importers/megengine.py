"""MegEngine's ShuffleNet v1, made to be quantized: where others concatenate, it adds a shortcut by a convolution."""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from shufflenet.importers.checkpoint import StateDict
from shufflenet.importers.convention import Convention
from shufflenet.importers.recognised import Recognised, Tensors, for_own_pictures
from shufflenet.importers.source import PublicNetwork, Source
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.shufflenet_v1 import STAGE2_CHANNELS, STAGE_UNITS, ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing

_OBSERVED = re.compile(r"observer|fake_quant|scale|zero_point")
_PARTS = {"weight", "bias", "running_mean", "running_var"}
_SCALES = (0.5, 1.0, 1.5, 2.0)


def _recognise(state: StateDict) -> Recognised:
    if any(_OBSERVED.search(name) for name in state):
        raise ValueError(
            "MegEngine's network of quantization-aware training rounds in between by ranges of its own: import the "
            "float one, and quantize it (shufflenet quantize)"
        )
    try:
        graph, theirs = _graph(state)
    except (KeyError, IndexError, ZeroDivisionError):
        raise ValueError("not MegEngine's ShuffleNet v1, which has other tensors") from None
    tensors: Tensors = {}
    used = set()
    for name, shape in graph.tensor_shapes().items():
        layer, _, part = name.rpartition(".")
        key = f"{theirs[layer]}.{part}"
        used.add(key)
        values = np.zeros(shape, np.float32) if name == "fc.bias" else state.get(key)
        # Its batch norms are [1, C, 1, 1], and weights of groups [groups, out, in, k, k].
        if values is None or values.dtype.kind != "f" or values.size != np.prod(shape) or not np.isfinite(values).all():
            raise ValueError(f"tensor {key!r} is missing, not of the shape {list(shape)}, or not finite")
        tensors[name] = values.reshape(shape).astype(np.float32)
    if unused := [name for name in state if name.rpartition(".")[2] in _PARTS and name not in used]:
        raise ValueError(f"not MegEngine's ShuffleNet v1: it has no {unused[0]!r}")
    return Recognised(graph.name.removesuffix("_variant"), graph.classes, partial(for_own_pictures, graph, tensors))


def _graph(state: StateDict) -> tuple[Graph, dict[str, str]]:
    """The graph, and for each of its layers the name of theirs."""
    weight = state["features.1.branch_main_1.0.conv.weight"]
    groups, stage2 = (weight.shape[0] if weight.ndim == 5 else 1), state["features.0.branch_proj.conv.weight"].shape[0]
    known = (ShuffleNetV1(groups, scale) for scale in _SCALES if groups in STAGE2_CHANNELS)
    arch = next((each.name for each in known if each.stage_channels(2) == stage2), "shufflenet_v1")
    classifier = "classifier" if "classifier.weight" in state else "classifier.0"
    names = {"conv1": "first_conv.0.conv", "bn1": "first_conv.0.bn", "fc": classifier}
    graph = Graph(f"{arch}_variant")
    stem = len(state["first_conv.0.conv.weight"])
    x: Node = graph.convolution("conv1", graph.input, stem, 3, stride=2, batch_norm="bn1", activation="relu")
    x = graph.max_pool("maxpool", x)
    index = 0
    for stage, units in STAGE_UNITS.items():
        for number in range(units):
            name = f"stage{stage}.{number}"
            _name_unit(names, name, f"features.{index}", number == 0)
            x = _add_unit(graph, x, name, stage2 << (stage - 2), groups, index == 0, 2 if number == 0 else 1)
            index += 1
    graph.fully_connected("fc", graph.global_average_pool("global_pool", x), len(state[f"{classifier}.weight"]))
    return graph, names


def _name_unit(names: dict[str, str], name: str, theirs: str, projects: bool) -> None:
    layers = [("pointwise1", "bn1", "branch_main_1.0"), ("depthwise", "bn2", "branch_main_1.1")]
    layers += [("pointwise2", "bn3", "branch_main_2.0"), *([("shortcut", "bn4", "branch_proj")] if projects else [])]
    for convolution, norm, part in layers:
        names[f"{name}.{convolution}"], names[f"{name}.{norm}"] = f"{theirs}.{part}.conv", f"{theirs}.{part}.bn"


def _add_unit(graph: Graph, x: Node, name: str, channels: int, groups: int, first: bool, stride: int) -> Node:
    mid = channels // 4
    branch: Node = graph.convolution(
        f"{name}.pointwise1", x, mid, groups=1 if first else groups, batch_norm=f"{name}.bn1", activation="relu"
    )
    branch = graph.depthwise(f"{name}.depthwise", branch, stride=stride, batch_norm=f"{name}.bn2")
    if groups > 1:
        branch = graph.shuffle(f"{name}.shuffle", branch, mid // groups)  # the inverse of the paper's
    branch = graph.convolution(f"{name}.pointwise2", branch, channels, groups=groups, batch_norm=f"{name}.bn3")
    if stride == 2:
        x = graph.convolution(f"{name}.shortcut", x, channels, stride=2, padding=0, batch_norm=f"{name}.bn4")
    return graph.add(f"{name}.add", branch, x, activation="relu")


SOURCE = Source(
    name="megengine",
    page="https://github.com/MegEngine/Models/tree/master/official/quantization",
    key=".branch_proj.",
    networks={"shufflenet_v1_x1_5_g3": PublicNetwork("shufflenet_g3_x1_5", 28.052)},
    convention=Convention(bgr=True, preprocessing=Preprocessing(mean=(128 / 255,) * 3, std=(1 / 255,) * 3)),
    built="built as MegEngine's shufflenet_v1.py",
    recognise=_recognise,
)
