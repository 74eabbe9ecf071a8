"""Target ``torchscript``: one traced .pt file for PyTorch in C++ and Python; any batch and input size."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from shufflenet.exporters.converting import converting
from shufflenet.exporters.target import Order, Runner, Target, companions


def write(order: Order, file: Path) -> None:
    import torch

    from shufflenet.exporters.graph import TunedNetwork, example

    buffer = BytesIO()
    with converting("PyTorch"), torch.inference_mode(False):
        # The shuffle is a gather, since tracing would make the sizes of reshapes constants.
        traced = torch.jit.trace(TunedNetwork(order.model, "gather"), example(order))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, buffer, _extra_files=companions(order, "torchscript"))
    file.write_bytes(buffer.getvalue())


def open_(order: Order, file: Path) -> Runner:
    import torch

    from shufflenet.exporters.graph import logits_of

    with converting("PyTorch", "open the exported file"):
        network = torch.jit.load(BytesIO(file.read_bytes()))  # type: ignore[no-untyped-call]
    return Runner(logits_of(network))


TARGET = Target(
    name="torchscript",
    title="one .pt file for PyTorch in C++ and Python",
    suffix=".torchscript.pt",
    write=write,
    open=open_,
    signature=b" export --to torchscript",
    writes_with=("torch",),
    no_int8="PyTorch's operators of 8 bits have one scale for all channels of an activation; export the float32 model",
)
