"""The engine as WebAssembly, with the kernels that browsers need, by the C compiler of the package ziglang."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

from shufflenet.exporters.engine_sources import WITHOUT, Precision, core_files, engine_folder, level_files
from shufflenet.exporters.target import ExportError

_FLAGS = (
    "-target", "wasm32-wasi", "-mexec-model=reactor", "-std=gnu11", "-O3", "-msimd128", "-mbulk-memory",
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wl,--strip-all",
    "-DSHUFFLENET_SIMD_ALONE",
)  # fmt: skip


def build(precision: Precision, relaxed: bool, file: Path) -> None:
    """Writes the engine for models of this precision, with relaxed SIMD or without.

    Raises:
        ExportError: the compiler fails.
    """
    package = importlib.util.find_spec("ziglang")
    if package is None or package.origin is None:
        raise ExportError("the package ziglang, which has the compiler, is not installed")
    names = [*core_files(precision), *(name for name in level_files(precision) if "simd128" in name), "web/web.c"]
    sources = [str(engine_folder() / name) for name in names]
    options = [*_FLAGS, *(["-mrelaxed-simd"] if relaxed else []), f"-D{WITHOUT[precision]}"]
    command = [str(Path(package.origin).parent / "zig"), "cc", *options, *sources, "-o", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines() or [""]
        raise ExportError(f"ziglang could not build the engine: {lines[0]}")
    file.chmod(0o644)  # no program that this machine could start
