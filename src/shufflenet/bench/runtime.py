"""The table of runtimes: a row for each, which names the file that prepares it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.bench.case import Case

Logits: TypeAlias = NDArray[np.float32]  # [batch, classes]
Run: TypeAlias = Callable[[], Logits]  # runs the prepared network once on its input, which is the case's at first

Precision = Literal["float32", "bfloat16", "int8"]
FLOAT32: Precision = "float32"
BFLOAT16: Precision = "bfloat16"
INT8: Precision = "int8"


class UnavailableError(Exception):
    """A runtime lacks what a precision needs, on this processor or at all; the message says what."""


@dataclass(frozen=True)
class Reduced:
    """A run in less than float32 whose input [batch, C, H, W] can be another, to compare its classes."""

    run: Run
    set_input: Callable[[NDArray[np.float32]], None]


@dataclass(frozen=True)
class Runtime:
    """A row of the table.

    The function ``prepare`` in ``module`` takes a case and returns a run for each configuration that may be the
    runtime's fastest; the fastest counts. Below float32 it returns a `Reduced` for each.
    """

    name: str
    module: str  # of shufflenet.bench, imported when the runtime is used
    packages: tuple[str, ...]  # distributions that it needs; the first has the runtime's version
    imports: tuple[str, ...]  # their names in an import statement
    prepare: str = "prepare"
    precision: Precision = FLOAT32

    def installed(self) -> bool:
        """Whether all packages that it needs can be imported."""
        return all(importlib.util.find_spec(name) is not None for name in self.imports)

    def version(self) -> str:
        """The installed version; raises importlib.metadata.PackageNotFoundError if there is none."""
        return metadata.version(self.packages[0])

    def runs(self, case: Case) -> list[Run]:
        """Prepares the case in float32, a run for each configuration; raises whatever the runtime's packages raise."""
        runs: list[Run] = self._prepare(case)
        return runs

    def reduced(self, case: Case) -> list[Reduced]:
        """The same below float32.

        Raises:
            UnavailableError: the runtime lacks what the precision needs.
        """
        reduced: list[Reduced] = self._prepare(case)
        return reduced

    def _prepare(self, case: Case) -> Any:
        return getattr(importlib.import_module(f"shufflenet.bench.{self.module}"), self.prepare)(case)


OURS = "shufflenet"
_ONNX, _OPENVINO = ("onnxruntime", "onnx"), ("openvino", "onnx")
_MNN, _LITERT = ("MNN", "onnx"), ("ai-edge-litert", "litert-torch")
_LITERT_IMPORTS = ("ai_edge_litert", "litert_torch")
RUNTIMES = (
    Runtime(OURS, "engine", ("shufflenet",), ()),
    Runtime("pytorch-eager", "pytorch", ("torch",), ("torch",), "prepare_eager"),
    Runtime("pytorch-inductor", "pytorch", ("torch",), ("torch",), "prepare_inductor"),
    Runtime("onnxruntime", "onnx_runtime", _ONNX, _ONNX),
    Runtime("openvino", "openvino_runtime", _OPENVINO, _OPENVINO),
    Runtime("mnn", "mnn_runtime", _MNN, _MNN),
    Runtime("ncnn", "ncnn_runtime", ("ncnn",), ("ncnn",)),
    Runtime("litert", "litert_runtime", _LITERT, _LITERT_IMPORTS),
    Runtime(OURS, "engine", ("shufflenet",), (), "prepare_int8", INT8),
    Runtime("onnxruntime", "onnx_runtime", _ONNX, _ONNX, "prepare_int8", INT8),
    Runtime("openvino", "openvino_runtime", _OPENVINO, _OPENVINO, "prepare_bfloat16", BFLOAT16),
    Runtime("openvino", "openvino_runtime", (*_OPENVINO, "nncf"), (*_OPENVINO, "nncf"), "prepare_int8", INT8),
    Runtime("mnn", "mnn_runtime", _MNN, _MNN, "prepare_int8", INT8),
    Runtime("ncnn", "ncnn_runtime", ("ncnn",), ("ncnn",), "prepare_int8", INT8),
    Runtime(
        "litert", "litert_runtime", (*_LITERT, "ai-edge-quantizer"), (*_LITERT_IMPORTS, "ai_edge_quantizer"),
        "prepare_int8", INT8,
    ),
)  # fmt: skip


def select(names: list[str] | None, precisions: Collection[Precision] = (FLOAT32,)) -> list[Runtime]:
    """The runtimes of these names, or all that are installed if there are none; always with the engine.

    Args:
        precisions: of the rows. What a named runtime needs for only one of several may be missing.

    Raises:
        ValueError: a name is unknown or its runtime is not installed; the message says how to install it.
    """
    rows = [row for row in RUNTIMES if row.precision in precisions]
    if names is None:
        return [row for row in rows if row.installed()]
    known = dict.fromkeys(row.name for row in RUNTIMES)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown runtime {name!r}; known are {', '.join(known)}")
        of_name = [row for row in rows if row.name == name]
        if of_name and not any(row.installed() for row in of_name):
            raise ValueError(f"{name} is not installed: pip install {' '.join(of_name[-1].packages)}")
    return [row for row in rows if row.name in {OURS, *names} and row.installed()]
