"""MNN, converted from ONNX; precision "high" is float32."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from shufflenet.bench import onnx_file
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work
from shufflenet.export import mnn
from shufflenet.export.graph import TunedNetwork


def prepare(work: Work) -> list[Run]:
    return [_prepare(network, work) for network in tuned_networks(work, ["gather", "transpose"])]


def _prepare(network: TunedNetwork, work: Work) -> Run:
    with TemporaryDirectory() as folder:
        target = Path(folder) / "network.mnn"
        mnn.convert(onnx_file.write(network, work, Path(folder) / "network.onnx"), target)
        module = mnn.load(target, onnx_file.INPUT, onnx_file.OUTPUT, work.threads)
    x = mnn.placeholder(work.x.shape)
    x.write(work.x.ravel())
    return lambda: mnn.forward(module, x)
