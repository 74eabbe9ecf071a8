"""Reads a program of torch.export (``torch.export.save(program, "net.pt2")``) without PyTorch.

The file is a zip archive: the operators as JSON, the weights as raw numbers, one member each. Only these are read; what
is pickled in it, such as the inputs that it was made with, is not touched. PyTorch itself is needed to run the program
for comparison, operator by operator, from a list of those that are known.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import files_in, read_member, regular_file
from shufflenet.importers.programs.aten import AtenOperator, Tensor, translated
from shufflenet.importers.programs.program import MOST_OPERATIONS, Array, Program, ProgramError, leading_to

_MOST_BYTES = 1 << 31
_MOST_JSON_BYTES = 64 << 20
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError, UnicodeDecodeError,
)  # fmt: skip
_DTYPES: Mapping[int, str] = {5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8"}  # torch._export.serde.schema.ScalarType


def read(path: Path, size: tuple[int, int] | None) -> Program:
    """The program in a .pt2 file, which is for pictures of one size.

    Raises:
        ProgramError: it is no such file, or not that of a network for pictures of ``size``; the message says why.
        OSError: it can't be read.
    """
    if (length := regular_file(path, ".pt2 file").st_size) > _MOST_BYTES:
        raise ProgramError(f"a file of {length:,} bytes; at most {_MOST_BYTES:,} are read")
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive).program(size)
    except ProgramError:
        raise
    except _DAMAGED:
        raise ProgramError("a cut or damaged .pt2 file, or none") from None
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, ArithmeticError, RecursionError):
        raise ProgramError("a .pt2 file that is damaged, or of a later version of PyTorch") from None


@dataclass
class _Archive:
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo] = field(init=False)
    tensor_bytes: int = 0

    def __post_init__(self) -> None:
        files = files_in(self.archive)
        roots = {member.filename.partition("/")[0] for member in files}
        models = [m.filename for m in files if m.filename.endswith("/models/model.json")]
        if len(roots) != 1 or len(models) != 1:
            raise ProgramError(
                "not a file of torch.export.save with one program, as PyTorch has written them since 2.9"
            )
        (self.root,) = roots
        self.members = {member.filename: member for member in files}
        if sum(member.file_size for member in files) > _MOST_BYTES:
            raise ProgramError(f"it unpacks to more than {_MOST_BYTES:,} bytes")

    def _json(self, name: str) -> Any:
        member = self.members[f"{self.root}/{name}"]
        if member.file_size > _MOST_JSON_BYTES:
            raise ProgramError(f"{name} unpacks to {member.file_size:,} bytes")
        try:
            return json.loads(read_member(self.archive, member.filename))
        except ValueError:
            raise ProgramError(f"{name} in it is no JSON") from None

    def program(self, size: tuple[int, int] | None) -> Program:
        module = self._json("models/model.json")["graph_module"]
        graph, specs = module["graph"], module["signature"]["input_specs"]
        if len(graph["nodes"]) > MOST_OPERATIONS:
            raise ProgramError(f"{len(graph['nodes']):,} operators, more than {MOST_OPERATIONS:,}")
        weights = {**self._tensors("constants", "constants"), **self._tensors("weights", "weights")}
        constants: dict[str, Array] = {}
        pictures = []
        for spec in specs:
            (kind,) = spec  # one key, which says what it is
            name = _text(spec[kind]["arg"].get("name") or spec[kind]["arg"].get("as_tensor", {}).get("name"))
            if kind == "user_input":
                pictures.append(name)
            elif kind in ("parameter", "buffer", "tensor_constant"):
                constants[name] = weights[spec[kind][f"{kind}_name"]]
            else:
                raise ProgramError(f"an input of the kind {kind!r}")
        outputs = module["signature"]["output_specs"]
        if len(pictures) != 1 or len(outputs) != 1 or "user_output" not in outputs[0]:
            raise ProgramError(f"{len(pictures)} inputs and {len(outputs)} outputs; a classifier has one of each")
        (picture,), output = pictures, outputs[0]["user_output"]["arg"]["as_tensor"]["name"]
        shape = _shape(graph["tensor_values"][picture], size)
        operators = [_operator(node) for node in graph["nodes"]]
        wanted = set(_needed(operators, [output]))
        for operator in operators:
            if operator.in_place and operator not in wanted:  # what it changes may be read by another name
                raise ProgramError(f"{operator.target} changes a value in its place, but nothing reads what it makes")
        sizes = {name: _sizes(value) for name, value in graph["tensor_values"].items()}
        operations, numbers = translated(operators, {name: each for name, each in sizes.items() if each is not None})
        names = _names(specs)
        renamed = [replace(each, inputs=[names.get(name, name) for name in each.inputs]) for each in operations]
        known = {names.get(name, name): values for name, values in constants.items()}
        return Program(picture, shape, output, renamed, known | numbers, _Runner(operators, picture, constants))

    def _tensors(self, folder: str, kind: str) -> dict[str, Array]:
        config = self._json(f"data/{folder}/model_{kind}_config.json")["config"]
        return {name: self._tensor(folder, name, entry) for name, entry in config.items()}

    def _tensor(self, folder: str, name: str, entry: Mapping[str, Any]) -> Array:
        meta = entry["tensor_meta"]
        if entry["use_pickle"] is not False or meta["dtype"] not in _DTYPES:
            raise ProgramError(f"tensor {name!r} is not stored as plain numbers")
        shape: list[int] = [_length(axis) for axis in meta["sizes"]]
        elements: int = math.prod(shape)
        strides = [_length(axis) for axis in meta["strides"]]
        dtype = np.dtype(_DTYPES[meta["dtype"]])
        flat = np.frombuffer(self._bytes(f"{self.root}/data/{folder}/{entry['path_name']}"), dtype)
        self.tensor_bytes += flat.nbytes
        if self.tensor_bytes > _MOST_BYTES:
            raise ProgramError(f"its tensors are more than {_MOST_BYTES:,} bytes")
        start = _length(meta["storage_offset"])
        last = start + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if min((start, *shape, *strides), default=0) < 0 or (elements and last >= len(flat)):
            raise ProgramError(f"tensor {name!r} reaches beyond its data")
        if elements > len(flat):
            raise ProgramError(f"tensor {name!r} is larger than its data")
        if not elements:
            return np.empty(shape, dtype)
        steps = [stride * dtype.itemsize for stride in strides]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat[start:], shape, steps, writeable=False))

    def _bytes(self, name: str) -> bytes:
        return read_member(self.archive, self.members[name].filename)


def _length(value: Mapping[str, Any]) -> int:
    number = value["as_int"]
    if type(number) is not int:
        raise TypeError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _shape(value: Mapping[str, Any], size: tuple[int, int] | None) -> tuple[int, int, int, int]:
    sizes = [axis.get("as_int") for axis in value["sizes"]]
    if value["dtype"] != 7 or len(sizes) != 4:
        raise ProgramError("its input is not float32 [N, C, H, W]")
    if any(type(length) is not int for length in sizes[1:]) or (sizes[0] or 1) != 1:
        raise ProgramError(
            "export it for one picture of one size: torch.export.export(network, (torch.zeros(1, 3, H, W),))"
        )
    _, channels, height, width = sizes
    if size is not None and size != (height, width):
        raise ProgramError(f"it takes pictures of {width} x {height} pixels only, not {size[1]} x {size[0]}")
    return 1, channels, height, width


def _sizes(value: Mapping[str, Any]) -> tuple[int, ...] | None:
    sizes = [axis.get("as_int") for axis in value["sizes"]]
    return tuple(sizes) if all(type(length) is int for length in sizes) else None


def _names(specs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The names that the module gives to its tensors, by those of the program."""
    names = {}
    for spec in specs:
        (kind,) = spec
        if kind in ("parameter", "buffer"):
            names[_text(spec[kind]["arg"]["name"])] = _text(spec[kind][f"{kind}_name"])
    return names


def _operator(node: Mapping[str, Any]) -> AtenOperator:
    arguments = {_text(entry["name"]): _argument(entry["arg"]) for entry in node["inputs"]}
    outputs: list[str] = []
    for output in node["outputs"]:
        (kind,) = output
        outputs += [_text(each["name"]) for each in ([output[kind]] if kind == "as_tensor" else output[kind])]
    place = str((node.get("metadata") or {}).get("nn_module_stack", "")).rpartition(";")[2]
    module = place.split(",")[1] if place.count(",") >= 2 else ""
    return AtenOperator(str(node["target"]), module or outputs[0], arguments, outputs)


def _argument(given: Mapping[str, Any]) -> Any:
    (kind,) = given
    value = given[kind]
    match kind:
        case "as_none" | "as_memory_format" | "as_scalar_type" | "as_layout" | "as_device":
            return None
        case "as_tensor":
            return Tensor(_text(value["name"]))
        case "as_tensors":
            return [Tensor(_text(each["name"])) for each in value]
        case "as_optional_tensors":
            return [_argument(each) for each in value]
        case "as_int" | "as_bool" | "as_string" | "as_float":
            return _plain(kind, value)
        case "as_ints" | "as_floats" | "as_bools":
            return [_plain(kind.removesuffix("s"), each) for each in value]
        case _:
            raise ProgramError(f"an argument of the kind {kind!r}, such as sizes that depend on the picture")


def _plain(kind: str, value: Any) -> int | float | bool | str:
    if kind == "as_float" and type(value) is not bool:
        return float(value)  # infinity is written as text
    if type(value) is not {"as_int": int, "as_bool": bool, "as_string": str}.get(kind):
        raise TypeError
    return cast(int | bool | str, value)


def _needed(operators: Sequence[AtenOperator], names: Sequence[str]) -> list[AtenOperator]:
    """The operators on which the values of these names depend."""
    return leading_to(names, operators, lambda each: each.made, lambda each: each.read)[0]


@dataclass(frozen=True)
class _Runner:
    """Runs the program by PyTorch, call by call, of operators that `aten` has translated alone."""

    operators: Sequence[AtenOperator]
    picture: str
    constants: Mapping[str, Array]

    def __call__(self, x: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[np.float32]]:
        import torch

        values = {name: torch.from_numpy(each.copy()) for name, each in self.constants.items()}
        values[self.picture] = torch.from_numpy(x.copy())

        def given(argument: Any) -> Any:
            if isinstance(argument, Tensor):
                return values[argument.name]
            if isinstance(argument, list):
                return [given(each) for each in argument]
            return argument

        kept: dict[str, NDArray[np.float32]] = {}
        with torch.inference_mode():
            for operator in _needed(self.operators, names):
                function, overload = operator.function
                try:
                    arguments = {key: given(value) for key, value in operator.arguments.items()}
                    made = getattr(getattr(torch.ops.aten, function), overload)(**arguments)
                    results = [made] if isinstance(made, torch.Tensor) else list(made)
                    for name, value in zip(operator.outputs, results, strict=True):
                        values[name] = value
                        if name in names:
                            kept[name] = value.numpy().copy()  # before something writes in its place
                except (RuntimeError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
                    reason = str(error).partition("\n")[0]
                    raise ProgramError(f"PyTorch can't run {operator.target}: {reason}") from None
        return [kept[name] for name in names]
