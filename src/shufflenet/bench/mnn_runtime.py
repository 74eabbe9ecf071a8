"""MNN, converted from ONNX; precision "high" is float32."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import MNN
import numpy as np
from numpy.typing import NDArray

from shufflenet.bench import onnx_file
from shufflenet.bench.graph import TunedNetwork, tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.bench.work import Work


def prepare(work: Work) -> list[Run]:
    return [_prepare(network, work) for network in tuned_networks(work, ["gather", "transpose"])]


def _prepare(network: TunedNetwork, work: Work) -> Run:
    with TemporaryDirectory() as folder:
        source = onnx_file.write(network, work, Path(folder) / "network.onnx")
        target = Path(folder) / "network.mnn"
        _convert(source, target)
        manager = MNN.nn.create_runtime_manager(
            ({"backend": "CPU", "precision": "high", "memory": "high", "numThread": work.threads},)
        )
        module = MNN.nn.load_module_from_file(
            str(target), [onnx_file.INPUT], [onnx_file.OUTPUT], runtime_manager=manager
        )
    x = MNN.expr.placeholder(work.x.shape, MNN.expr.NCHW, MNN.numpy.float32)
    x.write(work.x.ravel())

    def run() -> NDArray[np.float32]:
        (logits,) = module.onForward([x])
        return np.array(logits.read()).reshape(work.batch, -1)

    return run


def _convert(source: Path, target: Path) -> None:
    program = shutil.which("mnnconvert", path=str(Path(sys.executable).parent)) or shutil.which("mnnconvert")
    if program is None:
        raise RuntimeError("mnnconvert, which comes with the package MNN, is not on the path")
    command = [program, "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target), "--bizCode", "bench"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not target.exists():
        raise RuntimeError(f"mnnconvert failed: {done.stdout.strip().splitlines()[-1:]}")
