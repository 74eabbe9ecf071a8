"""Target ``ncnn``: ncnn's .param and .bin, written directly; any picture size.

Of ncnn's layers these are those that its own converters choose: convolutions with their ReLU, and ShuffleChannel.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shufflenet.export.converting import converting
from shufflenet.export.layers import INPUT, Floats, Layer, layers
from shufflenet.export.target import ExportError, Order, Runner, Target, write_companions
from shufflenet.model_file import Model

if TYPE_CHECKING:
    from ncnn import Mat, Net

_MAGIC = "7767517"
_FLOAT32 = b"\0\0\0\0"  # in front of a layer's weights: they are not compressed


def write(order: Order, folder: Path) -> None:
    param, weights = make(order.model)
    folder.mkdir()
    (folder / f"{order.name}.param").write_text(param, encoding="ascii", newline="\n")
    (folder / f"{order.name}.bin").write_bytes(weights)
    write_companions(order, "ncnn", folder)


def make(model: Model) -> tuple[str, bytes]:
    """What .param and .bin hold: ``input`` float32 [3, H, W] -> ``logits`` [classes]."""
    network = list(layers(model))
    lines = [_line("Input", INPUT, (), (INPUT,))]
    weights = []
    blobs = 1
    # A blob has one reader: one with more is split into a copy for each, which costs ncnn nothing.
    readers = {name: [layer for layer in network if name in layer.inputs] for name in _values(network)}
    for layer in network:
        sources = tuple(_copy(name, layer, readers[name]) for name in layer.inputs)
        for kind, name, inputs, parameters in _ncnn_layers(layer, sources):
            lines.append(_line(kind, name, inputs, (name,), parameters))
            blobs += 1
        if layer.weight is not None and layer.bias is not None:
            weights += [_FLOAT32, layer.weight.astype("<f4").tobytes(), layer.bias.astype("<f4").tobytes()]
        copies = tuple(_copy(layer.name, reader, readers[layer.name]) for reader in readers[layer.name])
        if len(copies) > 1:
            lines.append(_line("Split", f"{layer.name}.split", (layer.name,), copies))
            blobs += len(copies)
    return "\n".join([_MAGIC, f"{len(lines)} {blobs}", *lines, ""]), b"".join(weights)


def _values(network: Iterable[Layer]) -> list[str]:
    return [INPUT, *(layer.name for layer in network)]


def _copy(name: str, reader: Layer, readers: list[Layer]) -> str:
    """What ``reader`` calls the value ``name``."""
    return name if len(readers) == 1 else f"{name}.for.{reader.name}"


def _line(kind: str, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], parameters: str = "") -> str:
    words = (kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, parameters)
    return " ".join(word for word in words if word)


def _ncnn_layers(layer: Layer, inputs: tuple[str, ...]) -> list[tuple[str, str, tuple[str, ...], str]]:
    """Kind, name, inputs and parameters; the parameters have numbers, those that are missing their defaults."""
    name = layer.name
    if layer.kind == "convolution":
        assert layer.weight is not None
        kind, groups = ("Convolution", "") if layer.groups == 1 else ("ConvolutionDepthWise", f" 7={layer.groups}")
        parameters = (
            f"0={len(layer.weight)} 1={layer.kernel} 3={layer.stride} 4={layer.kernel // 2} 5=1 6={layer.weight.size}"
            f"{groups} 9={int(layer.relu)}"
        )
        return [(kind, name, inputs, parameters)]
    if layer.kind in ("max_pool", "average_pool"):
        average = int(layer.kind == "average_pool")
        # Sizes are rounded down (5=1), and an average counts the padding (6=1).
        window = f"1={layer.kernel} 2={layer.stride} 3={layer.kernel // 2} 5=1 6={average}"
        return [("Pooling", name, inputs, f"0={average} {window}")]
    if layer.kind == "add":
        before = f"{name}.before_relu"
        return [("BinaryOp", before, inputs, "0=0"), ("ReLU", name, (before,), "")]
    if layer.kind == "linear":
        assert layer.weight is not None
        return [("InnerProduct", name, inputs, f"0={len(layer.weight)} 1=1 2={layer.weight.size}")]
    kind, parameters = {
        "shuffle": ("ShuffleChannel", f"0={layer.groups}"),
        "concat": ("Concat", "0=0"),
        "global_pool": ("Pooling", "0=1 4=1"),
    }[layer.kind]
    return [(kind, name, inputs, parameters)]


def load(param: Path, weights: Path, threads: int) -> Net:
    """Ready to run in float32."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.openmp_blocktime = 0  # its threads must not spin when it is done: others need the cores
    # Storage and arithmetic in 16 bits is another precision.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(param)) != 0 or net.load_model(str(weights)) != 0:
        raise ExportError("ncnn can't open the exported files")
    return net


def mat(x: Floats) -> Mat:
    """An input: float32 [3, H, W]."""
    import ncnn

    contiguous = np.ascontiguousarray(x)
    return ncnn.Mat(contiguous).clone()  # which has memory of its own: the first does not keep the array alive


def forward(net: Net, x: Mat) -> Floats:
    """-> [classes]."""
    with net.create_extractor() as extractor:
        extractor.input(INPUT, x)
        _, logits = extractor.extract("logits")
        return np.array(logits)


def open_(order: Order, folder: Path) -> Runner:
    with converting("ncnn", "open the exported files"):
        net = load(folder / f"{order.name}.param", folder / f"{order.name}.bin", threads=1)
    return Runner(lambda x: forward(net, mat(x)))


TARGET = Target(
    name="ncnn",
    title="a folder with .param and .bin for ncnn",
    suffix="_ncnn",
    write=write,
    open=open_,
    folder=True,
    runs_with=("ncnn",),
)
