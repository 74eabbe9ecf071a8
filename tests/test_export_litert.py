"""What a .tflite file says of itself: TFLite Metadata, by which MediaPipe's ImageClassifier takes it."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("flatbuffers")
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types, packer
from flatbuffers import table as buffer_table

from random_network import random_input, random_network
from shufflenet.exporters import export, litert, litert_metadata
from shufflenet.exporters.target import Order
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.quantization.calibration import Method, calibrate

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of other projects

SIZE = 64
LABELS = ["tulip", "Käse", "rose"]


@pytest.fixture(scope="module")
def model() -> Model:
    """In 8 bits, since no converter is needed for these."""
    _, made = random_network(ShuffleNetV1(3, 0.25, classes=3))
    start = replace(made, preprocessing=Preprocessing(SIZE, SIZE))
    quantized = calibrate(start, random_input(16, SIZE, SIZE), Method(weights="nearest", bias_correction=False))
    return Model(made.graph, {}, Preprocessing(SIZE, SIZE), LABELS, name="flowers", quantized=quantized)


@pytest.fixture(scope="module")
def data(model: Model, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("litert") / "flowers.tflite"
    export(model, "litert", path, check=False)
    return path.read_bytes()


class Table:
    """A table of a flatbuffer, by the numbers of its fields."""

    def __init__(self, buffer: bytes, place: int) -> None:
        self.table = buffer_table.Table(buffer, place)

    def _at(self, slot: int) -> int:
        offset = self.table.Offset(4 + 2 * slot)
        assert offset, f"field {slot} is missing"
        return int(offset + self.table.Pos)

    def table_at(self, slot: int) -> Table:
        return Table(self.table.Bytes, self.table.Indirect(self._at(slot)))

    def tables(self, slot: int) -> list[Table]:
        start, count = (
            self.table.Vector(self._at(slot) - self.table.Pos),
            self.table.VectorLen(self._at(slot) - self.table.Pos),
        )
        return [Table(self.table.Bytes, self.table.Indirect(start + 4 * place)) for place in range(count)]

    def floats(self, slot: int) -> list[float]:
        offset = self._at(slot) - self.table.Pos
        values = self.table.GetVectorAsNumpy(number_types.Float32Flags, offset)
        return [float(value) for value in values]

    def number(self, slot: int, flags: Any = number_types.Uint8Flags) -> int:
        return int(self.table.Get(flags, self._at(slot)))

    def text(self, slot: int) -> str:
        return str(self.table.String(self._at(slot)).decode())


def written(data: bytes) -> Table:
    read = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    (entry,) = read.metadata
    assert entry.name == b"TFLITE_METADATA"
    buffer = bytes(read.buffers[entry.buffer].data)
    assert buffer[4:8] == b"M001"
    return Table(buffer, encode.Get(packer.uoffset, buffer, 0))


def test_the_metadata_is_read_back(data: bytes) -> None:
    root = written(data)
    assert root.text(0) == "flowers"
    assert root.text(7) == "1.0.0"
    (graph,) = root.tables(3)
    (source,), (result,) = graph.tables(2), graph.tables(3)
    assert (source.text(0), source.table_at(3).number(0)) == ("input", 2)
    image = source.table_at(3).table_at(1)
    assert image.number(0) == 1, "RGB"
    size = image.table_at(1)
    assert [size.number(slot, number_types.Uint32Flags) for slot in (0, 1)] == [SIZE, SIZE]
    (unit,) = source.tables(4)
    assert unit.number(0) == 1, "normalisation"
    assert (unit.table_at(1).floats(0), unit.table_at(1).floats(1)) == ([0], [255])
    (labels,) = result.tables(6)
    assert (labels.text(0), labels.number(2)) == ("labels.txt", 2)


def test_the_file_takes_pixels(model: Model, data: bytes, tmp_path: Path) -> None:
    """Of pixels from 0 to 1 it makes what the network without metadata makes of normalised ones."""
    order, x = Order(model, "flowers", SIZE, SIZE), random_input(1, SIZE, SIZE)
    bare = litert.interpreter(litert.converted(order), 1)
    litert.set_input(bare, x)
    expected = litert.invoke(bare)
    network = litert.interpreter(data, 1)
    litert.set_input(network, litert_metadata.pixels_of(x, model.preprocessing))
    np.testing.assert_allclose(litert.invoke(network), expected, atol=0.002 * np.abs(expected).max())
    litert.set_input(network, x)
    assert np.abs(litert.invoke(network) - expected).max() > 0.005 * np.abs(expected).max()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("labels.txt").decode().splitlines() == LABELS
        how = json.loads(archive.read("model.json"))["preprocessing"]
    assert (how["mean"], how["std"]) == ([0, 0, 0], [1, 1, 1])


def test_mediapipe_takes_the_file(data: bytes, photos: Path, tmp_path: Path) -> None:
    python = pytest.importorskip("mediapipe.tasks.python")
    mediapipe = pytest.importorskip("mediapipe")
    path = tmp_path / "flowers.tflite"
    path.write_bytes(data)
    options = python.vision.ImageClassifierOptions(base_options=python.BaseOptions(model_asset_path=str(path)))
    with python.vision.ImageClassifier.create_from_options(options) as classifier:
        found = classifier.classify(mediapipe.Image.create_from_file(str(photos / "cat.jpg")))
    assert {each.category_name for each in found.classifications[0].categories} == set(LABELS)
