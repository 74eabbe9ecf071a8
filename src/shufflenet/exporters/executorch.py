"""Target ``executorch``: a .pte program for ExecuTorch, PyTorch on phones, with XNNPACK's kernels; fixed input size."""

from __future__ import annotations

from pathlib import Path

from shufflenet.exporters.converting import converting
from shufflenet.exporters.shuffles import Floats
from shufflenet.exporters.target import Order, Runner, Target, write_companions


def write(order: Order, folder: Path) -> None:
    import torch

    from shufflenet.exporters.graph import TunedNetwork, example

    with converting("ExecuTorch"):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = torch.export.export(TunedNetwork(order.model, "transpose", pads=True), (example(order),))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        data = lowered.to_executorch().buffer
    folder.mkdir()
    (folder / f"{order.name}.pte").write_bytes(data)
    write_companions(order, "executorch", folder)


def open_(order: Order, folder: Path) -> Runner:
    import torch

    with converting("ExecuTorch", "open the exported file"):
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(1)  # the only way from Python to set the number of threads
        program = Runtime.get().load_program((folder / f"{order.name}.pte").read_bytes())
        kept = program, program.load_method("forward")  # a method does not keep its program alive

    def logits(x: Floats) -> Floats:
        values: Floats = kept[1].execute([torch.from_numpy(x[None])])[0][0].numpy().copy()
        return values

    return Runner(logits)


TARGET = Target(
    name="executorch",
    title="a folder with one .pte file for PyTorch on phones (ExecuTorch)",
    suffix="_executorch",
    write=write,
    open=open_,
    folder=True,
    writes_with=("executorch", "torch"),
    no_int8="it takes 8 bits from PyTorch's quantizer alone; export the float32 model",
)
