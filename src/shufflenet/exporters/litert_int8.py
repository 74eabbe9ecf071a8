"""The .tflite file of a quantized model, written without a converter.

Every int8 tensor between operators has the scale `_UNIT` and is one of the engine's bytes less 128. The real values 0
to 6 are the bytes 0 to 127, so that RELU6 limits them as the engine does. Tensors are NHWC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters.shuffles import INPUT, OUTPUT
from shufflenet.exporters.target import ExportError, Order
from shufflenet.exporters.whole_numbers import Tensors, added, whole_numbers
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
from shufflenet.networks.quantized import MOST, PixelInput, input_of, pixel_input
from shufflenet.quantization.short_multipliers import SCALE_BITS, short

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import OperatorT, TensorT

_UNIT = float(short(6 / MOST, SCALE_BITS))  # so that multipliers times it are exact
_LOWEST = -128  # the zero point of values that are not negative
# The table of an operator's options in the file, and its version if that is not 1.
_OPTIONS = {
    "ADD": "AddOptions", "CONCATENATION": "ConcatenationOptions", "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "DEQUANTIZE": "DequantizeOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions", "MAX_POOL_2D": "Pool2DOptions", "MEAN": "ReducerOptions",
    "MUL": "MulOptions", "PAD": "PadOptions", "QUANTIZE": "QuantizeOptions", "RESHAPE": "ReshapeOptions",
    "SLICE": "SliceOptions", "TRANSPOSE": "TransposeOptions",
}  # fmt: skip
_VERSIONS = {"ADD": 2, "CONCATENATION": 2, "CONV_2D": 6, "DEPTHWISE_CONV_2D": 3, "DEQUANTIZE": 5, "MAX_POOL_2D": 2,
             "PAD": 2, "SLICE": 2, "TRANSPOSE": 2}  # fmt: skip


def convert(order: Order) -> bytes:
    """The content of the file: float32 [1, H, W, 3] -> logits float32 [1, classes].

    Raises:
        ExportError: the network can't be expressed so.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    preprocessing = order.model.preprocessing
    graph, tensors = whole_numbers(order.model)
    pixels = pixel_input(preprocessing.mean, preprocessing.std)
    writer = _Writer(graph, tensors, pixels, graph.sizes(order.height, order.width))
    writer.write()
    model = schema.ModelT()
    model.version = 3
    model.description = order.name
    model.operatorCodes = list(writer.codes.values())
    model.subgraphs = [writer.subgraph()]
    model.buffers = writer.buffers
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@dataclass
class _Writer:
    """Tensors and operators of the file, added in the order of running. Methods return the number of a tensor."""

    graph: Graph
    whole: Tensors
    pixels: PixelInput
    sizes: dict[Node, tuple[int, int]]
    tensors: list[TensorT] = field(default_factory=list)
    operators: list[OperatorT] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    codes: dict[str, Any] = field(default_factory=dict)  # of operators, by name
    values: dict[Node, int] = field(default_factory=dict)

    def write(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.buffers.append(schema.BufferT())  # the first is empty
        self.before_addition = added(self.graph)
        height, width = self.sizes[self.graph.input]
        self.values[self.graph.input] = self._tensor(INPUT, [1, height, width, self.graph.in_channels])
        for node in self.graph.nodes[1:]:
            self.values[node] = self._add(node, *(self.values[source] for source in node.inputs))

    def subgraph(self) -> Any:
        made = self.schema.SubGraphT()
        made.tensors, made.operators = self.tensors, self.operators
        made.inputs, made.outputs = [0], [self.values[self.graph.nodes[-1]]]
        made.name = "main"
        return made

    def _add(self, node: Node, *inputs: int) -> int:
        match node:
            case Convolution() if input_of(node):
                return self._convolution(node, self._pixels(node, *inputs))
            case Convolution():
                return self._convolution(node, *inputs)
            case Pool(kind="average"):
                return self._average_pool(node, *inputs)
            case Pool():
                return self._max_pool(node, *inputs)
            case AdaptiveAveragePool():
                return self._global_average_pool(node, *inputs)
            case FullyConnected() if node.name == OUTPUT:
                return self._classifier(node, *inputs)
            case Add():
                return self._operator("ADD", inputs, self._output(node), fusedActivationFunction=self._relu6())
            case Concat():
                return self._operator("CONCATENATION", inputs, self._output(node), axis=3)
            case Split():
                return self._split(node, *inputs)
            case Shuffle():
                return self._shuffle(node, *inputs)
            case _:
                raise ExportError(f"{node.name}: LiteRT's file of 8 bits has no {type(node).__name__}")

    def _pixels(self, node: Convolution, source: int) -> int:
        """The bytes of pixels of the network's input, in a border of what is nearest to 0."""
        (height, width), channels, pad = self.sizes[self.graph.input], node.in_channels, node.padding
        multiplier = self._constant("pixels.multiplier", self.pixels.multiplier * np.float32(_UNIT))
        offset = self._constant("pixels.offset", self.pixels.offset * np.float32(_UNIT))
        border = self._constant("pixels.border", _border(pad, pad))
        shape, padded = [1, height, width, channels], [1, height + 2 * pad, width + 2 * pad, channels]
        scaled = self._operator("MUL", (source, multiplier), self._tensor("pixels.scaled", shape))
        bordered = self._operator("PAD", (scaled, border), self._tensor("pixels.bordered", padded))
        real = self._operator("ADD", (bordered, offset), self._tensor("pixels.real", padded))
        return self._operator("QUANTIZE", (real,), self._int8("pixels", padded))

    def _convolution(self, node: Convolution, source: int) -> int:
        weight = self.whole[f"{node.name}.weight"].transpose(0, 2, 3, 1)  # [M, height, width, C]
        if node.depthwise:
            weight = weight.transpose(3, 1, 2, 0)
        return self._layer(node, source, weight, self.whole[f"{node.name}.bias"])

    def _average_pool(self, node: Pool, source: int) -> int:
        """A convolution, since channels have multipliers of their own."""
        ones = np.ones((1, node.kernel_size, node.kernel_size, node.channels), np.int8)
        return self._layer(node, source, ones, np.zeros(node.channels, np.int32))

    def _layer(self, node: Convolution | Pool, source: int, weight: NDArray[np.int8], bias: NDArray[np.int32]) -> int:
        depthwise = isinstance(node, Pool) or node.depthwise
        multiplier = self.whole[f"{node.name}.multiplier"]
        weight_number = self._constant(f"{node.name}.weight", weight, multiplier, axis=3 if depthwise else 0)
        bias_number = self._constant(f"{node.name}.bias", bias, multiplier * np.float32(_UNIT))
        source, padding = self._padded(node, source)
        limits = {} if node in self.before_addition else {"fusedActivationFunction": self._relu6()}
        return self._operator(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", (source, weight_number, bias_number), self._output(node),
            padding=padding, strideH=node.stride, strideW=node.stride, **limits,
            **({"depthMultiplier": 1} if depthwise else {}),
        )  # fmt: skip

    def _padded(self, node: Convolution | Pool, source: int) -> tuple[int, int]:
        """The tensor that windows are taken from, with zeros around it where LiteRT would not put them; its padding."""
        same, valid = self.schema.Padding.SAME, self.schema.Padding.VALID
        if isinstance(node, Convolution) and input_of(node):
            return source, valid  # `_pixels` has padded it
        before, behind = node.padding, []
        for pixels, windows in zip(self.sizes[node.inputs[0]], self.sizes[node], strict=True):
            behind.append(max(0, (windows - 1) * node.stride + node.kernel_size - pixels - before))
        if not before and not any(behind):
            return source, valid
        if node.stride == 1 and 2 * before + 1 == node.kernel_size:
            return source, same
        height, width = (
            pixels + before + more for pixels, more in zip(self.sizes[node.inputs[0]], behind, strict=True)
        )
        border = self._constant(f"{node.name}.border", _border(before, *behind))
        padded = self._int8(f"{node.name}.padded", [1, height, width, node.inputs[0].channels])
        return self._operator("PAD", (source, border), padded), valid

    def _max_pool(self, node: Pool, source: int) -> int:
        source, padding = self._padded(node, source)
        return self._operator(
            "MAX_POOL_2D", (source,), self._output(node), padding=padding, strideH=node.stride, strideW=node.stride,
            filterHeight=node.kernel_size, filterWidth=node.kernel_size,
        )  # fmt: skip

    def _global_average_pool(self, node: AdaptiveAveragePool, source: int) -> int:
        """The mean in float32, since channels have multipliers of their own."""
        (height, width), channels, name = self.sizes[node.inputs[0]], node.channels, node.name
        plane = [1, height, width, channels]
        real = self._operator("DEQUANTIZE", (source,), self._tensor(f"{name}.real", plane))
        axes = self._constant(f"{name}.axes", np.array([1, 2], np.int32))
        mean = self._operator("MEAN", (real, axes), self._tensor(f"{name}.mean", [1, channels]))
        multiplier = self._constant(f"{name}.multiplier", self.whole[f"{name}.multiplier"])
        scaled = self._operator("MUL", (mean, multiplier), self._tensor(f"{name}.scaled", [1, channels]))
        return self._operator("QUANTIZE", (scaled,), self._int8(name, [1, channels]))

    def _classifier(self, node: FullyConnected, source: int) -> int:
        """In float32, on bytes and weights that are whole numbers: int8 would round the logits."""
        scale = (self.whole[f"{node.name}.multiplier"] / np.float32(_UNIT)).astype(np.float32)
        weight = self.whole[f"{node.name}.weight"].reshape(node.channels, -1)
        whole = self._constant(f"{node.name}.weight", weight, scale)
        real_weight = self._operator(
            "DEQUANTIZE", (whole,), self._tensor(f"{node.name}.weight.real", list(weight.shape))
        )
        bias = self.whole[f"{node.name}.bias"] * self.whole[f"{node.name}.multiplier"].astype(np.float64)
        real = self._operator("DEQUANTIZE", (source,), self._tensor(f"{node.name}.input", [1, weight.shape[1]]))
        operands = real, real_weight, self._constant(f"{node.name}.bias", bias.astype(np.float32))
        return self._operator("FULLY_CONNECTED", operands, self._tensor(node.name, [1, node.channels]))

    def _split(self, node: Split, source: int) -> int:
        begin = self._constant(f"{node.name}.begin", np.array([0, 0, 0, node.first], np.int32))
        size = self._constant(f"{node.name}.size", np.array([1, *self.sizes[node], node.channels], np.int32))
        return self._operator("SLICE", (source, begin, size), self._output(node))

    def _shuffle(self, node: Shuffle, source: int) -> int:
        (height, width), groups = self.sizes[node], node.groups
        apart = [1, height * width, groups, node.channels // groups]
        grouped = self._reshape(f"{node.name}.grouped", source, apart)
        order = self._constant(f"{node.name}.order", np.array([0, 1, 3, 2], np.int32))
        turned = self._int8(f"{node.name}.turned", [*apart[:2], apart[3], apart[2]])
        turned = self._operator("TRANSPOSE", (grouped, order), turned)
        return self._reshape(node.name, turned, [1, height, width, node.channels])

    def _reshape(self, name: str, source: int, shape: list[int]) -> int:
        wanted = self._constant(f"{name}.shape", np.array(shape, np.int32))
        return self._operator("RESHAPE", (source, wanted), self._int8(name, shape), newShape=shape)

    def _relu6(self) -> int:
        return int(self.schema.ActivationFunctionType.RELU6)

    def _output(self, node: Node) -> int:
        """The tensor of a node's bytes; what an addition reads may be negative."""
        shape = [1, *self.sizes[node], node.channels]
        return self._int8(node.name, shape, 0 if node in self.before_addition else _LOWEST)

    def _int8(self, name: str, shape: list[int], zero_point: int = _LOWEST) -> int:
        quantization = self.schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [_UNIT], [zero_point]
        return self._tensor(name, shape, self.schema.TensorType.INT8, quantization=quantization)

    def _constant(
        self, name: str, values: NDArray[Any], scale: NDArray[np.float32] | None = None, axis: int = 0
    ) -> int:
        """A tensor of known values; ``scale``: of each place along ``axis``, if it is quantized."""
        types = {"int8": "INT8", "int32": "INT32", "float32": "FLOAT32"}
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.buffers.append(buffer)
        quantization = None
        if scale is not None:
            quantization = self.schema.QuantizationParametersT()
            quantization.scale, quantization.zeroPoint = scale, np.zeros(len(scale), np.int64)
            quantization.quantizedDimension = axis
        kind = getattr(self.schema.TensorType, types[values.dtype.name])
        return self._tensor(name, list(values.shape), kind, len(self.buffers) - 1, quantization)

    def _tensor(self, name: str, shape: list[int], kind: int = 0, buffer: int = 0, quantization: Any = None) -> int:
        """``kind``: of `TensorType`; 0 is float32."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
        tensor.quantization = quantization
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _operator(self, name: str, inputs: tuple[int, ...], output: int, **options: Any) -> int:
        """Adds an operator with these fields of its options, the others as they are by default; returns ``output``."""
        if name not in self.codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), _VERSIONS.get(name, 1)
            self.codes[name] = code
        made = self.schema.OperatorT()
        made.opcodeIndex = list(self.codes).index(name)
        made.inputs, made.outputs = list(inputs), [output]
        kind = _OPTIONS[name]
        made.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
        made.builtinOptions = getattr(self.schema, f"{kind}T")()
        for field_name, value in options.items():
            setattr(made.builtinOptions, field_name, value)
        self.operators.append(made)
        return output


def _border(before: int, behind: int, behind_width: int | None = None) -> NDArray[np.int32]:
    """How many lines and columns are added to NHWC, before the first and behind the last."""
    width = behind if behind_width is None else behind_width
    return np.array([[0, 0], [before, behind], [before, width], [0, 0]], np.int32)
