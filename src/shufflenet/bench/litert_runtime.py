"""LiteRT, which runs XNNPACK's kernels by default. litert-torch converts the network to its layout, NHWC.

Its 8 bits are those of AI Edge Quantizer, weights and activations, or ours as `shufflenet export` hands them on.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench.case import Case
from shufflenet.bench.graph import example, tuned_networks
from shufflenet.bench.runtime import Logits, Reduced, Run
from shufflenet.exporters import litert
from shufflenet.exporters.target import Order


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [_prepare(data, case).run for data in _files(case)]


def prepare_int8(case: Case) -> list[Reduced]:
    """See `runtime.Runtime`."""
    exported = litert.converted(Order(case.quantized, case.name, case.height, case.width))
    return [_prepare(data, case) for data in (*(quantized(data, case) for data in _files(case)), exported)]


def _files(case: Case) -> list[bytes]:
    return [litert.convert(network, example(case)) for network in tuned_networks(case, ["transpose", "gather"])]


def quantized(data: bytes, case: Case) -> bytes:
    from ai_edge_quantizer import quantizer, recipe

    assert case.samples is not None
    batches = case.samples.calibration.reshape(-1, *case.x.shape).transpose(0, 1, 3, 4, 2)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(data)
        quantizing = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        runner = litert.interpreter(data, 1).get_signature_runner()
        (name,) = runner.get_input_details()
        ranges = quantizing.calibrate({None: [{name: np.ascontiguousarray(x)} for x in batches]})
        return bytes(quantizing.quantize(ranges).quantized_model)


def _prepare(data: bytes, case: Case) -> Reduced:
    interpreter = litert.interpreter(data, case.threads)
    litert.set_input(interpreter, case.x)

    def run() -> Logits:
        return litert.invoke(interpreter)

    def set_input(x: NDArray[np.float32]) -> None:
        litert.set_input(interpreter, x)

    return Reduced(run, set_input)
