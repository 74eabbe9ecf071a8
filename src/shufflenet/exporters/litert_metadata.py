"""TFLite Metadata: what LiteRT's tools, such as MediaPipe's ImageClassifier, ask a .tflite file about its tensors.

MediaPipe knows one mean and one standard deviation for all channels. So the file takes pixels divided by 255, and
begins with the rest of the normalisation, a multiplication and an addition. The metadata is a flatbuffer of a public
schema (TensorFlow Lite's metadata_schema.fbs, identifier M001) in a buffer of the model: how pixels become the input,
and which file in the zip archive behind the model has the labels. Numbers of fields are those of the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shufflenet.exporters.shuffles import INPUT, OUTPUT, Floats
from shufflenet.exporters.target import Order, made_by
from shufflenet.pictures.preprocessing import Preprocessing

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT, OperatorT
    from flatbuffers import Builder

NAME = "TFLITE_METADATA"  # of the buffer, as its readers look for it
LABELS = "labels.txt"

_IMAGE, _FEATURE = 2, 1  # of the union ContentProperties
_NORMALISATION = 1  # of the union ProcessUnitOptions
_RGB = 1
_AXIS_LABELS = 2  # of AssociatedFileType


def with_metadata(data: bytes, order: Order) -> bytes:
    """A .tflite file of float32 [1, H, W, 3], normalised, as one that takes pixels from 0 to 1, and says so."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    _take_pixels(model, order.model.preprocessing)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, _buffer(model, np.frombuffer(metadata(order), np.uint8))
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(data) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def pixels_of(x: Floats, how: Preprocessing) -> Floats:
    """The file's input for a normalised one: [N, 3, H, W], 0 to 1."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (how.mean, how.std))
    pixels: Floats = x * std + mean
    return pixels


def _take_pixels(model: ModelT, how: Preprocessing) -> None:
    """Puts two operators in front of the network: (pixels - mean) / std."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    normalised = int(graph.inputs[0])

    def tensor(name: str, shape: Sequence[int], values: NDArray[np.float32] | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type = name, list(shape), schema.TensorType.FLOAT32
        made.buffer = 0 if values is None else _buffer(model, values.view(np.uint8))
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    shape = graph.tensors[normalised].shape
    graph.tensors[normalised].name = "normalised"
    pixels, scaled = tensor(INPUT, shape), tensor("scaled", shape)
    mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
    scale = tensor("scale", [len(std)], np.reciprocal(std))
    shift = tensor("shift", [len(std)], np.negative(mean / std, dtype=np.float32))
    steps = (("MUL", (pixels, scale), scaled), ("ADD", (scaled, shift), normalised))
    graph.operators[:0] = [_operator(model, name, inputs, output) for name, inputs, output in steps]
    graph.inputs = [pixels, *list(graph.inputs)[1:]]
    for signature in model.signatureDefs or ():
        for each in signature.inputs:
            if each.tensorIndex == normalised:
                each.tensorIndex = pixels


def _operator(model: ModelT, name: str, inputs: tuple[int, int], output: int) -> OperatorT:
    from ai_edge_litert import schema_py_generated as schema

    number = getattr(schema.BuiltinOperator, name)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.version = 1
    model.operatorCodes.append(code)
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, list(inputs), [output]
    kind = f"{name.capitalize()}Options"
    made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    made.builtinOptions = getattr(schema, f"{kind}T")()
    return made


def _buffer(model: ModelT, data: NDArray[np.uint8]) -> int:
    """The number of a new buffer of the model."""
    from ai_edge_litert import schema_py_generated as schema

    made = schema.BufferT()
    made.data = data
    model.buffers.append(made)
    return len(model.buffers) - 1


def metadata(order: Order) -> bytes:
    """The flatbuffer ModelMetadata."""
    import flatbuffers

    builder, model = flatbuffers.Builder(1024), order.model
    size = _table(builder, 2, {0: ("uint32", order.width), 1: ("uint32", order.height)})
    image = _table(builder, 2, {0: ("int8", _RGB), 1: ("table", size)})
    # A pixel of 0 to 255 becomes (pixel - mean) / std.
    mean, std = _floats(builder, [0]), _floats(builder, [255])
    normalisation = _table(builder, 2, {0: ("table", mean), 1: ("table", std)})
    unit = _table(builder, 2, {0: ("uint8", _NORMALISATION), 1: ("table", normalisation)})
    stats = _table(builder, 2, {0: ("table", _floats(builder, [1])), 1: ("table", _floats(builder, [0]))})
    source = _tensor(builder, INPUT, "RGB pixels", _content(builder, _IMAGE, image), [unit], stats, [])
    file = ("table", builder.CreateString(LABELS))
    labels = _table(builder, 5, {0: file, 2: ("int8", _AXIS_LABELS)})
    features = _content(builder, _FEATURE, _table(builder, 0, {}))
    result = _tensor(builder, OUTPUT, "logits, one for each class", features, [], None, [labels])
    subgraph = _table(builder, 9, {2: ("table", _tables(builder, [source])), 3: ("table", _tables(builder, [result]))})
    texts = {0: order.name, 1: f"{model.graph.name}, {model.graph.classes} classes", 4: made_by("litert"), 7: "1.0.0"}
    strings = {place: ("table", builder.CreateString(text)) for place, text in texts.items()}
    root = _table(builder, 8, {**strings, 3: ("table", _tables(builder, [subgraph]))})
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _tensor(
    builder: Builder, name: str, text: str, content: int, units: list[int], stats: int | None, files: list[int]
) -> int:
    fields = {0: builder.CreateString(name), 1: builder.CreateString(text), 3: content}
    if units:
        fields[4] = _tables(builder, units)
    if stats is not None:
        fields[5] = stats
    if files:
        fields[6] = _tables(builder, files)
    return _table(builder, 7, {place: ("table", offset) for place, offset in fields.items()})


def _content(builder: Builder, kind: int, properties: int) -> int:
    return _table(builder, 3, {0: ("uint8", kind), 1: ("table", properties)})


def _table(builder: Builder, slots: int, fields: dict[int, tuple[str, int]]) -> int:
    """A table of so many fields, of which these are set: numbers, or the places of what was written before."""
    builder.StartObject(slots)
    add = {
        "uint8": builder.PrependUint8Slot, "int8": builder.PrependInt8Slot, "uint32": builder.PrependUint32Slot,
        "table": builder.PrependUOffsetTRelativeSlot,
    }  # fmt: skip
    for place, (kind, value) in fields.items():
        add[kind](place, value, 0)
    return int(builder.EndObject())


def _tables(builder: Builder, places: Sequence[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _floats(builder: Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
