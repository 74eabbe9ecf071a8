"""The ONNX file in ONNX Runtime gives the engine's logits, for any batch and input size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from random_network import every_operator, random_input, random_network
from shufflenet.engine.engine import Engine
from shufflenet.exporters import export
from shufflenet.exporters.onnx import make
from shufflenet.exporters.target import ExportError
from shufflenet.networks import families
from shufflenet.networks.model import Model
from shufflenet.networks.random_model import random_model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures import images

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    "arch",
    [
        ShuffleNetV1(3, 0.5, classes=7),
        ShuffleNetV1(8, 0.25, classes=201, stem_stride=1, inverse_shuffle=True),
        ShuffleNetV1(1, 0.25, classes=1),
        ShuffleNetV1(2, 0.25, classes=10, shuffle=False),
    ],
    ids=lambda arch: arch.name,
)
def test_equals_the_engine(arch: ShuffleNetV1, tmp_path: Path) -> None:
    _, model = random_network(arch)
    path = tmp_path / "net.onnx"
    export(model, "onnx", path, name="net", check=False)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    engine = Engine(model)
    for batch, height, width in [(1, 64, 64), (3, 33, 47), (2, 96, 32)]:
        x = random_input(batch, height, width)
        (logits,) = session.run(["logits"], {"input": x})
        expected = engine.run(x)
        assert logits.shape == expected.shape
        assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    "arch", [ShuffleNetV1(3, 0.25, classes=7, stem_stride=1), ShuffleNetV1(8, 0.25)], ids=lambda arch: arch.name
)
def test_fixed_size(arch: ShuffleNetV1, tmp_path: Path) -> None:
    _, model = random_network(arch)
    path = tmp_path / "net.onnx"
    export(model, "onnx", path, name="net", size=(47, 97), check=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = random_input(batch, 47, 97)
        (logits,) = session.run(["logits"], {"input": x})
        expected = Engine(model).run(x)
        assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()
    assert [d.dim_value for d in onnx.load(path).graph.input[0].type.tensor_type.shape.dim] == [0, 3, 47, 97]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mobilenet_v1_x0_25", [(64, 64), (45, 70)]),
        ("shufflenet_v2_x0_5", [(64, 64), (45, 70)]),
        ("squeezenet1_0", [(64, 64), (45, 70)]),
        ("every_operator", [(32, 32)]),
    ],
)
def test_other_networks(name: str, sizes: list[tuple[int, int]]) -> None:
    graph = every_operator() if name == "every_operator" else families.architecture(name, classes=10).graph()
    model = random_model(graph)
    proto = make(model, name, sizes[0] if len(sizes) == 1 else None)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for height, width in sizes:
        x = random_input(2, height, width)
        (logits,) = session.run(["logits"], {"input": x})
        expected = Engine(model).run(x)
        assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("arch", "unaligned"),
    [
        (ShuffleNetV1(3, 0.5, classes=7), 0),  # 30 channels behind dense and group convolutions
        (ShuffleNetV1(3, 0.25, classes=7, inverse_shuffle=True), 0),  # 15 and 30
        (ShuffleNetV1(3, 0.5, classes=7, shuffle=False), 4),  # no gather that could leave added channels out
    ],
    ids=["x0_5", "x0_25", "no shuffle"],
)
def test_depthwise_convolutions_are_in_fours(arch: ShuffleNetV1, unaligned: int) -> None:
    """Depthwise convolutions have a multiple of four channels where a gather follows; others are slow."""
    _, model = random_network(arch)
    proto = make(model, "net", aligning=True)
    onnx.checker.check_model(proto, full_check=True)
    attributes = [
        {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        for node in proto.graph.node
        if node.op_type == "Conv"
    ]
    depthwise = [entry["group"] for entry in attributes if entry["kernel_shape"] == [3, 3] and entry["group"] > 1]
    assert len(depthwise) == 16
    assert sum(channels % 4 != 0 for channels in depthwise) == unaligned
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = random_input(2, 64, 45)
    (logits,) = session.run(["logits"], {"input": x})
    expected = Engine(model).run(x)
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_windows_of_unequal_size_are_refused() -> None:
    model = random_model(every_operator())
    with pytest.raises(ExportError, match="means needs a network for one picture size"):
        make(model, "net")
    with pytest.raises(ExportError, match="means: its windows differ in size"):
        make(model, "net", (37, 41))


def test_what_the_file_says(model: Model, tmp_path: Path) -> None:
    model.labels[2] = 'käse "\\'
    model.training = {"unknown": {"score": "energy"}}
    path = tmp_path / "net.onnx"
    export(model, "onnx", path, name="net", check=False)
    proto = onnx.load(path)
    metadata = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert metadata["labels"] == model.labels
    assert metadata["unknown"] == {"score": "log(sum(exp(logits)))", "threshold": 0, "kept": 0.95}
    assert metadata["preprocessing"]["mean"] == list(model.preprocessing.mean)
    assert metadata["preprocessing"]["size"] == 32
    assert metadata["preprocessing"]["colour_order"] == "RGB"
    assert metadata["architecture"]["name"] == model.graph.name
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 13)]
    # A unit has three convolutions and one Gather behind the depthwise one, and no batch norm.
    kinds = [node.op_type for node in proto.graph.node if not node.name.endswith(".aligned")]
    assert (kinds.count("Conv"), kinds.count("Gather"), kinds.count("BatchNormalization")) == (1 + 3 * 16, 16, 0)
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    ranks = {len(value.type.tensor_type.shape.dim) for value in inferred.graph.value_info}
    assert ranks <= {2, 4}


def test_check_and_replace(model: Model, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for _ in range(2):  # the second replaces the first
        done = export(model, "onnx", path, name="net", check_on=[images.decode(photos / "cat.jpg")])
        assert done.ok
        assert done.check is not None
        assert all(other.error < 1e-5 for other in done.check.comparisons)
    assert done.file_bytes == path.stat().st_size
