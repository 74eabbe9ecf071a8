"""Target ``mnn``: MNN's .mnn file, converted from ONNX by MNN's converter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from shufflenet.exporters import onnx
from shufflenet.exporters.converting import converting
from shufflenet.exporters.shuffles import INPUT, OUTPUT, Floats
from shufflenet.exporters.target import ExportError, Order, Runner, Target, write_companions

# Calls MNN's converter directly: its program mnnconvert installs packages with pip and sends reports over the network.
# The converter runs in a process of its own, since it may exit.
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"


def write(order: Order, folder: Path) -> None:
    proto = onnx.make(order.model, order.name, (order.height, order.width) if order.fixed else None)
    folder.mkdir()
    with TemporaryDirectory() as temporary:
        source = Path(temporary) / "network.onnx"
        source.write_bytes(proto.SerializeToString())
        convert(source, folder / f"{order.name}.mnn")
    write_companions(order, "mnn", folder)


def convert(source: Path, target: Path, *more: str) -> None:
    """Converts the ONNX file ``source`` to the .mnn file ``target``; ``more``: options of MNN's converter.

    Raises:
        ExportError: MNN can't convert the network.
    """
    options = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target), "--bizCode", "shufflenet", *more]
    command = [sys.executable, "-c", _CONVERT, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if not target.exists():
        raise ExportError(f"MNN can't convert the network: {(done.stdout.strip().splitlines() or ['no reason'])[-1]}")


def load(path: Path, source: str, result: str, threads: int, memory: str = "high") -> Any:
    """An MNN module in float32; ``source`` and ``result`` are the names of the network's input and output.

    ``memory``: "low" for weights that stay as small as the file has them.
    """
    import MNN

    settings = {"backend": "CPU", "precision": "high", "memory": memory, "numThread": threads}
    manager = MNN.nn.create_runtime_manager((settings,))
    return MNN.nn.load_module_from_file(str(path), [source], [result], runtime_manager=manager)


def placeholder(shape: tuple[int, ...]) -> Any:
    """An input variable of this shape, NCHW."""
    import MNN

    return MNN.expr.placeholder(shape, MNN.expr.NCHW, MNN.numpy.float32)


def forward(module: Any, x: Any) -> Floats:
    """Runs the module on a `placeholder` [N, 3, H, W]; returns its logits [N, classes]."""
    (logits,) = module.onForward([x])
    return np.array(logits.read()).reshape(x.shape[0], -1)


def open_(order: Order, folder: Path) -> Runner:
    with converting("MNN", "open the exported file"):
        module = load(folder / f"{order.name}.mnn", INPUT, OUTPUT, threads=1)
        source = placeholder((1, order.model.graph.in_channels, order.height, order.width))

    def logits(x: Floats) -> Floats:
        source.write(x.ravel())
        values: Floats = forward(module, source)[0]
        return values

    return Runner(logits)


TARGET = Target(
    name="mnn",
    title="a folder with one .mnn file for MNN",
    suffix="_mnn",
    write=write,
    open=open_,
    folder=True,
    writes_with=("MNN", "onnx"),
    no_int8="its converter quantizes float32 models by itself; export the float32 model",
)
