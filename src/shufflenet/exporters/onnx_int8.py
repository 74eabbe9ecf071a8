"""The ONNX graph of a quantized model, with QuantizeLinear and DequantizeLinear (QDQ) around each operator.

Every activation is a uint8 tensor of the scale 1, so that its values are the engine's bytes: an integer convolution's
multipliers are its weights' scales. What is below 0 saturates, which is the ReLU; what is above 127 is clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters.onnx_graph import OnnxGraph, window
from shufflenet.exporters.shuffles import OUTPUT, Gather
from shufflenet.exporters.whole_numbers import MIDDLE, added
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Input,
    Node,
    Pool,
    Split,
)
from shufflenet.networks.quantized import MOST, pixel_input
from shufflenet.pictures.preprocessing import Preprocessing


class Int8OnnxGraph(OnnxGraph):
    """ONNX nodes and weights of a network in `whole_numbers`, with gathers in place of shuffles.

    Args:
        preprocessing: of the model, from whose input pixels are made again.
        adds_bytes: the sums that an addition reads are made bytes; otherwise they are rounded, and stay real.
    """

    element_type = 2  # TensorProto.UINT8

    def __init__(
        self,
        graph: Graph,
        tensors: Mapping[str, NDArray[Any]],
        size: tuple[int, int] | None,
        preprocessing: Preprocessing,
        adds_bytes: bool,
    ) -> None:
        super().__init__(graph, tensors, size)
        self.pixels = pixel_input(preprocessing.mean, preprocessing.std)
        self.before_addition, self.adds_bytes = added(graph), adds_bytes
        self.limits = [self._constant(name, np.array(x, np.uint8)) for name, x in (("least", 0), ("most", MOST))]
        self.one = self._constant("one", np.array(1, np.float32))
        self.zero_points = {
            zero: self._constant(f"zero_point_{zero}", np.array(zero, np.uint8))
            for zero in ((0, MIDDLE) if adds_bytes else (0,))
        }

    def names_of(self, node: Node) -> list[str]:
        return [node.name]

    def _add(self, node: Node, *inputs: str) -> None:
        """Appends the operator, from real values of its inputs' bytes to its own bytes."""
        if isinstance(node, Convolution) and isinstance(node.inputs[0], Input):
            reals = [self._pixels(node, inputs[0])]
        else:
            reals = [f"{name}.real" for name in inputs]
        real = OUTPUT if node.name == OUTPUT else f"{node.name}.sum"
        match node:
            case Convolution():
                attributes = window(node) | ({"pads": [0] * 4} if isinstance(node.inputs[0], Input) else {})
                self._node("Conv", real, *reals, *self._layer(node), group=node.groups, **attributes)
            case FullyConnected():
                self._node("Gemm", real, *reals, *self._layer(node))
            case Pool(kind="average"):  # a convolution, since channels have multipliers of their own
                ones = self._layer(node, np.ones((node.channels, 1, 3, 3), np.int8))
                self._node("Conv", real, *reals, *ones, group=node.channels, **window(node))
            case Pool():
                self._node("MaxPool", real, *reals, ceil_mode=int(node.ceil), **window(node))
            case AdaptiveAveragePool():
                self._node("GlobalAveragePool", f"{node.name}.mean", *reals)
                self._node("Flatten", f"{node.name}.flat", f"{node.name}.mean")
                multiplier = self._constant(f"{node.name}.multiplier", self.tensors[f"{node.name}.multiplier"])
                self._node("Mul", real, f"{node.name}.flat", multiplier)
            case Add():
                self._node("Add", real, *reals)
            case Concat():
                self._node("Concat", real, *reals, axis=1)
            case Split():
                limits = {"starts": node.first, "ends": node.first + node.channels, "axes": 1}
                constants = [self._constant(f"{real}.{key}", np.array([value])) for key, value in limits.items()]
                self._node("Slice", real, *reals, *constants)
            case Gather():
                self._node("Gather", real, *reals, self._constant(f"{node.name}.order", node.order), axis=1)
            case _:
                raise TypeError(f"no ONNX operator of 8 bits for {type(node).__name__}")
        if node in self.before_addition:
            if self.adds_bytes:
                self._quantize(node.name, real, MIDDLE)
            else:
                self._node("Round", f"{node.name}.real", real)
        elif real != OUTPUT:
            self._quantize(node.name, real, 0, _grows(node))

    def _pixels(self, node: Convolution, source: str) -> str:
        """Makes bytes of pixels of the network's input, in a border of what is nearest to 0; returns their real values.

        That is a convolution with one weight, whose bias is all that it finds outside.
        """
        name, channels = f"{source}.pixels", node.in_channels
        weight = self._constant(f"{name}.weight", self.pixels.multiplier.reshape(channels, 1, 1, 1))
        bias = self._constant(f"{name}.bias", self.pixels.offset)
        self._node("Conv", f"{name}.sum", source, weight, bias, group=channels, pads=[node.padding] * 4)
        self._quantize(name, f"{name}.sum", 0)
        return f"{name}.real"

    def _quantize(self, name: str, real: str, zero: int, limited: bool = False) -> None:
        """Makes the bytes ``name`` of the values ``real``, ``limited`` to 127, and of these real values again."""
        constants = self.one, self.zero_points[zero]
        made = f"{name}.unlimited" if limited else name
        self._node("QuantizeLinear", made, real, *constants)
        if limited:
            self._node("Clip", name, made, *self.limits)
        self._node("DequantizeLinear", f"{name}.real", name, *constants)

    def _layer(self, node: Node, weight: NDArray[np.int8] | None = None) -> list[str]:
        """The real values of a layer's weights, and of its bias if it has one."""
        multiplier = self._constant(f"{node.name}.multiplier", self.tensors[f"{node.name}.multiplier"])
        weight = self.tensors[f"{node.name}.weight"] if weight is None else weight
        axis = 0
        if isinstance(node, FullyConnected):
            weight, axis = weight.reshape(len(weight), -1).T, 1
        values = {"weight": weight}
        if f"{node.name}.bias" in self.tensors:
            values["bias"] = self.tensors[f"{node.name}.bias"]
        names = []
        for tensor, whole in values.items():
            name = f"{node.name}.{tensor}"
            zeros = self._constant(f"{name}.zero_points", np.zeros(node.channels, whole.dtype))
            constant = self._constant(name, whole)
            names.append(f"{name}.real")
            along = axis if tensor == "weight" else 0
            self._node("DequantizeLinear", names[-1], constant, multiplier, zeros, axis=along)
        return names


def _grows(node: Node) -> bool:
    """Whether an operator's bytes can be larger than those that it reads."""
    return not isinstance(node, Concat | Split | Gather) and not (isinstance(node, Pool) and node.kind == "max")
