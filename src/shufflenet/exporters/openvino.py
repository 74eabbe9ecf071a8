"""Target ``openvino``: OpenVINO's .xml and .bin files, converted from ONNX by OpenVINO."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shufflenet.exporters import onnx
from shufflenet.exporters.converting import converting
from shufflenet.exporters.shuffles import Floats
from shufflenet.exporters.target import Order, Runner, Target, describe, write_companions

if TYPE_CHECKING:
    from openvino import InferRequest, Model


def write(order: Order, folder: Path) -> None:
    import openvino

    size = (order.height, order.width) if order.fixed else None
    proto = onnx.make(order.model, order.name, size, adds_bytes=False)
    folder.mkdir()
    with converting("OpenVINO"):
        network = openvino.Core().read_model(io.BytesIO(proto.SerializeToString()))
        for key, value in describe(order.model).items():
            network.set_rt_info(json.dumps(value, ensure_ascii=False, allow_nan=False), ["shufflenet", key])
        openvino.save_model(network, folder / f"{order.name}.xml", compress_to_fp16=False)
    write_companions(order, "openvino", folder)


def request(network: Model | Path, threads: int, precision: str = "f32") -> InferRequest:
    """An inference request for a network or its .xml file, tuned for latency; ``precision``: "f32" or "bf16"."""
    import openvino

    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    return openvino.Core().compile_model(network, "CPU", settings).create_infer_request()


def open_(order: Order, folder: Path) -> Runner:
    with converting("OpenVINO", "open the exported files"):
        infer = request(folder / f"{order.name}.xml", threads=1)

    def logits(x: Floats) -> Floats:
        return np.array(infer.infer([x[None]])[0][0])

    return Runner(logits)


TARGET = Target(
    name="openvino",
    title="a folder with .xml and .bin for OpenVINO",
    suffix="_openvino",
    write=write,
    open=open_,
    folder=True,
    writes_with=("openvino", "onnx"),
    rounds_int8=True,
)
