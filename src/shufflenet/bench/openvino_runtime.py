"""OpenVINO in float32, tuned for latency; all runs use one inference request."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino
from numpy.typing import NDArray

from shufflenet.bench import onnx_file
from shufflenet.bench.case import Case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.exporters.graph import TunedNetwork
from shufflenet.exporters.openvino import request


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [_prepare(network, case) for network in tuned_networks(case, ["gather", "transpose"])]


def _prepare(network: TunedNetwork, case: Case) -> Run:
    with TemporaryDirectory() as folder:
        model = openvino.Core().read_model(onnx_file.write(network, case, Path(folder) / "network.onnx"))
    ready = request(model, case.threads)
    ready.set_input_tensor(openvino.Tensor(case.x, shared_memory=True))

    def run() -> NDArray[np.float32]:
        ready.infer()
        return ready.get_output_tensor().data.copy()  # type: ignore[no-any-return]

    return run
