"""The runtimes that are compared: one row each, one file each."""

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

# Runs the prepared network once on its input -> logits [batch, classes].
Run: TypeAlias = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Runtime:
    """``prepare`` in ``module`` gives one run for each configuration that may be the runtime's best."""

    name: str
    module: str  # in shufflenet.bench, imported only when used
    packages: tuple[str, ...]  # distributions that it needs; the first is the runtime
    imports: tuple[str, ...]  # what they are called in Python
    prepare: str = "prepare"

    def installed(self) -> bool:
        return all(importlib.util.find_spec(name) is not None for name in self.imports)

    def version(self) -> str:
        return metadata.version(self.packages[0])

    def runs(self, case: Case) -> list[Run]:
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
    """The runtimes of these names, or all that are installed; the engine always, since all are compared with it.

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
