"""OpenVINO in float32, for the least time of one picture; the request is made once and used again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino
from numpy.typing import NDArray

from shufflenet.bench import onnx_file
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work
from shufflenet.export.graph import TunedNetwork
from shufflenet.export.openvino import request


def prepare(work: Work) -> list[Run]:
    return [_prepare(network, work) for network in tuned_networks(work, ["gather", "transpose"])]


def _prepare(network: TunedNetwork, work: Work) -> Run:
    with TemporaryDirectory() as folder:
        model = openvino.Core().read_model(onnx_file.write(network, work, Path(folder) / "network.onnx"))
    ready = request(model, work.threads)
    ready.set_input_tensor(openvino.Tensor(work.x, shared_memory=True))

    def run() -> NDArray[np.float32]:
        ready.infer()
        return ready.get_output_tensor().data.copy()  # type: ignore[no-any-return]

    return run
