"""LiteRT: converted by litert-torch, with pixels first as it computes; XNNPACK is its default."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import litert_torch
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from shufflenet.bench.graph import TunedNetwork, example, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work


def prepare(work: Work) -> list[Run]:
    return [_prepare(network, work) for network in tuned_networks(work, ["transpose", "gather"])]


def _prepare(network: TunedNetwork, work: Work) -> Run:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.tflite"
        pixels_first = litert_torch.to_channel_last_io(network, args=[0]).eval()
        litert_torch.convert(pixels_first, (example(work).permute(0, 2, 3, 1).contiguous(),)).export(str(path))
        interpreter = Interpreter(model_content=path.read_bytes(), num_threads=work.threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], work.x.transpose(0, 2, 3, 1).copy())
    output = interpreter.get_output_details()[0]["index"]

    def run() -> NDArray[np.float32]:
        interpreter.invoke()
        return interpreter.get_tensor(output)  # type: ignore[no-any-return]

    return run
