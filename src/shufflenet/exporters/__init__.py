"""`shufflenet export`: writes a model in the formats of other runtimes, or as plain C.

Each target is one module here and one row of `TARGETS`. A result is written to a temporary place, run, and compared
with the package's engine before it is moved to its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import operator
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shufflenet.atomic_file import naming, temporary_beside
from shufflenet.exporters import c, coreml, executorch, litert, mnn, ncnn, onnx, openvino, torchscript, web
from shufflenet.exporters.check import Check, compare, samples
from shufflenet.exporters.target import ExportError, Order, Target, identifier, made_by
from shufflenet.files import printable
from shufflenet.models import caution, load_model
from shufflenet.networks.model import Model
from shufflenet.pictures import images
from shufflenet.pictures.images import Source

_MODULES = (c, onnx, openvino, ncnn, litert, mnn, coreml, executorch, torchscript, web)
TARGETS: Mapping[str, Target] = {module.TARGET.name: module.TARGET for module in _MODULES}

# File in every exported folder with the hashes of the others, so that a later export replaces only files of an earlier
# one.
MARKER = "EXPORT.json"


@dataclass(frozen=True)
class Export:
    """The result of `export`."""

    path: Path
    target: str
    height: int
    width: int
    file_bytes: int
    check: Check | None  # the comparison with the engine; None: not compared
    caution: str = ""  # what an import assumed of the model and nothing proved
    replaced: str | None = None  # what the earlier result in its place held; None: there was none
    single_file: bool = False

    @property
    def ok(self) -> bool:
        """Whether the result agreed with the engine, or was not compared; otherwise nothing was kept."""
        return self.check is None or self.check.ok


def export(
    model: str | os.PathLike[str] | Model,
    to: str,
    out: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    size: int | tuple[int, int] | None = None,
    check_on: Iterable[Source] | None = None,
    check: bool = True,
    single_file: bool = False,
) -> Export:
    """Writes ``model`` in the format ``to`` and compares the result with the engine; a wrong result is not kept.

    Args:
        model: a model, or what `load_model` takes.
        to: a name of `TARGETS`, such as "onnx".
        out: the file or folder to write; default: named ``name``, in the working directory. An earlier result of this
            function is replaced.
        name: of the network in the result; `identifier` replaces characters that C and file systems don't take.
            Default: the model file's, or where that is just "model" the one of the training run, or the network's.
        size: side of the network's input, or its height and width; default: the model's, or any size where the format
            can have that.
        check_on: pictures for the comparison, as `Classifier.predict` takes them; default: synthetic ones.
        check: compare; False needs fewer packages.
        single_file: write one file where the target would write a folder.

    Raises:
        ExportError: the target is unknown, something that it needs is missing, it takes no models in 8 bits, it has no
            single file, or ``out`` exists and was not written by this function.
        ModelFileError: the model can't be used.
        ImageError: a picture of ``check_on`` can't be read.
        ValueError: the size is too small or too large.
        OSError: the result can't be written.
    """
    target = target_of(to, single_file)
    if not isinstance(model, Model):
        stem = Path(os.fspath(model).replace(":", "_")).name.removesuffix(".safetensors")
        model = load_model(model)
        name = name or (model.name if stem == "model" else "") or stem
    if model.quantized is not None and target.no_int8:
        raise ExportError(f"a model in 8 bits can't be written for {target.name}: {target.no_int8}")
    _require(target, model.quantized is not None, check)
    given = size if isinstance(size, tuple) else (model.preprocessing.size if size is None else size,) * 2
    height, width = map(operator.index, given)
    name = identifier(name or model.name or model.graph.name)
    path = Path(out or name + target.suffix)
    order = Order(model, name, height, width, fixed=size is not None, folder=path.name)
    _check_replaceable(path, target)
    replaced = _held(path)
    temporary = temporary_beside(path.absolute())
    pictures = None if check_on is None else (images.decode(source) for source in check_on)
    try:
        with naming(path, temporary):
            target.write(order, temporary)
            if target.folder:
                _mark(temporary, order, target)
            result = compare(target, order, temporary, samples(model, height, width, pictures)) if check else None
            file_bytes = sum(file.stat().st_size for file in _files(temporary))
            if result is None or result.ok:
                _put_in_place(temporary, path)
    finally:
        with suppress(OSError):
            _remove(temporary)
    return Export(path, to, height, width, file_bytes, result, caution(model.training), replaced, single_file)


def target_of(name: str, single_file: bool = False) -> Target:
    """The target of this name, or how it writes a single file.

    Raises:
        ExportError: it is unknown, or writes no folder that a file could stand for.
    """
    if name not in TARGETS:
        raise ExportError(f"unknown target {printable(name)!r}; {targets()}")
    if not single_file:
        return TARGETS[name]
    if (target := TARGETS[name].single_file) is None:
        able = " and ".join(name for name, target in TARGETS.items() if target.single_file)
        raise ExportError(f"{name} can't be written as a single page; {able} can")
    return target


def targets() -> str:
    """A sentence for messages: the targets."""
    return f"there are {', '.join(TARGETS)}"


def _require(target: Target, int8: bool, checking: bool) -> None:
    """Raises ExportError if a package or the C compiler that ``target`` needs is missing."""
    writes_with = target.writes_int8_with if int8 and target.writes_int8_with is not None else target.writes_with
    packages = writes_with + (target.runs_with if checking else ())
    missing = [package for package in dict.fromkeys(packages) if importlib.util.find_spec(package) is None]
    if missing:
        skip = " (--no-check needs less)" if not set(missing) & set(writes_with) else ""
        raise ExportError(f"{target.name} needs {' and '.join(missing)}{skip}; install with: {target.install}")
    if checking and target.runs_with_compiler and shutil.which(c.compiler().split()[0]) is None:
        raise ExportError(
            f"to check the result a C compiler is needed, and there is no {c.compiler()!r}; install one, name it in "
            "the environment variable CC, or skip the check with --no-check"
        )


def _check_replaceable(path: Path, target: Target) -> None:
    """Raises ExportError unless ``path`` is free, or holds nothing but an earlier export."""
    if not path.absolute().parent.is_dir():
        raise ExportError(f"{path}: its folder does not exist")
    if not os.path.lexists(path):
        return
    if not target.folder:
        if not path.is_file():
            raise ExportError(f"{path}: not a file; give another name with --out")
        content = path.read_bytes()
        if content and target.signature not in content:
            raise ExportError(f"{path}: is there already, and not from this command; give another name with --out")
        return
    if path.resolve() == Path.cwd():
        raise ExportError(f"{path}: the folder that you are in can't be replaced; give another name with --out")
    if path.is_symlink() or not path.is_dir():
        raise ExportError(f"{path}: not a folder; give another name with --out")
    try:
        written = json.loads((path / MARKER).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        written = {}
    present = _hashes(path)
    for file, digest in present.items():
        if not isinstance(written, dict) or written.get(file) != digest:
            raise ExportError(f"{path}: holds {file}, which is not as this command wrote it; give another --out")


def _held(path: Path) -> str | None:
    """What an earlier export to ``path`` holds, for people; None: there is none."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return None
    try:
        held = json.loads((path / MARKER).read_text(encoding="utf-8"))
        return f"{held['name']}, a {held['architecture']}"
    except (OSError, ValueError, LookupError, TypeError):
        return None if path.is_dir() else "an earlier export"


def _mark(folder: Path, order: Order, target: Target) -> None:
    """Writes `MARKER` to ``folder``."""
    text = {
        "made_by": made_by(target.name),
        "name": order.name,
        "architecture": order.model.graph.name,
        "sha256": _hashes(folder),
    }
    (folder / MARKER).write_text(json.dumps(text, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in ``folder`` except `MARKER`, by its path in the folder."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()
        for file in _files(folder)
        if file != folder / MARKER
    }


def _files(path: Path) -> list[Path]:
    """All files and links below the folder ``path``; ``path`` itself if it is a file."""
    return sorted(file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()) or (
        [path] if path.is_file() else []
    )


def _put_in_place(temporary: Path, path: Path) -> None:
    """Renames ``temporary`` to ``path``, in place of an earlier result; if that fails, the earlier result stays."""
    if temporary.is_file():
        temporary.replace(path)
        return
    old = temporary.with_suffix(".old")
    if path.exists():
        path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
