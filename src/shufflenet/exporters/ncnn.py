"""Target ``ncnn``: ncnn's .param and .bin files, written without a converter; any input size.

The layers are those that ncnn's own converters choose: convolutions with a fused ReLU, and ShuffleChannel.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shufflenet.exporters.converting import converting
from shufflenet.exporters.shuffles import INPUT, OUTPUT, Floats, move_shuffles
from shufflenet.exporters.target import ExportError, Order, Runner, Target, write_companions
from shufflenet.networks.graph import (
    Activation,
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Input,
    Node,
    Pad,
    Pool,
    Scale,
    Shuffle,
    Split,
    WindowPool,
)
from shufflenet.networks.model import Model

if TYPE_CHECKING:
    from ncnn import Mat, Net

_MAGIC = "7767517"
_FLOAT32 = b"\0\0\0\0"  # tag in front of a layer's weights: not compressed


def write(order: Order, folder: Path) -> None:
    param, weights = make(order.model)
    folder.mkdir()
    (folder / f"{order.name}.param").write_text(param, encoding="ascii", newline="\n")
    (folder / f"{order.name}.bin").write_bytes(weights)
    write_companions(order, "ncnn", folder)


def make(model: Model) -> tuple[str, bytes]:
    """The contents of .param and .bin: ``input`` float32 [3, H, W] -> ``logits`` [classes].

    Raises:
        ExportError: ncnn can't express the network.
    """
    writer = _Writer(move_shuffles(model))
    return "\n".join([_MAGIC, f"{len(writer.lines)} {writer.blobs}", *writer.lines, ""]), b"".join(writer.weights)


class _Writer:
    """Lines of .param and weights of .bin, layer by layer.

    In ncnn a blob has one reader; a Split layer, which copies nothing at run time, gives each of several its own.
    """

    def __init__(self, model: Model) -> None:
        self.tensors = model.tensors
        self.readers = model.graph.readers()
        self.lines: list[str] = []
        self.blobs = 0
        self.weights: list[bytes] = []
        for node in model.graph.nodes:
            self._add(node)

    def _add(self, node: Node) -> None:
        inputs = tuple(self._copy(source, node) for source in node.inputs)
        if isinstance(node, Input):
            self._line("Input", node.name, (), (node.name,))
        elif isinstance(node, Convolution | FullyConnected):
            weight, bias = (self.tensors[name] for name in node.tensor_shapes())
            kind, parameters = _of_weights(node, weight)
            self._activated(node, kind, inputs, parameters, fused=node.activation in _ACTIVATION_PARAMETERS)
            self.weights += [_FLOAT32, weight.astype("<f4").tobytes(), bias.astype("<f4").tobytes()]
        elif isinstance(node, Add | Scale):
            self._activated(node, "BinaryOp", inputs, "0=0" if isinstance(node, Add) else "0=2", fused=False)
        elif not isinstance(node, Split):  # a split is written with its input, by `_hand_out`
            kind, parameters = _plain(node)
            self._line(kind, node.name, inputs, (node.name,), parameters)
        self._hand_out(node)

    def _activated(
        self, node: Convolution | FullyConnected | Add | Scale, kind: str, inputs: tuple[str, ...], parameters: str,
        *, fused: bool,
    ) -> None:  # fmt: skip
        """A layer, and behind it its activation, unless that is ``fused`` into it."""
        activation, *activation_parameters = ("",) if fused else _ACTIVATION_LAYERS[node.activation]
        name = f"{node.name}.before_{activation.lower()}" if activation else node.name
        self._line(kind, name, inputs, (name,), parameters)
        if activation:
            self._line(activation, node.name, (name,), (node.name,), *activation_parameters)

    def _hand_out(self, node: Node) -> None:
        """Writes the layer behind ``node`` that gives each of several readers its blob: Slice or Split."""
        readers = self.readers[node]
        if parts := [reader for reader in readers if isinstance(reader, Split)]:
            ends = [0, *accumulate(part.channels for part in parts)]
            if parts != readers or [part.first for part in parts] != ends[:-1] or ends[-1] != node.channels:
                raise ExportError(f"ncnn can't split {node.name} into parts that are not all of it, one by one")
            sizes = f"-23300={len(parts)},{','.join(str(part.channels) for part in parts)}"
            self._line("Slice", f"{node.name}.slice", (node.name,), tuple(part.name for part in parts), sizes)
        elif len(readers) > 1:
            copies = tuple(self._copy(node, reader) for reader in readers)
            self._line("Split", f"{node.name}.split", (node.name,), copies)

    def _copy(self, node: Node, reader: Node) -> str:
        """The name of the blob in which ``reader`` gets the value of ``node``."""
        return node.name if len(self.readers[node]) == 1 else f"{node.name}.for.{reader.name}"

    def _line(
        self, kind: str, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], parameters: str = ""
    ) -> None:
        words = (kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, parameters)
        self.lines.append(" ".join(word for word in words if word))
        self.blobs += len(outputs)


_SLOPE = "0=0.16666667 1=0.5"
# What computes an activation: a layer of its own, or a parameter of the layer before it.
_ACTIVATION_LAYERS: dict[Activation, tuple[str, ...]] = {
    "linear": ("",),
    "relu": ("ReLU",),
    "sigmoid": ("Sigmoid",),
    "hard_sigmoid": ("HardSigmoid", _SLOPE),
    "hard_swish": ("HardSwish", _SLOPE),
    "relu6": ("Clip", "0=0.0 1=6.0"),
    "silu": ("Swish",),
    "gelu": ("GELU",),
}
_ACTIVATION_PARAMETERS: dict[Activation, str] = {
    "linear": "",
    "relu": " 9=1",
    "sigmoid": " 9=4",
    "hard_swish": " 9=6 -23310=2,0.16666667,0.5",
    "relu6": " 9=3 -23310=2,0.0,6.0",
}


def _of_weights(node: Convolution | FullyConnected, weight: Floats) -> tuple[str, str]:
    """Layer type and parameters of an operator with weights. ncnn numbers a layer's parameters: NUMBER=VALUE."""
    activation = _ACTIVATION_PARAMETERS.get(node.activation, "")
    if isinstance(node, FullyConnected):
        return "InnerProduct", f"0={node.channels} 1=1 2={weight.size}{activation}"
    kind, groups = ("Convolution", "") if node.groups == 1 else ("ConvolutionDepthWise", f" 7={node.groups}")
    window = f"1={node.kernel_size} 3={node.stride} 4={node.padding}"
    return kind, f"0={node.channels} {window} 5=1 6={weight.size}{groups}{activation}"


def _plain(node: Node) -> tuple[str, str]:
    """Layer type and parameters of an operator without weights."""
    match node:
        case Pool() | WindowPool():
            average = node.kind == "average"
            counted = int(average and (isinstance(node, Pool) or node.counts_padding))
            window = f"1={node.kernel_size} 2={node.stride} 3={node.padding} 5={int(not node.ceil)}"
            return "Pooling", f"0={int(average)} {window} 6={counted}"
        case Pad():
            return "Padding", f"0={node.before} 1={node.after} 2={node.before} 3={node.after}"
        case AdaptiveAveragePool(size=1):
            return "Pooling", "0=1 4=1"
        case AdaptiveAveragePool():
            return "Pooling", f"0=1 7=1 8={node.size} 18={node.size}"
        case Concat():
            return "Concat", "0=0"
        case Shuffle():
            return "ShuffleChannel", f"0={node.groups}"
        case _:
            raise TypeError(f"no ncnn layer for {type(node).__name__}")


def load(param: Path, weights: Path, threads: int) -> Net:
    """The network of the two files, ready to run in float32.

    Raises:
        ExportError: ncnn can't open them.
    """
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.openmp_blocktime = 0  # threads don't spin after a run, when others need the cores
    # 16-bit storage and arithmetic are off, for float32.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(param)) != 0 or net.load_model(str(weights)) != 0:
        raise ExportError("ncnn can't open the exported files")
    return net


def mat(x: Floats) -> Mat:
    """An input of the network, float32 [3, H, W]."""
    import ncnn

    contiguous = np.ascontiguousarray(x)
    return ncnn.Mat(contiguous).clone()  # a copy, since a Mat does not keep the array alive


def forward(net: Net, x: Mat) -> Floats:
    """Runs the network; returns its logits [classes]."""
    with net.create_extractor() as extractor:
        extractor.input(INPUT, x)
        _, logits = extractor.extract(OUTPUT)
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
    no_int8="it has one scale for all weights of a group, and ranges that its own tool finds; export the float32 model",
)
