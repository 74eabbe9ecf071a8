"""OpenVINO: the latency hint, float32, one infer request used again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino
from numpy.typing import NDArray

from shufflenet.bench import onnx_file
from shufflenet.bench.graph import TunedNetwork, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work


def prepare(work: Work) -> list[Run]:
    return [_prepare(network, work) for network in tuned_networks(work, ["gather", "transpose"])]


def _prepare(network: TunedNetwork, work: Work) -> Run:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": work.threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    with TemporaryDirectory() as folder:
        model = core.read_model(onnx_file.write(network, work, Path(folder) / "network.onnx"))
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(work.x, shared_memory=True))

    def run() -> NDArray[np.float32]:
        request.infer()
        return request.get_output_tensor().data.copy()  # type: ignore[no-any-return]

    return run
