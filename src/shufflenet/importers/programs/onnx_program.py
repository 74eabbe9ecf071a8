"""Reads an ONNX file as a program. Nothing in it is executed before `translate` knows each of its operators.

Numbers beside the file (external data) are read from its own folder alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import regular_file
from shufflenet.importers.programs.constant_operators import DTYPES
from shufflenet.importers.programs.program import MOST_OPERATIONS, Array, Operation, Program, ProgramError

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto, ValueInfoProto

MOST_BYTES = (1 << 31) - 1  # of an ONNX file: what its format, Protocol Buffers, allows
_FLOAT = 1  # TensorProto.FLOAT


def read(path: Path, size: tuple[int, int] | None) -> Program:
    """The program in an ONNX file, for pictures of ``size`` (height, width); None: the file's, or 224 x 224.

    Raises:
        ModuleNotFoundError: the onnx package is missing.
        ProgramError: it is no ONNX file, or not that of a network for pictures; the message says why.
        OSError: it can't be read.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if (length := regular_file(path, "ONNX file").st_size) > MOST_BYTES:
        raise ProgramError(f"a file of {length:,} bytes; ONNX files have at most {MOST_BYTES:,}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, RuntimeError, ValueError):
        raise ProgramError("a damaged ONNX file, or none") from None
    if not model.graph.node or not model.opset_import:
        raise ProgramError("not an ONNX file, or one without operators")
    if model.functions:
        model = _inlined(model)
    if len(model.graph.node) > MOST_OPERATIONS:
        raise ProgramError(f"{len(model.graph.node):,} operators, more than {MOST_OPERATIONS:,}")
    _embed_external_data(model, path.parent)
    return _program(model, size)


def _inlined(model: ModelProto) -> ModelProto:
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # of C++ code, without a common class
        raise ProgramError(f"its functions can't be put in place ({str(error).splitlines()[0]})") from None


def _program(model: ModelProto, size: tuple[int, int] | None) -> Program:
    graph = model.graph
    if graph.sparse_initializer:
        raise ProgramError("it has sparse weights, which are not read")
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ProgramError(
            f"{len(inputs)} inputs and {len(graph.output)} outputs; a classifier has one picture and one row of logits"
        )
    (given,), (output,) = inputs, graph.output
    shape = _shape(given, size)
    return Program(
        given.name,
        shape,
        output.name,
        [_operation(node) for node in graph.node],
        constants,
        _Session(model, given.name),
    )


def _shape(value: ValueInfoProto, size: tuple[int, int] | None) -> tuple[int, int, int, int]:
    """The input's shape; axes of any length become those of one picture of ``size``, or of 224 x 224."""
    tensor = value.type.tensor_type
    given = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    if tensor.elem_type != _FLOAT or len(given) != 4:
        raise ProgramError(f"its input {value.name!r} is not float32 [N, C, H, W]")
    height, width = size or (224, 224)
    channels_last = given[3] == 3 and given[1] != 3
    usual = (1, height, width, 3) if channels_last else (1, 3, height, width)
    batch, *shape = (usual[axis] if length is None or length < 1 else length for axis, length in enumerate(given))
    if batch != 1:
        raise ProgramError(f"it takes {batch} pictures at a time; export it for one, or for any number")
    sides = tuple(shape[:2] if channels_last else shape[1:])
    if size is not None and sides != size:
        raise ProgramError(f"it takes pictures of {sides[1]} x {sides[0]} pixels only, not {width} x {height}")
    return 1, shape[0], shape[1], shape[2]


def _operation(node: Any) -> Operation:
    import onnx

    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    attributes: dict[str, Any] = {}
    for each in node.attribute:
        value = onnx.helper.get_attribute_value(each)
        if isinstance(value, onnx.TensorProto):
            value = _array(value)
        attributes[each.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return Operation(operator, node.name, list(node.input), list(node.output), attributes)


def _array(tensor: TensorProto) -> Array:
    from onnx import numpy_helper

    shape = list(tensor.dims)
    if tensor.data_type not in DTYPES:
        raise ProgramError(f"the numbers of {tensor.name!r} are of a kind that is not read")
    if min(shape, default=1) < 0 or math.prod(shape) > MOST_BYTES:
        raise ProgramError(f"{tensor.name!r} has an impossible shape")
    try:
        array: Array = numpy_helper.to_array(tensor)
        return array
    except (ValueError, TypeError):
        raise ProgramError(f"{tensor.name!r} does not hold the numbers of its shape") from None


def _embed_external_data(model: ModelProto, folder: Path) -> None:
    """Reads the numbers that lie beside the file into it."""
    import onnx

    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        tensors += [attribute.t for attribute in node.attribute if attribute.type == onnx.AttributeProto.TENSOR]
    total = 0
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        data = _external_data(tensor, folder, MOST_BYTES - total)
        total += len(data)
        tensor.raw_data = data
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_data(tensor: TensorProto, folder: Path, most: int) -> bytes:
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    path = Path(os.path.realpath(folder / location))
    root = Path(os.path.realpath(folder))
    if not location or "\0" in location or Path(location).is_absolute() or root not in path.parents:
        raise ProgramError(f"the numbers of {tensor.name!r} lie outside its folder ({location!r}), and are not read")
    try:
        start, there = int(said.get("offset", 0)), regular_file(path, "file of weights").st_size
        length = int(said.get("length", there - start))
    except FileNotFoundError:
        raise ProgramError(f"the file {location!r}, which holds the numbers of {tensor.name!r}, is missing") from None
    except ValueError as error:
        raise ProgramError(f"the numbers of {tensor.name!r} can't be read: {error}") from None
    if start < 0 or length < 0 or start + length > there:
        raise ProgramError(f"the file {location!r} is too short for {tensor.name!r}")
    if length > most:
        raise ProgramError(f"its weights are more than {MOST_BYTES:,} bytes")
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(length)


class _Session:
    """Runs the program by ONNX Runtime, without its optimisations."""

    def __init__(self, model: ModelProto, input_name: str) -> None:
        self._model = model
        self._input = input_name

    def __call__(self, x: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[np.float32]]:
        import onnx
        import onnxruntime

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what it refuses becomes one line here
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            values: list[NDArray[np.float32]] = session.run(list(names), {self._input: x})
            return values
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise ProgramError(f"ONNX Runtime can't run it: {str(error).splitlines()[0]}") from None
