"""Reads an ONNX file as a program. Nothing in it is executed before `translate` knows each of its operators.

Numbers beside the file (external data) are read from its own folder alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import regular_file
from shufflenet.importers.programs.constant_operators import DTYPES
from shufflenet.importers.programs.program import MOST_OPERATIONS, Array, Operation, Program, ProgramError, leading_to

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

MOST_BYTES = (1 << 31) - 1  # of an ONNX file: what its format, Protocol Buffers, allows
_ONNX = ("", "ai.onnx")  # the domain of ONNX's own operators
_MOST_VERSION = 1000  # of them
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
    if any(isinstance(text, bytes) for text in _texts(model)):  # as protobuf gives what is no UTF-8
        raise ProgramError("a damaged ONNX file: a name in it is no text")
    if _operators_of(model) > MOST_OPERATIONS:
        raise ProgramError(f"more than {MOST_OPERATIONS:,} operators")
    if model.functions:
        model = _inlined(model)
    _embed_external_data(model, path.parent)
    return _program(model, size)


def _texts(model: ModelProto) -> Iterator[str]:
    """The names in it, and where its numbers lie."""
    graph = model.graph
    yield from (each.domain for each in model.opset_import)
    yield from (each.name for each in (*graph.input, *graph.output))
    for function in model.functions:
        yield from (function.domain, function.name, *function.input, *function.output)
    tensors = list(graph.initializer)
    for node in _with_subgraphs([*graph.node, *(node for function in model.functions for node in function.node)]):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
        tensors += [attribute.t for attribute in node.attribute]
    for tensor in tensors:
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)


def _operators_of(model: ModelProto) -> int:
    """How many operators the graph has once its functions are put in place; `MOST_OPERATIONS` and one, if more.

    Some that call one another a few times each would be more than any memory holds.
    """
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    counts: dict[tuple[str, str], int] = {}

    def counted(nodes: Sequence[NodeProto]) -> int:
        count = sum(counts.get((node.domain, node.op_type), 1) for node in _with_subgraphs(nodes))
        return min(count, MOST_OPERATIONS + 1)

    begun: set[tuple[str, str]] = set()
    stack = list(bodies)
    while stack:  # each behind those that it calls; without recursion, since they can be deep
        name = stack.pop()
        if name not in begun:
            begun.add(name)
            called = {(node.domain, node.op_type) for node in _with_subgraphs(bodies[name])}
            stack += [name, *(called & bodies.keys() - begun)]
        elif name not in counts:
            counts[name] = counted(bodies[name])
    return counted(model.graph.node)


def _with_subgraphs(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    """The operators, and those of the graphs that they hold."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                stack.extend(graph.node)


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
    shape, opset = _shape(given, size), _opset(model)
    return Program(
        given.name,
        shape,
        output.name,
        [_operation(node, opset) for node in graph.node],
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


def _opset(model: ModelProto) -> int:
    """The version of ONNX's own operators."""
    versions: list[int] = [each.version for each in model.opset_import if each.domain in _ONNX]
    if len(versions) != 1 or not 1 <= versions[0] <= _MOST_VERSION:
        raise ProgramError("it does not say of which version its operators are")
    return versions[0]


def _check(node: NodeProto, opset: int) -> None:
    """Raises ProgramError if an operator has not the inputs, outputs and attributes that ONNX says it has."""
    import onnx

    def refused(reason: str) -> ProgramError:
        return Operation(node.op_type, node.name, [], list(node.output)).refused(reason)

    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        raise refused("") from None
    for said, least, most, formal in (
        (node.input, schema.min_input, schema.max_input, schema.inputs),
        (node.output, schema.min_output, schema.max_output, schema.outputs),
    ):
        needed = [name for name, each in zip(said, formal, strict=False) if each.option == each.option.Single]
        if not least <= len(said) <= most or "" in needed:
            raise refused(f"{len(said)} {'in' if said is node.input else 'out'}puts; one that it needs may be left out")
    given = {attribute.name: attribute.type for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if attribute.required and name not in given:
            raise refused(f"{name} is missing")
    for name, kind in given.items():
        if name not in schema.attributes or kind != schema.attributes[name].type.value:
            raise refused(f"{name} is no attribute of it, or of another kind")


def _operation(node: NodeProto, opset: int) -> Operation:
    import onnx

    if node.domain in _ONNX:
        _check(node, opset)
    operator = node.op_type if node.domain in _ONNX else f"{node.domain}.{node.op_type}"
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
    apart = not location or "\0" in location or Path(location).is_absolute()
    path = Path(os.path.realpath(folder / ("" if apart else location)))
    if apart or Path(os.path.realpath(folder)) not in path.parents:
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


def _reduced(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """The model that computes the values of these names, and nothing else that would be run."""
    import onnx

    nodes, read = leading_to(names, model.graph.node, lambda node: node.output, lambda node: node.input)
    result = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = result.graph
    graph.name = model.graph.name
    graph.node.extend(nodes)
    graph.input.extend(model.graph.input)
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return result


class _Session:
    """Runs the program by ONNX Runtime, without its optimisations."""

    def __init__(self, model: ModelProto, input_name: str) -> None:
        self._model = model
        self._input = input_name

    def __call__(self, x: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[np.float32]]:
        import onnxruntime

        model = _reduced(self._model, names)
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
            reason = str(error).partition("\n")[0]
            raise ProgramError(f"ONNX Runtime can't run it: {reason}") from None
