"""Networks of other programs, ONNX files and torch.export's: each is refused by a line, or becomes a model that runs.

No file takes more memory or time than libFuzzer's limits; nothing is read outside the input's folder, run or written.
"""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime  # noqa: F401 - here, since it starts a process when it is imported; PyTorch too
import torch  # noqa: F401
from google.protobuf.message import DecodeError, Message

from damage import damaged_bytes, damaged_json, zipped
from shufflenet import model_file
from shufflenet.engine.engine import Engine
from shufflenet.importers.checkpoint import CheckpointError
from shufflenet.importers.network_file import import_network
from shufflenet.importers.programs import constant_operators, translate, translation
from target import Watch, check_message, fuzz, scratch_folder

# Larger networks than these take more time and memory than they show.
_MOST_NUMBERS, _MOST_WORK = 1 << 27, 1 << 31

_folder = scratch_folder()
_inner = _folder / "inner"
_inner.mkdir()
_secret = _folder / "secret"
_secret.write_bytes(bytes(5000))
(_inner / "weights").write_bytes(np.linspace(-1, 1, 1250, dtype=np.float32).tobytes())  # of external data
(_inner / "link").symlink_to(_secret)


def _forbidden(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether an audit event is that something is run, or that a file is opened which no input may reach."""
    if event == "open":
        return str(_secret) in str(arguments[0])
    return event.startswith(("os.system", "os.exec", "subprocess.", "socket."))


_watch = Watch(_forbidden)


def run(data: bytes) -> None:
    """Imports ``data``, a .pt2 file if it begins like a .zip, else an ONNX file; saves and runs what comes of it.

    Raises:
        AssertionError: what `import_network` promises is not so.
    """
    file = _inner / ("net.pt2" if data.startswith(b"PK") else "net.onnx")
    file.write_bytes(data)
    try:
        with (
            _watch,
            chdir(_inner),  # where a file would be written whose name has no folder
            patch.object(translation, "MOST_NUMBERS", _MOST_NUMBERS),
            patch.object(translate, "MOST_WORK", _MOST_WORK),
        ):
            model = import_network(file)
    except CheckpointError as error:
        check_message(error, str(file))
        return
    finally:
        assert {each.name for each in _inner.iterdir()} <= {"weights", "link", "net.onnx", "net.pt2"}
    try:
        model_file.save(model, _folder / "net.safetensors")
    except model_file.ModelFileError as error:  # of tensors that are not finite, but make finite logits
        check_message(error, str(_folder))
        return
    again = model_file.load(_folder / "net.safetensors")
    logits = Engine(again).run(model_file.test_input(again.preprocessing)[None])[0]
    assert logits.tolist() == model.self_test


def mutate(data: bytes, random: Random) -> bytes | None:
    """Changes fields of an ONNX file, or the JSON and the numbers in a .pt2 file."""
    if data.startswith(b"PK"):
        return _damaged_pt2(data, random)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return None
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if random.random() < 0.7:
            _change_field(model, random)
        else:
            random.choice(_SPLICES)(model, random)
    return bytes(model.SerializeToString())


def _damaged_pt2(data: bytes, random: Random) -> bytes | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    except Exception:  # any kind, of a damaged one
        return None
    if not members:
        return None
    described = [place for place, (name, _) in enumerate(members) if name.endswith(".json")]
    place = random.choice(described) if described and random.random() < 0.8 else random.randrange(len(members))
    name, content = members[place]
    try:
        changed = json.dumps(damaged_json(json.loads(content), random)).encode()
    except (ValueError, RecursionError):
        changed = damaged_bytes(content, random)
    members[place] = (name, changed)
    return zipped(members, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


_NUMBERS = (
    *(0, 1, -1, 2, 3, 4, 5, 7, 16, 64, 100, 1000, 4096, 65536, 1 << 20, 1 << 24, 1 << 28, 2**31 - 1, 2**31, 2**63 - 1),
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1 / 6, 0.5, 3.0, 6.0, 1e-5, 1e30, 3.4e38, float("inf"), float("nan"))
_OPERATORS = (
    *(*translate._OPERATORS, *constant_operators._FUNCTIONS),
    *("ConvTranspose", "Erf", "GlobalMaxPool", "If", "LogSoftmax", "Loop", "Resize", "Scan", "Softmax", "Tile"),
)
_TEXTS = ("", "a", "x" * 300, "a\n\x1b[2J", "é", "SAME_UPPER", "location", "offset", "com.microsoft")
_PLACES = ("weights", "../secret", "link", "inner/../../secret", "/dev/zero", "/etc/passwd", "", "a\0b", "none", ".")
_SHAPES = (
    [1 << 14, 1 << 14],
    [1 << 28],
    [5, 3, 1, 1],
    [1 << 20, 3, 1, 1],
    [65536, 65536],
    [1, 3, 4096, 4096],
    [0],
    [1] * 70,
)


def _messages(message: Message) -> Iterator[Message]:
    """The message and all that are in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from _messages(each)


def _names(model: onnx.ModelProto) -> list[str]:
    """The names of the values that operators read and make."""
    named = [name for node in model.graph.node for name in (*node.input, *node.output)]
    return [*named, *(tensor.name for tensor in model.graph.initializer), ""]


def _change_field(model: onnx.ModelProto, random: Random) -> None:
    """Changes one field of one message, to another value or to more or fewer."""
    message = random.choice(list(_messages(model)))
    there = [field for field, _ in message.ListFields()]
    field = random.choice(there if there and random.random() < 0.8 else message.DESCRIPTOR.fields)
    value = getattr(message, field.name)
    values = copy.deepcopy(list(value)) if field.is_repeated else [copy.deepcopy(value)]
    place, choice = random.randrange(len(values) + 1), random.randrange(6)
    if choice == 0:
        del values[place : place + 1]
    elif choice == 1:
        values = values[:place] + values[:place][-1:] + values[place:]
    elif choice == 2 and field.is_repeated:
        random.shuffle(values)
    elif field.message_type is None:
        values[place : place + 1] = [_scalar(model, field, values[place] if place < len(values) else None, random)]
    message.ClearField(field.name)
    with suppress(ValueError):  # a number that has no place in so few bits, or is none of an enumeration's
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        elif field.message_type is not None:
            [getattr(message, field.name).CopyFrom(each) for each in values]
        elif values:
            setattr(message, field.name, values[-1])


def _scalar(model: onnx.ModelProto, field: Any, value: Any, random: Random) -> Any:
    """Another value of the field's type."""
    if field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_BYTES:
        return random.choice((damaged_bytes(value or b"", random), b"", random.choice(_TEXTS).encode()))
    if field.cpp_type == field.CPPTYPE_STRING:
        return random.choice(random.choice((_TEXTS, _OPERATORS, _PLACES, _names(model))))
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice(_FLOATS)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return random.random() < 0.5
    near = [value + 1, value - 1, -value, value * 2] if isinstance(value, int) else []
    return random.choice(near or _NUMBERS) if random.random() < 0.3 else random.choice((*range(12), *_NUMBERS))


def _other_operator(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.node:
        random.choice(model.graph.node).op_type = random.choice(_OPERATORS)


def _other_input(model: onnx.ModelProto, random: Random) -> None:
    """An operator reads another value, one more, or one less: what comes later too, so that there are cycles."""
    if not model.graph.node:
        return
    inputs = random.choice(model.graph.node).input
    place = random.randrange(len(inputs) + 1)
    inputs[place : place + 1] = [random.choice(_names(model))] if random.random() < 0.8 else []


def _large_constant(model: onnx.ModelProto, random: Random) -> None:
    """Numbers that take no room in the file, in the place of what operators read."""
    make, graph = onnx.helper.make_node, model.graph
    name = random.choice(_names(model))
    sizes = onnx.numpy_helper.from_array(np.array(random.choice(_SHAPES), np.int64), "sizes")
    numbers = {"zero": 0.0, "one": 1.0, "most": 2.0**28}
    read = {"ConstantOfShape": "sizes", "Expand": "one sizes", "Tile": "one sizes", "Range": "zero most one"}
    operator = random.choice(list(read))
    nodes = [
        *(make("Constant", [], [key], value_float=value) for key, value in numbers.items()),
        make("Constant", [], ["sizes"], value=sizes),
        make(operator, read[operator].split(), ["large"]),
    ]
    for number in range(random.choice((0, 0, 1, 40))):  # more of it
        nodes.append(random.choice((make("Concat", ["large"] * 3, [], axis=0), make("Add", ["large", "one"], []))))
        nodes[-1].output.append(f"large{number}")
        nodes[-1].input[0] = nodes[-2].output[0]
    for node in graph.node:
        for place, read_name in enumerate(node.input):
            if read_name == name:
                node.input[place] = nodes[-1].output[0]
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])


def _functions(model: onnx.ModelProto, random: Random) -> None:
    """Functions that call one another twice each: the last one is a million million operators."""
    helper, count = onnx.helper, random.choice((2, 5, 16, 40))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    for number in range(count):
        before = (
            helper.make_node(f"f{number - 1}", ["a"], ["t"], domain="f"),
            helper.make_node(f"f{number - 1}", ["t"], ["b"], domain="f"),
        )
        nodes = list(before) if number else [helper.make_node(random.choice(("Relu", "f1", "If")), ["a"], ["b"])]
        model.functions.append(helper.make_function("f", f"f{number}", ["a"], ["b"], nodes, imports))
    model.opset_import.append(imports[1])
    if model.graph.node:
        node = random.choice(model.graph.node)
        node.op_type, node.domain = f"f{count - 1}", "f"


def _subgraph(model: onnx.ModelProto, random: Random) -> None:
    """A loop without an end, or choices within choices, which most often nothing reads."""
    helper = onnx.helper
    truth, kind = helper.make_tensor("", onnx.TensorProto.BOOL, [], [True]), onnx.TensorProto.BOOL
    told = {name: helper.make_tensor_value_info(name, kind, []) for name in ("before", "carried", "again", "ends")}
    number = helper.make_tensor_value_info("number", onnx.TensorProto.INT64, [])
    nodes = [helper.make_node("Identity", ["truth"], [name]) for name in ("again", "ends")]
    inside = helper.make_graph(nodes, "in", [number, told["before"], told["carried"]], [told["again"], told["ends"]])
    made = helper.make_node("Loop", ["", "truth", "truth"], ["ends"], body=inside)
    if random.random() < 0.5:
        inside = helper.make_graph(nodes, "in", [], [told["ends"]])
        for _ in range(random.choice((1, 3, 8))):
            made = helper.make_node("If", ["truth"], ["ends"], then_branch=inside, else_branch=inside)
            inside = helper.make_graph([made], "in", [], [told["ends"]])
    model.graph.node.extend([helper.make_node("Constant", [], ["truth"], value=truth), made])


def _external(model: onnx.ModelProto, random: Random) -> None:
    """Numbers that are said to lie in another file."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    length = str(random.choice((4 * int(np.prod(tensor.dims, dtype=np.float64) % 1e6), *_NUMBERS, "a")))
    for key, value in (
        ("location", random.choice(_PLACES)),
        ("offset", str(random.choice((0, *_NUMBERS)))),
        ("length", length),
    ):
        if random.random() < 0.8:
            tensor.external_data.add(key=key, value=value)


def _other_picture(model: onnx.ModelProto, random: Random) -> None:
    """An input of another size, square and with three channels as often as not."""
    for value in model.graph.input:
        side = random.choice(_NUMBERS)
        del value.type.tensor_type.shape.dim[:]
        for length in random.choice(([1, 3, side, side], [side] * 4, [1, side, side, 3], [1, 3, side, -1], [side])):
            value.type.tensor_type.shape.dim.add(dim_value=length)


_SPLICES: tuple[Callable[[onnx.ModelProto, Random], None], ...] = (
    *(_other_operator, _other_operator, _other_input, _other_input, _external, _other_picture),
    *(_large_constant, _functions, _subgraph),
)


if __name__ == "__main__":
    fuzz(run, mutate)
