"""A quantized network as other runtimes can express it, in whole numbers: every activation has the scale 1.

The engine's activations have scales of single channels, which are part of its weights; other runtimes have one for a
whole activation. If that is 1, their bytes are the engine's. Zero points become part of the biases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters.shuffles import moved_shuffles
from shufflenet.exporters.target import ExportError
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Node,
    Pool,
    Shuffle,
    Split,
)
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import (
    Quantized,
    Requantised,
    activation_of,
    carrier_of,
    carriers,
    constants_of,
    input_of,
)

Tensors = dict[str, NDArray[Any]]

# A value before an addition, which may be negative, has this much added to it.
MIDDLE = 128


def whole_numbers(model: Model) -> tuple[Graph, Tensors]:
    """The graph with its shuffles moved, and the tensors of its operators.

    Layers have ``weight`` int8, ``bias`` int32 [M] and ``multiplier`` float32 [M], which makes bytes or logits of sums.
    Average pools have the ``multiplier`` float32 [C] of a window's sum, or of a whole plane's mean.

    Raises:
        ExportError: the network has an operator that can't be expressed so.
    """
    quantized = model.quantized
    assert quantized is not None
    carried, tensors = carriers(model.graph), Tensors()
    for node in model.graph.nodes[1:]:
        for name, values in _tensors_of(node, model.graph, quantized, carried).items():
            tensors[f"{node.name}.{name}"] = values
    return moved_shuffles(model.graph, tensors)


def added(graph: Graph) -> set[Node]:
    """The layers whose bytes have `MIDDLE` added to them, since an addition reads them."""
    return set(carriers(graph))


def _tensors_of(node: Node, graph: Graph, quantized: Quantized, carried: dict[Node, Add]) -> Tensors:
    match node:
        case Convolution() | FullyConnected() if node.activation in ("linear", "relu"):
            _check_padding(node, quantized)
            layer = quantized.layers[node.name]
            if node is graph.nodes[-1]:
                return {"weight": layer.weight, "bias": layer.bias, "multiplier": layer.scale}
            constants = constants_of(carried.get(node, node), quantized, carried)
            left = np.rint(constants.offset / constants.multiplier.astype(np.float64)).astype(np.int32)
            bias = layer.bias + constants.shift + left
            return {"weight": layer.weight, "bias": bias, "multiplier": constants.multiplier}
        case Pool(kind="average") | AdaptiveAveragePool(size=1):
            return {"multiplier": _without_offset(node, constants_of(node, quantized, carried)).multiplier}
        case Add(activation="linear" | "relu"):
            _check_addition(node, constants_of(node, quantized, carried), carrier_of(node, carried))
            return {}
        case Pool() | Concat() | Split() | Shuffle():
            return {}
        case _:
            activation = getattr(node, "activation", "linear")
            kind = type(node).__name__ + (f" with {activation}" if activation != "linear" else "")
            raise ExportError(f"{node.name}: {kind} in 8 bits can't be exported yet; export the float32 model")


def _check_padding(node: Convolution | FullyConnected, quantized: Quantized) -> None:
    """Padding has to be zeros, but for that of the picture, which is padded while it is real."""
    pads = isinstance(node, Convolution) and node.padding and not input_of(node)
    if pads and activation_of(node.inputs[0], quantized.activations).zero_point.any():
        raise ExportError(f"{node.name}: in 8 bits what it pads must be behind a ReLU to be exported")


def _without_offset(node: Node, constants: Requantised) -> Requantised:
    if constants.offset.any():
        raise ExportError(f"{node.name}: in 8 bits what it reads must be behind a ReLU to be exported")
    return constants


def _check_addition(node: Add, constants: Requantised, carrier: Node | None) -> None:
    """Bytes are added as they are: all scales are equal, as quantization makes them."""
    factors = [constants.residual_multiplier, constants.multiplier if carrier is None else 1]
    if any(np.any(factor != 1) for factor in factors):
        raise ExportError(f"{node.name}: adds bytes of different scales; make the model by `shufflenet quantize` again")
    if carrier is None:
        _without_offset(node, constants)
