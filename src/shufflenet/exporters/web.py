"""Target ``web``: a folder that is a web page and an npm package, or the page as a single file.

The files are those of web_template, with names and numbers of the network for the words between @ signs, beside the
model and the engine as WebAssembly.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from shufflenet.exporters.engine_sources import precision_of
from shufflenet.exporters.target import Order, Runner, Target, made_by
from shufflenet.exporters.web_build import build
from shufflenet.exporters.web_file import part_of, single_file
from shufflenet.exporters.web_model import model_bytes
from shufflenet.exporters.web_run import runner

_MODEL = "model.bin"
_ENGINES = {"engine.wasm": False, "engine-relaxed.wasm": True}  # whether with relaxed SIMD
_TEMPLATE = Path(__file__).parent / "web_template"
_NOT_TEXT = {".png"}
_NOT_OF_THE_PAGE = {"README.md", "classifier.d.ts", "package.json", "sw.js"}


def write(order: Order, folder: Path) -> None:
    parts = _parts(order)
    folder.mkdir()
    for name, data in parts.items():
        (folder / name).write_bytes(data)
    for name, text in _texts(order, parts).items():
        if "/" not in name:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    for file in _TEMPLATE.iterdir():
        if file.suffix in _NOT_TEXT:
            (folder / file.name).write_bytes(file.read_bytes())


def write_single_file(order: Order, file: Path) -> None:
    parts = _parts(order)
    file.write_text(single_file(_texts(order, parts), parts), encoding="utf-8", newline="\n")


def _parts(order: Order) -> dict[str, bytes]:
    """The model and the engines, by the names of their files."""
    parts = {_MODEL: model_bytes(order)}  # first: it refuses bad sizes
    with TemporaryDirectory() as folder:
        for name, relaxed in _ENGINES.items():
            build(precision_of(order.model), relaxed, Path(folder) / name)
            parts[name] = (Path(folder) / name).read_bytes()
    return parts


def _texts(order: Order, parts: dict[str, bytes]) -> dict[str, str]:
    """The files of web_template that are texts, by their names there, with their words filled in."""
    files = {file.relative_to(_TEMPLATE).as_posix(): file for file in sorted(_TEMPLATE.rglob("*")) if file.is_file()}
    names = {name for name in files if "/" not in name}
    words = {
        "NAME": order.name,
        "PACKAGE": order.name.lower(),
        "FOLDER": order.folder or order.name,
        "ARCHITECTURE": order.model.graph.name,
        "CLASSES": str(order.model.graph.classes),
        "HEIGHT": str(order.height),
        "WIDTH": str(order.width),
        "MADE_BY": made_by("web"),
        "MODEL_KIB": f"{len(parts[_MODEL]) / 1024:,.0f}",
        "FILES": json.dumps(sorted(names - _NOT_OF_THE_PAGE | parts.keys()), allow_nan=False)[1:-1],
    }
    return {
        name: re.sub(r"@([A-Z_]+)@", lambda word: words[word[1]], file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.suffix not in _NOT_TEXT
    }


def open_(order: Order, folder: Path) -> Runner:
    return runner((folder / "engine-relaxed.wasm").read_bytes(), (folder / _MODEL).read_bytes())


def open_single_file(order: Order, file: Path) -> Runner:
    return runner(part_of(file, "engine-relaxed.wasm"), part_of(file, _MODEL))


TARGET = Target(
    name="web",
    title="a web page, also an npm package",
    suffix="_web",
    write=write,
    open=open_,
    folder=True,
    writes_with=("ziglang",),
    runs_with=("wasmtime",),
    single_file=Target(
        name="web",
        title="a web page in one file",
        suffix=".html",
        write=write_single_file,
        open=open_single_file,
        signature=b" export --to web",
        writes_with=("ziglang",),
        runs_with=("wasmtime",),
    ),
)
