"""Target ``web``: a folder that is a web page and an npm package: the engine as WebAssembly, the model, and the page.

The files are those of web_template, with the network's names and numbers for the words between @ signs.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters import web_model
from shufflenet.exporters.engine_sources import precision_of
from shufflenet.exporters.target import ExportError, Order, Runner, Target, made_by
from shufflenet.exporters.web_build import build
from shufflenet.probabilities import softmax

_ENGINES = {"engine.wasm": False, "engine-relaxed.wasm": True}  # whether with relaxed SIMD
_TEXTS = {".css", ".html", ".js", ".json", ".md", ".svg", ".ts", ".webmanifest"}
_NOT_OF_THE_PAGE = {"README.md", "classifier.d.ts", "package.json", "sw.js"}


def write(order: Order, folder: Path) -> None:
    model = web_model.model_bytes(order)  # refuses bad sizes before anything is written
    folder.mkdir()
    (folder / "model.bin").write_bytes(model)
    for name, relaxed in _ENGINES.items():
        build(precision_of(order.model), relaxed, folder / name)
    templates = sorted((Path(__file__).parent / "web_template").iterdir())
    of_the_page = sorted({"model.bin", *_ENGINES, *(template.name for template in templates)} - _NOT_OF_THE_PAGE)
    words = {**_words(order, model), "FILES": json.dumps(of_the_page)[1:-1]}
    for template in templates:
        if template.suffix not in _TEXTS:
            (folder / template.name).write_bytes(template.read_bytes())
            continue
        text = re.sub(r"@([A-Z_]+)@", lambda word: words[word[1]], template.read_text(encoding="utf-8"))
        (folder / template.name).write_text(text, encoding="utf-8", newline="\n")


def _words(order: Order, model: bytes) -> dict[str, str]:
    graph = order.model.graph
    return {
        "NAME": order.name,
        "PACKAGE": order.name.lower(),
        "FOLDER": order.folder or order.name,
        "ARCHITECTURE": graph.name,
        "CLASSES": str(graph.classes),
        "HEIGHT": str(order.height),
        "WIDTH": str(order.width),
        "MADE_BY": made_by("web"),
        "MODEL_KIB": f"{len(model) / 1024:,.0f}",
    }


def open_(order: Order, folder: Path) -> Runner:
    import wasmtime

    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    module = wasmtime.Module.from_file(engine, str(folder / "engine-relaxed.wasm"))
    exports = wasmtime.Linker(engine).instantiate(store, module).exports(store)
    memory = exports["memory"]
    assert isinstance(memory, wasmtime.Memory)

    def call(name: str, *arguments: int) -> Any:
        function = exports[name]
        assert isinstance(function, wasmtime.Func)
        return function(store, *arguments)

    description, packed = web_model.unpacked((folder / "model.bin").read_bytes())
    memory.write(store, packed, call("place_model", description["network_bytes"], len(packed)))
    if call("create"):
        raise ExportError("the exported engine does not take the exported model")

    def run() -> NDArray[np.float32]:
        at = call("run")
        return np.frombuffer(memory.read(store, at, at + 4 * order.model.graph.classes), np.float32)

    def logits(x: NDArray[np.float32]) -> NDArray[np.float32]:
        memory.write(store, np.ascontiguousarray(x).tobytes(), call("network_input"))
        return run()

    def probabilities(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = pixels.shape[:2]
        part = call("begin_picture", width, height)
        left, top, width, height = struct.unpack("<4i", memory.read(store, part, part + 16))
        pixels = np.pad(pixels[top : top + height, left : left + width], ((0, 0), (0, 0), (0, 1)))
        memory.write(store, pixels.tobytes(), call("place_lines", height))
        call("take_lines", height)
        return softmax(run()).astype(np.float32)

    return Runner(logits, probabilities, stand_in="wasmtime, in place of a browser")


TARGET = Target(
    name="web",
    title="a web page, also an npm package",
    suffix="_web",
    write=write,
    open=open_,
    folder=True,
    writes_with=("ziglang",),
    runs_with=("wasmtime",),
)
