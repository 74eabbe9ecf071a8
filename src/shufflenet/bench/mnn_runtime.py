"""MNN, from an ONNX file, at precision "high", which is float32."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from shufflenet.bench import onnx_file
from shufflenet.bench.case import Case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.exporters import mnn
from shufflenet.exporters.graph import TunedNetwork


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`."""
    return [_prepare(network, case) for network in tuned_networks(case, ["gather", "transpose"])]


def _prepare(network: TunedNetwork, case: Case) -> Run:
    with TemporaryDirectory() as folder:
        target = Path(folder) / "network.mnn"
        mnn.convert(onnx_file.write(network, case, Path(folder) / "network.onnx"), target)
        module = mnn.load(target, onnx_file.INPUT, onnx_file.OUTPUT, case.threads)
    x = mnn.placeholder(case.x.shape)
    x.write(case.x.ravel())
    return lambda: mnn.forward(module, x)
