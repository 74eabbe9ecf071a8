"""Target ``c``: a folder of plain C that needs nothing else: the engine, the plan as constants, preprocessing, labels.

The files are those of c_template, with the network's names and numbers for the words between @ signs.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet import known
from shufflenet.engine import engine
from shufflenet.engine.plan import make_plan
from shufflenet.exporters.engine_sources import (
    Precision,
    core_files,
    core_source,
    engine_folder,
    level_files,
    level_source,
    precision_of,
    with_headers,
)
from shufflenet.exporters.target import ExportError, Order, Runner, Target
from shufflenet.pictures.resize import preprocess_bytes

# What the folder's README says of the levels in the program.
_LEVELS: dict[Precision, dict[str, str]] = {
    "float32": {"IN_8_BITS": "", "X86_LEVELS": "AVX-512, AVX2 and plain SSE2", "ARM_LEVELS": "NEON"},
    "int8": {
        "IN_8_BITS": " in 8 bits",
        "X86_LEVELS": "AVX-512 with VNNI and without, AVX2 and plain SSE2",
        "ARM_LEVELS": "NEON, with the dot products of Armv8.2 where there are some",
    },
}
_FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")


def compiler() -> str:
    return os.environ.get("CC", "").strip() or "cc"


def write(order: Order, folder: Path) -> None:
    # Refuses bad sizes before anything is written. The program has one thread.
    plan = make_plan(order.model, order.height, order.width)
    folder.mkdir()
    sources = _write_engine(folder, precision_of(order.model))
    words = _words(order, plan)
    for template in sorted((Path(__file__).parent / "c_template").iterdir()):
        if template.is_file():
            name = template.name.replace("NAME", order.name)
            sources += [name] if name.endswith(".c") and name != "main.c" else []
    sources += [f"{order.name}_plan.c", f"{order.name}_labels.c"]
    words["SOURCES"] = "\n  ".join(sorted(sources))
    for template in sorted((Path(__file__).parent / "c_template").iterdir()):
        if template.is_file():
            text = re.sub(r"@(\w+)@", lambda word: words[word[1]], template.read_text(encoding="utf-8"))
            _write(folder / template.name.replace("NAME", order.name), text)
    _write(folder / f"{order.name}_plan.c", _plan_source(order.name, plan))
    _write(folder / f"{order.name}_labels.c", _labels_source(order.name, order.model.labels))


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


def _write_engine(folder: Path, precision: Precision) -> list[str]:
    """Copies the sources as they are, and adds the files that compile them; returns these files' names."""
    levels = level_files(precision)
    for name in with_headers([*core_files(precision), *levels], precision):
        copy = folder / "engine" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((engine_folder() / name).read_bytes())
    written = {"engine.c": core_source(precision, "engine")}
    for level in levels:
        written[f"engine_{Path(level).stem}.c"] = level_source(level, precision, "engine")
    for name, text in written.items():
        _write(folder / name, text)
    return list(written)


def _words(order: Order, plan: bytes) -> dict[str, str]:
    graph, preprocessing = order.model.graph, order.model.preprocessing
    sizes = engine.measure(plan, engine.WIDEST)  # the program may run on another processor
    preprocessing_bytes = preprocess_bytes(order.height, order.width)
    input_bytes = 12 * order.height * order.width
    # Numbers in C's notation.
    scale, shift = (", ".join(f"{value:.9e}f" for value in values) for values in preprocessing.scale_and_shift())
    return {
        "NAME": order.name,
        **_LEVELS[precision_of(order.model)],
        "FOLDER": shlex.quote(order.folder or order.name),
        "GUARD": order.name.upper(),
        "ARCHITECTURE": graph.name,
        "CLASSES": str(graph.classes),
        "HEIGHT": str(order.height),
        "WIDTH": str(order.width),
        "UNKNOWN": "0.5f" if known.is_calibrated(order.model.training) else "0.0f",
        "SIZE": str(preprocessing.size),
        "RESIZE": str(preprocessing.resize),
        "SCALE": scale,
        "SHIFT": shift,
        "NETWORK_BYTES": str(sizes.network_bytes),
        "ARENA_BYTES": str(sizes.arena_bytes),
        "PLAN_KIB": f"{len(plan) / 1024:,.0f}",
        "MEAN": ", ".join(f"{value:g}" for value in preprocessing.mean),
        "STD": ", ".join(f"{value:g}" for value in preprocessing.std),
        "PREPROCESS_BYTES": str(preprocessing_bytes),
        "MEMORY_KIB": f"{(sizes.network_bytes + sizes.arena_bytes + preprocessing_bytes + input_bytes) / 1024:,.0f}",
    }


def _plan_source(name: str, plan: bytes) -> str:
    words = np.frombuffer(plan, np.uint32).tolist()
    lines = [",".join(f"0x{word:x}" for word in words[i : i + 16]) for i in range(0, len(words), 16)]
    return (
        f'#include "{name}_parts.h"\n\nconst uint32_t {name}_plan[{len(words)}] = {{\n'
        + ",\n".join(lines)
        + f"}};\n\nconst size_t {name}_plan_bytes = sizeof {name}_plan;\n"
    )


def _labels_source(name: str, labels: list[str]) -> str:
    lines = "".join(f"    {_literal(label)},\n" for label in labels)
    return f'#include "{name}.h"\n\nconst char *const {name}_labels[{name.upper()}_CLASSES] = {{\n{lines}}};\n'


def _literal(text: str) -> str:
    """A C string of the UTF-8 bytes, pure ASCII, whatever the compiler takes the source's encoding for."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'


def build(folder: Path, out: Path, *flags: str) -> None:
    """The folder's one-line build, with further flags.

    Raises:
        ExportError: the compiler fails.
    """
    sources = sorted(str(file) for file in folder.glob("*.c") if "-shared" not in flags or file.name != "main.c")
    command = [*compiler().split(), *_FLAGS, *flags, *sources, "-o", str(out), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines() or [""]
        raise ExportError(f"{compiler()} could not build the exported folder: {lines[0]}")


def open_(order: Order, folder: Path) -> Runner:
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "network.so"
        build(folder, file, "-shared", "-fPIC")
        library = ctypes.CDLL(str(file))
    classes, name = order.model.graph.classes, order.name
    message = library[f"{name}_message"]
    message.restype = ctypes.c_char_p

    def checked(status: int) -> None:
        if status:
            raise ExportError(f"the exported C stopped: {message(status).decode()}")

    def logits(x: NDArray[np.float32]) -> NDArray[np.float32]:
        x, values = np.ascontiguousarray(x), np.empty(classes, np.float32)
        checked(library[f"{name}_run"](ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(values.ctypes.data)))
        return values

    def probabilities(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels, values = np.ascontiguousarray(pixels), np.empty(classes, np.float32)
        height, width = pixels.shape[:2]
        rgb, out = ctypes.c_void_p(pixels.ctypes.data), ctypes.c_void_p(values.ctypes.data)
        checked(library[f"{name}_classify"](rgb, width, height, out))
        return values

    return Runner(logits, probabilities)


TARGET = Target(
    name="c",
    title="a folder of plain C with nothing to install",
    suffix="_c",
    write=write,
    open=open_,
    folder=True,
    runs_with_compiler=True,
)
