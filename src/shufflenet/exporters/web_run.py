"""Runs an exported engine and model outside of a browser, by wasmtime, to compare them with the package's engine."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters import web_model
from shufflenet.exporters.target import ExportError, Runner
from shufflenet.probabilities import softmax


def runner(engine: bytes, model: bytes) -> Runner:
    """The engine, a WebAssembly module, with the content of a model file.

    Raises:
        ExportError: the engine refuses the model.
    """
    import wasmtime

    compiler = wasmtime.Engine()
    store = wasmtime.Store(compiler)
    exports = wasmtime.Linker(compiler).instantiate(store, wasmtime.Module(compiler, engine)).exports(store)
    memory = exports["memory"]
    assert isinstance(memory, wasmtime.Memory)

    def call(name: str, *arguments: int) -> Any:
        function = exports[name]
        assert isinstance(function, wasmtime.Func)
        return function(store, *arguments)

    description, packed = web_model.unpacked(model)
    memory.write(store, packed, call("place_model", description["network_bytes"], len(packed)))
    if call("create"):
        raise ExportError("the exported engine does not take the exported model")

    def run() -> NDArray[np.float32]:
        at = call("run")
        return np.frombuffer(memory.read(store, at, at + 4 * len(description["labels"])), np.float32)

    def logits(x: NDArray[np.float32]) -> NDArray[np.float32]:
        memory.write(store, np.ascontiguousarray(x).tobytes(), call("network_input"))
        return run()

    def probabilities(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        part = call("begin_picture", pixels.shape[1], pixels.shape[0])
        left, top, width, height = struct.unpack("<4i", memory.read(store, part, part + 16))
        seen = np.pad(pixels[top : top + height, left : left + width], ((0, 0), (0, 0), (0, 1)))
        memory.write(store, seen.tobytes(), call("place_lines", height))
        call("take_lines", height)
        return softmax(run()).astype(np.float32)

    return Runner(logits, probabilities, stand_in="the engine ran in wasmtime, in place of a browser")
