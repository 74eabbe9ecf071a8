"""MNN, from an ONNX file: in float32, which is its precision "high", and with weights of 8 bits.

Its offline quantizer, which also makes bytes of activations, is left out: as it was configured here it gave other
classes than float32 for nearly all pictures of the two networks that were tried.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench import onnx_file
from shufflenet.bench.case import Case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Logits, Reduced, Run
from shufflenet.exporters import mnn
from shufflenet.exporters.graph import TunedNetwork

_WEIGHTS_OF_8_BITS = ("--weightQuantBits", "8")


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [_prepare(network, case).run for network in _networks(case)]


def prepare_int8(case: Case) -> list[Reduced]:
    """Weights of 8 bits, with memory "low": activations become bytes when the network runs, where MNN likes to."""
    return [_prepare(network, case, *_WEIGHTS_OF_8_BITS, memory="low") for network in _networks(case)]


def _networks(case: Case) -> list[TunedNetwork]:
    return tuned_networks(case, ["gather", "transpose"])


def _prepare(network: TunedNetwork, case: Case, *options: str, memory: str = "high") -> Reduced:
    with TemporaryDirectory() as folder:
        target = Path(folder) / "network.mnn"
        mnn.convert(onnx_file.write(network, case, Path(folder) / "network.onnx"), target, *options)
        module = mnn.load(target, onnx_file.INPUT, onnx_file.OUTPUT, case.threads, memory)
    x = mnn.placeholder(case.x.shape)
    x.write(case.x.ravel())

    def run() -> Logits:
        return mnn.forward(module, x)

    def set_input(given: NDArray[np.float32]) -> None:
        x.write(given.ravel())

    return Reduced(run, set_input)
