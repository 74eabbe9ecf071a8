"""The table of runtimes: a row for each, which names the file that prepares it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench.case import Case

# Runs the prepared network once on the case's input; returns its logits [batch, classes].
Run: TypeAlias = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Runtime:
    """A row of the table.

    The function ``prepare`` in ``module`` takes a case and returns a run for each configuration that may be the
    runtime's fastest; the fastest counts.
    """

    name: str
    module: str  # of shufflenet.bench, imported when the runtime is used
    packages: tuple[str, ...]  # distributions that it needs; the first has the runtime's version
    imports: tuple[str, ...]  # their names in an import statement
    prepare: str = "prepare"

    def installed(self) -> bool:
        """Whether all packages that it needs can be imported."""
        return all(importlib.util.find_spec(name) is not None for name in self.imports)

    def version(self) -> str:
        """The installed version; raises importlib.metadata.PackageNotFoundError if there is none."""
        return metadata.version(self.packages[0])

    def runs(self, case: Case) -> list[Run]:
        """Prepares the case, a run for each configuration; raises whatever the runtime's packages raise."""
        module = importlib.import_module(f"shufflenet.bench.{self.module}")
        runs: list[Run] = getattr(module, self.prepare)(case)
        return runs


OURS = "shufflenet"
RUNTIMES = (
    Runtime(OURS, "engine", ("shufflenet",), ()),
    Runtime("pytorch-eager", "pytorch", ("torch",), ("torch",), "prepare_eager"),
    Runtime("pytorch-inductor", "pytorch", ("torch",), ("torch",), "prepare_inductor"),
    Runtime("onnxruntime", "onnx_runtime", ("onnxruntime", "onnx"), ("onnxruntime", "onnx")),
    Runtime("openvino", "openvino_runtime", ("openvino", "onnx"), ("openvino", "onnx")),
    Runtime("mnn", "mnn_runtime", ("MNN", "onnx"), ("MNN", "onnx")),
    Runtime("ncnn", "ncnn_runtime", ("ncnn",), ("ncnn",)),
    Runtime("litert", "litert_runtime", ("ai-edge-litert", "litert-torch"), ("ai_edge_litert", "litert_torch")),
)


def select(names: list[str] | None) -> list[Runtime]:
    """The runtimes of these names, or all that are installed if there are none; always with the engine.

    Raises:
        ValueError: a name is unknown or its runtime is not installed; the message says how to install it.
    """
    by_name = {runtime.name: runtime for runtime in RUNTIMES}
    if names is None:
        return [runtime for runtime in RUNTIMES if runtime.installed()]
    for name in names:
        if name not in by_name:
            raise ValueError(f"unknown runtime {name!r}; known are {', '.join(by_name)}")
        if not by_name[name].installed():
            raise ValueError(f"{name} is not installed: pip install {' '.join(by_name[name].packages)}")
    return [runtime for runtime in RUNTIMES if runtime.name in {OURS, *names}]
