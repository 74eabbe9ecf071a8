"""Target ``onnx``: one file that takes any batch and, unless a size is asked for, any picture size.

Built from the model directly, with labels and preprocessing in the metadata. Batch norm is folded. The channel shuffle
stands behind the depthwise convolution, which works on each channel alone and so does not mind the order.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet import __version__
from shufflenet.arch import Unit
from shufflenet.export.target import ExportError, Order, Runner, Target
from shufflenet.model_file import Model
from shufflenet.plan import _folded as folded

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET = 13  # the lowest with all that is needed, so that older runtimes read the file too
IR_VERSION = 7  # of the same release

Floats = NDArray[np.float32]


class _Graph:
    """Nodes and weights in the order of running; each call returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def convolution(
        self, name: str, x: str, weight: Floats, bias: Floats, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> str:
        weight = weight.reshape(len(weight), -1, kernel, kernel)
        parameters = self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)
        return self.node(
            "Conv", name, x, *parameters,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups,
        )  # fmt: skip

    def relu(self, x: str) -> str:
        return self.node("Relu", f"{x}.relu", x)


def write(order: Order, file: Path) -> None:
    import onnx

    proto = make(order.model, order.name, (order.height, order.width) if order.fixed else None)
    onnx.checker.check_model(proto, full_check=True)
    file.write_bytes(proto.SerializeToString())


def make(model: Model, name: str, size: tuple[int, int] | None = None) -> ModelProto:
    """``input`` float32 [batch, 3, height, width] -> ``logits`` float32 [batch, classes].

    ``size``: of the only height and width that the network shall take.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    _add_network(graph, model, size)
    value = helper.make_tensor_value_info
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [value("input", TensorProto.FLOAT, ["batch", model.arch.in_channels, *(size or ("height", "width"))])],
            [value("logits", TensorProto.FLOAT, ["batch", model.arch.classes])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="shufflenet",
        producer_version=__version__,
        doc_string=f"{model.arch.name}, {model.arch.classes} classes; labels and preprocessing are in the metadata",
    )
    helper.set_model_props(proto, _metadata(model))
    return proto


def _metadata(model: Model) -> dict[str, str]:
    """Texts of JSON, as in a model file. Softmax over the logits gives probabilities."""
    description = {
        "architecture": {"name": model.arch.name, **asdict(model.arch)},
        "preprocessing": {"colour_order": "RGB", "layout": "NCHW", **asdict(model.preprocessing)},
        "labels": model.labels,
        "accuracy": model.accuracy,
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in description.items()}


def _add_network(graph: _Graph, model: Model, size: tuple[int, int] | None) -> None:
    arch = model.arch
    shrunk = arch.stem_stride * 2  # how much smaller the pictures are by now
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    x = graph.relu(graph.convolution("conv1", "input", *folded(model, "conv1", "bn1"), 3, stride=arch.stem_stride))
    x = graph.node("MaxPool", "maxpool", x, **window)
    for unit in arch.units():
        shrunk *= unit.stride
        out_size = None if size is None else (-(-size[0] // shrunk), -(-size[1] // shrunk))
        branch = _add_branch(graph, model, unit, x, out_size)
        if unit.stride == 1:
            x = graph.node("Add", f"{unit.name}.add", branch, x)
        else:
            shortcut = graph.node("AveragePool", f"{unit.name}.shortcut", x, count_include_pad=1, **window)
            x = graph.node("Concat", f"{unit.name}.concat", shortcut, branch, axis=1)
        x = graph.relu(x)
    x = graph.node("GlobalAveragePool", "global_pool", x)
    x = graph.node("Flatten", "features", x)
    weight = graph.constant("fc.weight", model.tensors["fc.weight"])
    bias = graph.constant("fc.bias", model.tensors["fc.bias"])
    graph.node("Gemm", "logits", x, weight, bias, transB=1)


def _add_branch(graph: _Graph, model: Model, unit: Unit, x: str, out_size: tuple[int, int] | None) -> str:
    """Both pointwise convolutions and what is between them."""

    def folded_layer(layer: str, batch_norm: str) -> tuple[Floats, Floats]:
        return folded(model, f"{unit.name}.{layer}", f"{unit.name}.{batch_norm}")

    x = graph.convolution(f"{unit.name}.pointwise1", x, *folded_layer("pointwise1", "bn1"), 1, groups=unit.groups1)
    x = graph.relu(x)
    channels, groups = unit.bottleneck_channels, unit.groups2 if model.arch.shuffle else 1
    order = np.arange(channels).reshape(groups, -1).T.ravel()
    # In the network the depthwise convolution comes last: its channel i is the unshuffled channel order[i].
    weight, bias = folded_layer("depthwise", "bn2")
    back = np.argsort(order)
    name = f"{unit.name}.depthwise"
    x = graph.convolution(name, x, weight[back], bias[back], 3, stride=unit.stride, groups=channels)
    if groups > 1:
        x = _add_shuffle(graph, f"{unit.name}.shuffle", x, order, groups, out_size)
    return graph.convolution(f"{unit.name}.pointwise2", x, *folded_layer("pointwise2", "bn3"), 1, groups=unit.groups2)


def _add_shuffle(
    graph: _Graph, name: str, x: str, order: NDArray[np.int64], groups: int, size: tuple[int, int] | None
) -> str:
    """One Gather; for a known size a transpose between two reshapes, which ONNX Runtime does faster."""
    if size is None:
        return graph.node("Gather", name, x, graph.constant(f"{name}.order", order), axis=1)
    height, width = size
    split = np.array([0, groups, len(order) // groups, height * width])  # 0: as many as there are
    x = graph.node("Reshape", f"{name}.split", x, graph.constant(f"{name}.split_shape", split))
    x = graph.node("Transpose", f"{name}.transpose", x, perm=[0, 2, 1, 3])
    shape = np.array([0, len(order), height, width])
    return graph.node("Reshape", name, x, graph.constant(f"{name}.shape", shape))


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
