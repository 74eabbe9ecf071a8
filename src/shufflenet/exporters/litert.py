"""Target ``litert``: one .tflite file for LiteRT (TensorFlow Lite), which takes NHWC; fixed input size."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from shufflenet.exporters import litert_int8, litert_metadata
from shufflenet.exporters.converting import converting
from shufflenet.exporters.shuffles import Floats
from shufflenet.exporters.target import Order, Runner, Target, companions

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter
    from torch import Tensor

    from shufflenet.exporters.graph import TunedNetwork


def write(order: Order, file: Path) -> None:
    file.write_bytes(litert_metadata.with_metadata(converted(order), order))
    # Labels go into a zip archive behind the network, as in files of LiteRT's own tools; the runtime ignores it.
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for name, text in companions(_of_pixels(order), "litert", "NHWC").items():
            archive.writestr(zipfile.ZipInfo(name), text)


def _of_pixels(order: Order) -> Order:
    """The order as whoever runs the file sees it: the normalisation is in the network."""
    how = replace(order.model.preprocessing, mean=(0, 0, 0), std=(1, 1, 1))
    return replace(order, model=replace(order.model, preprocessing=how))


def converted(order: Order) -> bytes:
    """The content of the file without labels."""
    if order.model.quantized is not None:
        return litert_int8.convert(order)
    from shufflenet.exporters.graph import TunedNetwork, example

    return convert(TunedNetwork(order.model, "transpose"), example(order))


def convert(network: TunedNetwork, example: Tensor) -> bytes:
    """The content of a .tflite file that takes [N, H, W, 3], for a network that takes ``example`` [N, 3, H, W].

    Raises:
        ExportError: litert-torch can't convert the network.
    """
    with converting("litert-torch"), TemporaryDirectory() as folder:
        import litert_torch

        path = Path(folder) / "network.tflite"
        pixels_first = litert_torch.to_channel_last_io(network, args=[0]).eval()
        litert_torch.convert(pixels_first, (example.permute(0, 2, 3, 1).contiguous(),)).export(str(path))
        return path.read_bytes()


def interpreter(data: bytes, threads: int) -> Interpreter:
    """A .tflite file's content, ready to run on ``threads`` threads."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_content=data, num_threads=threads)
    network.allocate_tensors()
    return network


def set_input(network: Interpreter, x: Floats) -> None:
    """Sets the input to ``x``, float32 [N, 3, H, W]; an input of 8 bits gets it rounded by its scale."""
    (wanted,) = network.get_input_details()
    pixels = x.transpose(0, 2, 3, 1).copy()
    if np.issubdtype(wanted["dtype"], np.integer):
        scale, zero_point = wanted["quantization"]
        limits = np.iinfo(wanted["dtype"])
        pixels = np.rint(pixels / scale + zero_point).clip(limits.min, limits.max).astype(wanted["dtype"])
    network.set_tensor(wanted["index"], pixels)


def invoke(network: Interpreter) -> Floats:
    """Runs the network; returns its logits [N, classes]."""
    network.invoke()
    (given,) = network.get_output_details()
    logits: Floats = network.get_tensor(given["index"]).astype(np.float32, copy=False)
    if np.issubdtype(given["dtype"], np.integer):
        scale, zero_point = given["quantization"]
        logits = (logits - np.float32(zero_point)) * np.float32(scale)
    return logits


def open_(order: Order, file: Path) -> Runner:
    with converting("LiteRT", "open the exported file"):
        network = interpreter(file.read_bytes(), threads=1)

    def logits(x: Floats) -> Floats:
        set_input(network, litert_metadata.pixels_of(x[None], order.model.preprocessing))
        values: Floats = invoke(network)[0]
        return values

    return Runner(logits)


TARGET = Target(
    name="litert",
    title="one .tflite file for LiteRT (TensorFlow Lite)",
    suffix=".tflite",
    write=write,
    open=open_,
    signature=b" export --to litert",
    writes_with=("litert_torch", "torch", "ai_edge_litert", "flatbuffers"),
    runs_with=("ai_edge_litert",),
    rounds_int8=True,
    writes_int8_with=("ai_edge_litert", "flatbuffers"),
)
