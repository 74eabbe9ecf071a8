"""The network as layers that other runtimes have and run best; what converters and writers of files start from.

Batch norm is folded into the convolution before it. The channel shuffle stands behind the depthwise convolution, whose
weights are in the order of its unshuffled input, where stride 2 has made it a quarter of the size. The ReLU behind a
concatenation is the branch's alone, and can be fused: the shortcut is an average of values that are not negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet.arch import Unit
from shufflenet.model_file import Model
from shufflenet.plan import fold_batch_norm

Floats = NDArray[np.float32]

INPUT = "input"

Kind = Literal["convolution", "max_pool", "average_pool", "shuffle", "add", "concat", "global_pool", "linear"]


@dataclass(frozen=True)
class Layer:
    """Computes the value ``name`` from ``inputs``, the values of earlier layers or `INPUT`.

    Windows are ``kernel`` x ``kernel`` with kernel // 2 zeros around the picture, which an average counts. A shuffle
    moves channel k of group j to place k * groups + j. A global pool gives [N, C], which the linear layer takes.
    """

    kind: Kind
    name: str
    inputs: tuple[str, ...]
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    channels: int = 0  # of a shuffle
    relu: bool = False  # follows
    weight: Floats | None = None  # [out, in / groups, kernel, kernel]; linear: [out, in]
    bias: Floats | None = None  # [out]


def layers(model: Model) -> Iterator[Layer]:
    """In the order of running; the last is the logits."""
    arch = model.arch
    yield _convolution(model, "conv1", "bn1", INPUT, kernel=3, stride=arch.stem_stride, relu=True)
    yield Layer("max_pool", "maxpool", ("conv1",), kernel=3, stride=2)
    x = "maxpool"
    for unit in arch.units():
        yield from _branch(model, unit, x)
        branch = f"{unit.name}.pointwise2"
        if unit.stride == 1:
            yield Layer("add", unit.name, (x, branch), relu=True)
        else:
            yield Layer("average_pool", f"{unit.name}.shortcut", (x,), kernel=3, stride=2)
            yield Layer("concat", unit.name, (f"{unit.name}.shortcut", branch))
        x = unit.name
    yield Layer("global_pool", "features", (x,))
    weight, bias = model.tensors["fc.weight"], model.tensors["fc.bias"]
    yield Layer("linear", "logits", ("features",), weight=weight, bias=bias)


def _branch(model: Model, unit: Unit, x: str) -> Iterator[Layer]:
    """Both pointwise convolutions and what is between them."""
    name = unit.name
    yield _convolution(model, f"{name}.pointwise1", f"{name}.bn1", x, groups=unit.groups1, relu=True)
    depthwise = _convolution(
        model, f"{name}.depthwise", f"{name}.bn2", f"{name}.pointwise1",
        kernel=3, stride=unit.stride, groups=unit.bottleneck_channels,
    )  # fmt: skip
    groups = unit.groups2 if model.arch.shuffle else 1
    if groups == 1:
        yield depthwise
        x = depthwise.name
    else:
        # In the model the shuffle comes first: its channel i is the unshuffled channel order[i].
        back = np.argsort(shuffle_order(unit.bottleneck_channels, groups))
        assert depthwise.weight is not None
        assert depthwise.bias is not None
        yield replace(depthwise, weight=depthwise.weight[back], bias=depthwise.bias[back])
        x = f"{name}.shuffle"
        yield Layer("shuffle", x, (depthwise.name,), groups=groups, channels=unit.bottleneck_channels)
    last_relu = unit.stride == 2
    yield _convolution(model, f"{name}.pointwise2", f"{name}.bn3", x, groups=unit.groups2, relu=last_relu)


def _convolution(
    model: Model, name: str, batch_norm: str, x: str, *, kernel: int = 1, stride: int = 1, groups: int = 1,
    relu: bool = False,
) -> Layer:  # fmt: skip
    weight, bias = fold_batch_norm(model, name, batch_norm)
    weight = weight.reshape(len(weight), -1, kernel, kernel)
    return Layer("convolution", name, (x,), kernel, stride, groups, relu=relu, weight=weight, bias=bias)


def shuffle_order(channels: int, groups: int) -> NDArray[np.int64]:
    """shuffled[i] = unshuffled[order[i]]."""
    return np.arange(channels).reshape(groups, -1).T.ravel()
