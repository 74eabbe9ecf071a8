"""Target ``onnx``: one .onnx file that takes any batch and, unless a size is given, any input size.

The graph is built without an exporter, with labels and preprocessing in its metadata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from shufflenet import __version__
from shufflenet.exporters.aligned import aligned
from shufflenet.exporters.onnx_graph import OnnxGraph, open_shapes
from shufflenet.exporters.onnx_int8 import Int8OnnxGraph
from shufflenet.exporters.shuffles import INPUT, OUTPUT, Floats, gathered, move_shuffles, with_gathers
from shufflenet.exporters.target import ExportError, Order, Runner, Target, describe
from shufflenet.exporters.whole_numbers import whole_numbers
from shufflenet.networks.model import Model

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 13  # the lowest that has all operators, so that older runtimes read the file too
IR_VERSION = 7  # of the release with that opset


def write(order: Order, file: Path) -> None:
    import onnx

    proto = make(order.model, order.name, (order.height, order.width) if order.fixed else None, aligning=True)
    onnx.checker.check_model(proto, full_check=True)
    file.write_bytes(proto.SerializeToString())


def make(
    model: Model, name: str, size: tuple[int, int] | None = None, aligning: bool = False, adds_bytes: bool = True
) -> ModelProto:
    """The ONNX model: ``input`` float32 [batch, in_channels, height, width] -> ``logits`` float32 [batch, classes].

    Args:
        size: height and width of the input; None: any.
        aligning: pad channels for ONNX Runtime, see `aligned`; for other runtimes the padding would be a waste.
        adds_bytes: see `Int8OnnxGraph`; OpenVINO rounds no byte between a convolution and an addition.

    Raises:
        ExportError: the network needs a ``size``, or can't have this one.
    """
    from onnx import TensorProto, helper

    if model.quantized is not None:
        moved, tensors = whole_numbers(model)
        graph: OnnxGraph = Int8OnnxGraph(with_gathers(moved), tensors, size, model.preprocessing, adds_bytes)
    else:
        tuned = gathered(move_shuffles(model))
        if aligning:
            tuned = aligned(tuned)
        graph = OnnxGraph(tuned.graph, tuned.tensors, size)
    value = helper.make_tensor_value_info
    graph.build()
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [value(INPUT, TensorProto.FLOAT, ["batch", model.graph.in_channels, *(size or ("height", "width"))])],
            [value(OUTPUT, TensorProto.FLOAT, ["batch", model.graph.classes])],
            graph.weights,
            value_info=[] if size else open_shapes(graph),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="shufflenet",
        producer_version=__version__,
        doc_string=f"{model.graph.name}, {model.graph.classes} classes; labels and preprocessing are in the metadata",
    )
    said = {key: json.dumps(value, ensure_ascii=False, allow_nan=False) for key, value in describe(model).items()}
    helper.set_model_props(proto, said)
    return proto


def open_(order: Order, file: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise ExportError(f"ONNX Runtime can't open the exported file: {str(error).splitlines()[0]}") from error

    def logits(x: Floats) -> Floats:
        values: Floats = session.run([OUTPUT], {INPUT: x[None]})[0][0]
        return values

    return Runner(logits)


TARGET = Target(
    name="onnx",
    title="one .onnx file for ONNX Runtime, OpenVINO and others",
    suffix=".onnx",
    write=write,
    open=open_,
    signature=b"\x12\x0ashufflenet\x1a",  # the field of the producer's name
    writes_with=("onnx",),
    runs_with=("onnxruntime",),
    rounds_int8=True,
)
