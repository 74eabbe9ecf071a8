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

from shufflenet.engine import engine
from shufflenet.engine.plan import make_plan
from shufflenet.exporters.target import ExportError, Order, Runner, Target
from shufflenet.pictures.resize import preprocess_bytes

# What the compiler must be told for a level's file, since one command line gives all files the same flags. Elsewhere
# than on x86-64 these files are empty.
_X86_TARGETS = {
    "avx2": ("avx2,fma,f16c", "avx2,fma,f16c"),
    "avx512": (
        "avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512",  # GCC
        "avx512f,avx512bw,avx512dq,avx512vl,fma",  # Clang uses the whole width anyway
    ),
}
# What a program with one thread needs, beside operators and levels; the other files serve the Python package.
_CORE = ("builder.c", "cpu.c", "create.c", "preprocess/preprocess.c", "run.c", "tiles.c")
_FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")


def engine_folder() -> Path:
    """The engine's sources: in the installed package beside this file, in a checkout at its top."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "engine", here.parents[3] / "engine"):
        if (folder / "shufflenet.h").is_file():
            return folder
    raise ExportError("the engine's C sources are not in this installation; install the package with pip")


def compiler() -> str:
    return os.environ.get("CC", "").strip() or "cc"


def write(order: Order, folder: Path) -> None:
    # Refuses bad sizes before anything is written. The program has one thread.
    plan = make_plan(order.model, order.height, order.width)
    folder.mkdir()
    sources = _write_engine(folder)
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


def _write_engine(folder: Path) -> list[str]:
    """Copies the sources as they are, and adds the files that compile them; returns these files' names."""
    source, core = engine_folder(), []
    for file in sorted(source.rglob("*")):
        name = file.relative_to(source)
        if _is_int8(file):
            continue
        if name.as_posix() in _CORE or (name.parent.name == "operators" and file.suffix == ".c"):
            core.append(f'#include "engine/{name.as_posix()}"\n')
        elif file.suffix != ".h" and name.parent.name != "levels":
            continue
        copy = folder / "engine" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    _write(
        folder / "engine.c",
        "// The engine without its kernels.\n"
        f"#ifdef __x86_64__\n#define SHUFFLENET_X86 // engine_avx2.c and engine_avx512.c are there\n#endif\n"
        f"#define SHUFFLENET_LOCAL static\n#define SHUFFLENET_WITHOUT_INT8\n{''.join(core)}",
    )
    names = ["engine.c"]
    for file in sorted((source / "levels").glob("*.c")):
        if _is_int8(file):
            continue
        names.append(f"engine_{file.stem}.c")
        _write(folder / names[-1], _level_source(file.stem))
    return names


def _is_int8(file: Path) -> bool:
    """Whether a file of the engine serves quantized networks alone; headers at the top name types that all know."""
    return file.parent.name != "engine" and file.name.startswith(("int8", "words"))


def _level_source(level: str) -> str:
    comment = "// The kernels of one instruction set level.\n"
    include = f'#define SHUFFLENET_WITHOUT_INT8\n#include "engine/levels/{level}.c"\n'
    if level not in _X86_TARGETS:
        return comment + include
    gcc, clang = _X86_TARGETS[level]
    # The system's headers come first: the instructions are for the kernels alone.
    return f"""\
{comment}#ifdef __x86_64__
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("{clang}"))), apply_to = function)
#else
#pragma GCC target("{gcc}")
#endif
{include}#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
"""


def _words(order: Order, plan: bytes) -> dict[str, str]:
    graph, preprocessing = order.model.graph, order.model.preprocessing
    sizes = engine.measure(plan, engine.WIDEST)  # the program may run on another processor
    preprocessing_bytes = preprocess_bytes(order.height, order.width)
    input_bytes = 12 * order.height * order.width
    # Numbers in C's notation.
    scale, shift = (", ".join(f"{value:.9e}f" for value in values) for values in preprocessing.scale_and_shift())
    return {
        "NAME": order.name,
        "FOLDER": shlex.quote(order.folder or order.name),
        "GUARD": order.name.upper(),
        "ARCHITECTURE": graph.name,
        "CLASSES": str(graph.classes),
        "HEIGHT": str(order.height),
        "WIDTH": str(order.width),
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
    suffix="",
    write=write,
    open=open_,
    folder=True,
    runs_with_compiler=True,
)
