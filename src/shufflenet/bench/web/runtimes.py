"""The table of web runtimes: a row for each, which makes the files that it runs a case from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from shufflenet.bench.case import Case
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, Precision, UnavailableError
from shufflenet.bench.web.tfjs_network import Groups, tfjs_files
from shufflenet.exporters import litert, onnx, web
from shufflenet.exporters.shuffles import INPUT, OUTPUT
from shufflenet.exporters.target import Layout, Order

if TYPE_CHECKING:
    from shufflenet.exporters.graph import Shuffle

_WAYS: Sequence[Shuffle] = ("transpose", "gather")  # to write channel shuffle; one is enough without
WITHOUT_RELAXED = f"{OURS}-simd128"


@dataclass(frozen=True)
class Configuration:
    """One of the ways in which a runtime can run a case; the fastest counts."""

    name: str
    files: dict[str, bytes]  # of the network, by name
    given: dict[str, Any] = field(default_factory=dict)  # to `load` of the runtime's script
    layout: Layout = "NCHW"  # of its input
    code: dict[str, bytes] | None = None  # the runtime's own files; None: they are npm's


@dataclass(frozen=True)
class WebRuntime:
    """A row of the table.

    Args:
        script: in page/; its ``load`` prepares a configuration.
        configurations: of a case.
        packages: of npm, which it needs; the first has the runtime's version.
    """

    name: str
    script: str
    configurations: Callable[[Case, Precision], Iterator[Configuration]]
    packages: tuple[str, ...] = ()


def _ours(case: Case, precision: Precision) -> Iterator[Configuration]:
    yield _exported(case, precision, "engine-relaxed.wasm")


def _without_relaxed(case: Case, precision: Precision) -> Iterator[Configuration]:
    yield _exported(case, precision, "engine.wasm")


def _exported(case: Case, precision: Precision, engine: str) -> Configuration:
    """What `shufflenet export --to web` writes."""
    with TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        web.write(_order(case, precision), site)
        files = {name: (site / name).read_bytes() for name in ("model.bin", "network.js", engine)}
    return Configuration("", {"model.bin": files.pop("model.bin")}, {"engine": engine}, code=files)


def _of_onnx(case: Case, precision: Precision) -> Iterator[Configuration]:
    """`shufflenet export --to onnx`, with channels padded and without, and PyTorch's exporter or its own quantizer."""
    order = _order(case, precision)
    for aligning in (True, False) if precision == FLOAT32 else (False,):
        made = onnx.make(order.model, case.name, (case.height, case.width), aligning=aligning)
        name = "shufflenet export" + ", padded" * aligning
        yield _onnx_configuration(name, made.SerializeToString(), case, INPUT, OUTPUT)
    from shufflenet.bench import onnx_file, onnx_runtime
    from shufflenet.bench.graph import tuned_networks

    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        for shuffle, network in zip(_WAYS, tuned_networks(case, _WAYS), strict=False):
            written = onnx_file.write(network, case, path)
            if precision == INT8:
                written = onnx_runtime.quantized(written, case)
            name = f"{'its quantizer' if precision == INT8 else 'PyTorch'}, {shuffle}"
            yield _onnx_configuration(name, written.read_bytes(), case, onnx_file.INPUT, onnx_file.OUTPUT)


def _onnx_configuration(name: str, data: bytes, case: Case, source: str, output: str) -> Configuration:
    given = {"file": "network.onnx", "input": source, "output": output, "shape": case.x.shape}
    return Configuration(name, {"network.onnx": data}, given)


def _of_litert(case: Case, precision: Precision) -> Iterator[Configuration]:
    """`shufflenet export --to litert`, and where it converts also its converter's other shuffle and its quantizer."""
    if precision == INT8:
        order = _order(case, precision)
        yield _litert_configuration("shufflenet export", litert.converted(order), case)
    needed = ("litert_torch", *(["ai_edge_quantizer"] if precision == INT8 else []))
    lacking = [name.replace("_", "-") for name in needed if importlib.util.find_spec(name) is None]
    if lacking and precision == FLOAT32:
        raise UnavailableError(f"its files in float32 are made by {lacking[0]}: pip install {lacking[0]}")
    if lacking:
        return
    from shufflenet.bench import litert_runtime
    from shufflenet.bench.graph import example, tuned_networks

    for shuffle, network in zip(_WAYS, tuned_networks(case, _WAYS), strict=False):
        data = litert.convert(network, example(case))
        if precision == INT8:
            data = litert_runtime.quantized(data, case)
        name = f"{'its quantizer' if precision == INT8 else 'litert-torch'}, {shuffle}"
        yield _litert_configuration(name, data, case)


def _litert_configuration(name: str, data: bytes, case: Case) -> Configuration:
    given = {"file": "network.tflite", "shape": _pixels_first(case)}
    return Configuration(name, {"network.tflite": data}, given, "NHWC")


def _of_tfjs(case: Case, precision: Precision) -> Iterator[Configuration]:
    if precision != FLOAT32:
        raise UnavailableError("computes in float32 alone")
    ways: Sequence[Groups] = ("dense", "gather", "transpose")
    for groups in ways:
        files = tfjs_files(case.model, groups, case.height, case.width)
        yield Configuration(f"groups {groups}", files, {"shape": _pixels_first(case)}, "NHWC")


def _pixels_first(case: Case) -> list[int]:
    return [case.batch, case.height, case.width, int(case.x.shape[1])]


def _order(case: Case, precision: Precision) -> Order:
    model = case.model if precision == FLOAT32 else case.quantized
    return Order(model, case.name, case.height, case.width)


RUNTIMES = (
    WebRuntime(OURS, "shufflenet.js", _ours),
    WebRuntime(WITHOUT_RELAXED, "shufflenet.js", _without_relaxed),
    WebRuntime("onnxruntime-web", "onnxruntime-web.js", _of_onnx, ("onnxruntime-web",)),
    WebRuntime("litertjs", "litertjs.js", _of_litert, ("@litertjs/core",)),
    WebRuntime("tfjs-wasm", "tfjs.js", _of_tfjs, ("@tensorflow/tfjs-backend-wasm", "@tensorflow/tfjs-core")),
)


def select(names: Sequence[str] | None) -> list[WebRuntime]:
    """The runtimes of these names, or all; always with this package's engine.

    Raises:
        ValueError: a name is unknown.
    """
    known = [row.name for row in RUNTIMES]
    for name in names or ():
        if name not in known:
            raise ValueError(f"unknown runtime {name!r}; in a browser there are {', '.join(known)}")
    return [row for row in RUNTIMES if names is None or row.name in names or row.script == "shufflenet.js"]
