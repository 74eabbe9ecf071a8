"""Target ``onnx``: one file that takes any batch and, unless a size is asked for, any picture size.

Built from the model directly, with labels and preprocessing in the metadata. The channel shuffle is one Gather.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet import __version__
from shufflenet.export.layers import INPUT, Layer, layers, shuffle_order
from shufflenet.export.target import ExportError, Order, Runner, Target, describe
from shufflenet.model_file import Model

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

OPSET = 13  # the lowest with all that is needed, so that older runtimes read the file too
IR_VERSION = 7  # of the same release

Floats = NDArray[np.float32]


class _Graph:
    """Nodes and weights in the order of running."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.strides = {INPUT: 1}  # of each picture that is computed, in pixels of the input

    def add(self, layer: Layer) -> None:
        """The layer and its ReLU; its value has the layer's name."""
        computed = f"{layer.name}.before_relu" if layer.relu else layer.name
        if layer.kind == "linear":
            self._node("Gemm", computed, *layer.inputs, *self._parameters(layer), transB=1)
        elif layer.kind == "global_pool":
            self._node("GlobalAveragePool", f"{computed}.pool", *layer.inputs)
            self._node("Flatten", computed, f"{computed}.pool")
        else:
            self._add_picture(layer, computed)
            self.strides[layer.name] = self.strides[computed] = self.strides[layer.inputs[0]] * layer.stride
        if layer.relu:
            self._node("Relu", layer.name, computed)

    def _add_picture(self, layer: Layer, name: str) -> None:
        kernel, stride = [layer.kernel] * 2, [layer.stride] * 2
        window = {"kernel_shape": kernel, "strides": stride, "pads": [layer.kernel // 2] * 4}
        if layer.kind == "convolution":
            self._node("Conv", name, *layer.inputs, *self._parameters(layer), group=layer.groups, **window)
        elif layer.kind == "max_pool":
            self._node("MaxPool", name, *layer.inputs, **window)
        elif layer.kind == "average_pool":
            self._node("AveragePool", name, *layer.inputs, count_include_pad=1, **window)
        elif layer.kind == "shuffle":
            order = self._constant(f"{name}.order", shuffle_order(layer.channels, layer.groups))
            self._node("Gather", name, *layer.inputs, order, axis=1)
        elif layer.kind == "concat":
            self._node("Concat", name, *layer.inputs, axis=1)
        else:
            self._node("Add", name, *layer.inputs)

    def _parameters(self, layer: Layer) -> tuple[str, str]:
        assert layer.weight is not None
        assert layer.bias is not None
        return self._constant(f"{layer.name}.weight", layer.weight), self._constant(f"{layer.name}.bias", layer.bias)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, op: str, name: str, *inputs: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))


def write(order: Order, file: Path) -> None:
    import onnx

    proto = make(order.model, order.name, (order.height, order.width) if order.fixed else None)
    onnx.checker.check_model(proto, full_check=True)
    file.write_bytes(proto.SerializeToString())


def make(model: Model, name: str, size: tuple[int, int] | None = None) -> ModelProto:
    """``input`` float32 [batch, 3, height, width] -> ``logits`` float32 [batch, classes].

    ``size``: the only height and width that the network shall take.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    for layer in layers(model):
        graph.add(layer)
    value = helper.make_tensor_value_info
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [value(INPUT, TensorProto.FLOAT, ["batch", model.arch.in_channels, *(size or ("height", "width"))])],
            [value("logits", TensorProto.FLOAT, ["batch", model.arch.classes])],
            graph.weights,
            value_info=[] if size else _open_shapes(graph),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="shufflenet",
        producer_version=__version__,
        doc_string=f"{model.arch.name}, {model.arch.classes} classes; labels and preprocessing are in the metadata",
    )
    helper.set_model_props(
        proto, {key: json.dumps(value, ensure_ascii=False) for key, value in describe(model).items()}
    )
    return proto


def _open_shapes(graph: _Graph) -> list[ValueInfoProto]:
    """Sizes by name, which shape inference loses at the first stride.

    ONNX Runtime fuses and lays out in blocks only what it knows to be of one size: a tenth of the time.
    """
    from onnx import TensorProto, helper

    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", None, f"height/{stride}", f"width/{stride}"])
        for name, stride in graph.strides.items()
        if name != INPUT
    ]


def open_(order: Order, file: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of no common kind
        raise ExportError(f"ONNX Runtime can't open the exported file: {str(error).splitlines()[0]}") from error

    def logits(x: Floats) -> Floats:
        values: Floats = session.run(["logits"], {"input": x[None]})[0][0]
        return values

    return Runner(logits)


TARGET = Target(
    name="onnx",
    title="one .onnx file for ONNX Runtime, OpenVINO and others",
    suffix=".onnx",
    write=write,
    open=open_,
    signature=b"\x12\x0ashufflenet\x1a",  # its producer, in front of the version
    writes_with=("onnx",),
    runs_with=("onnxruntime",),
)
