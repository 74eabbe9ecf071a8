"""Each target in its own runtime equals the engine, and labels and preprocessing travel with the network.

Where a target's packages are not installed, its tests are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from random_network import random_input, random_network
from shufflenet import images, model_file
from shufflenet.arch import Architecture
from shufflenet.engine import Engine
from shufflenet.export import TARGETS, check, export
from shufflenet.export.target import ExportError, Order

pytestmark = pytest.mark.filterwarnings("ignore")  # other projects' warnings are not for here

ANY_SIZE = ("openvino", "ncnn", "mnn", "torchscript")
ONE_SIZE = ("litert", "coreml", "executorch")


def needs(target: str) -> None:
    for package in TARGETS[target].writes_with + TARGETS[target].runs_with:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def test_every_target_is_tested() -> None:
    assert set(TARGETS) == {"c", "onnx", *ANY_SIZE, *ONE_SIZE}


@pytest.mark.parametrize("target", ANY_SIZE + ONE_SIZE)
def test_is_checked_and_says_what_it_is(
    target: str, model: model_file.Model, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs(target)
    monkeypatch.setattr(check, "_RUNS", 1)
    path = tmp_path / f"net{TARGETS[target].suffix}"
    done = export(model, "net", target, path, pictures=[images.decode(photos / "cat.jpg")])
    assert done.ok
    assert done.check is not None
    assert [other.name.split()[0] for other in done.check.comparisons] == ["engine", "PyTorch"]
    assert all(other.error < 1e-5 for other in done.check.comparisons)
    assert (done.check.ms is None) == bool(done.check.stand_in) == (target == "coreml")
    labels, description = _SAID[target](path)
    assert labels in (model.labels, None)
    assert description["labels"] == model.labels
    assert description["architecture"]["name"] == model.arch.name
    how = description["preprocessing"]
    assert (how["size"], how["resize"], how["mean"]) == (32, 36, list(model.preprocessing.mean))
    assert (how["colour_order"], how["layout"]) == ("RGB", "NHWC" if target == "litert" else "NCHW")


def _said_in_folder(path: Path) -> tuple[list[str], Any]:
    labels = (path / "labels.txt").read_text(encoding="utf-8")
    return labels.splitlines(), json.loads((path / "model.json").read_text(encoding="utf-8"))


def _said_in_archive(path: Path) -> tuple[list[str], Any]:
    with zipfile.ZipFile(path) as archive:
        return archive.read("labels.txt").decode().splitlines(), json.loads(archive.read("model.json"))


def _said_in_torchscript(path: Path) -> tuple[list[str], Any]:
    import torch

    files = {"labels.txt": "", "model.json": ""}
    torch.jit.load(path, _extra_files=files)  # type: ignore[no-untyped-call]
    labels, description = (text.decode() if isinstance(text, bytes) else text for text in files.values())
    return labels.splitlines(), json.loads(description)


def _said_in_core_ml(path: Path) -> tuple[None, Any]:
    import coremltools

    package = coremltools.models.MLModel(str(path / "net.mlpackage"), skip_model_load=True)
    return None, json.loads(package.user_defined_metadata["shufflenet"])


_SAID: dict[str, Callable[[Path], tuple[list[str] | None, Any]]] = {
    "openvino": _said_in_folder,
    "ncnn": _said_in_folder,
    "mnn": _said_in_folder,
    "executorch": _said_in_folder,
    "litert": _said_in_archive,
    "torchscript": _said_in_torchscript,
    "coreml": _said_in_core_ml,
}


@pytest.mark.parametrize("target", ANY_SIZE)
@pytest.mark.parametrize(
    "arch",
    [
        Architecture(3, 0.25, classes=7),
        Architecture(8, 0.25, classes=201, stem_stride=1),
        Architecture(1, 0.25, classes=1),
        Architecture(2, 0.25, classes=10, shuffle=False),
    ],
    ids=lambda arch: f"{arch.name}-{arch.classes}",
)
def test_every_architecture_and_size(target: str, arch: Architecture, tmp_path: Path) -> None:
    needs(target)
    _, model = random_network(arch)
    path = tmp_path / "net"
    export(model, "net", target, path, checking=False)
    engine = Engine(model)
    for height, width in [(64, 64), (33, 47), (96, 32)]:
        runner = TARGETS[target].open(Order(model, "net", height, width), path)
        (x,) = random_input(1, height, width)
        expected = engine.run(x[None])[0]
        assert np.abs(runner.logits(x) - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("target", ["openvino", "mnn", "torchscript"])
def test_fixed_size(target: str, model: model_file.Model, tmp_path: Path) -> None:
    needs(target)
    path = tmp_path / "net"
    export(model, "net", target, path, size=(47, 33), checking=False)
    (x,) = random_input(1, 47, 33)
    expected = Engine(model).run(x[None])[0]
    logits = TARGETS[target].open(Order(model, "net", 47, 33), path).logits(x)
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_openvino_file_alone(model: model_file.Model, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    export(model, "net", "openvino", tmp_path / "net", checking=False)
    network = openvino.Core().read_model(tmp_path / "net" / "net.xml")
    assert json.loads(network.get_rt_info(["shufflenet", "labels"]).astype(str)) == model.labels
    assert network.input("input").partial_shape.to_string() == "[?,3,?,?]"


def test_ncnn_layers(model: model_file.Model, tmp_path: Path) -> None:
    """The text format needs no package to be read; each blob is written once and read once."""
    export(model, "net", "ncnn", tmp_path / "net", checking=False)
    magic, counts, *lines = (tmp_path / "net" / "net.param").read_text().splitlines()
    rows = [line.split() for line in lines]
    assert (magic, counts) == ("7767517", f"{len(rows)} {sum(int(row[3]) for row in rows)}")
    written, read = [], []
    for row in rows:
        inputs, outputs = int(row[2]), int(row[3])
        read += row[4 : 4 + inputs]
        written += row[4 + inputs : 4 + inputs + outputs]
    assert len(set(written)) == len(written)
    assert sorted([*read, "logits"]) == sorted(written)
    kinds = [row[0] for row in rows]
    # Of each of the 16 units: two group convolutions and a depthwise one; the very first pointwise one has no groups.
    assert (kinds.count("Convolution"), kinds.count("ConvolutionDepthWise")) == (2, 3 * 16 - 1)
    assert (kinds.count("ShuffleChannel"), kinds.count("ReLU")) == (16, 13)
    size = 0
    for row in rows:
        if row[0] in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
            parameters = dict(word.split("=") for word in row[6:])
            weights = parameters["2" if row[0] == "InnerProduct" else "6"]
            size += 4 * (1 + int(weights) + int(parameters["0"]))  # a tag, weights, bias
    assert (tmp_path / "net" / "net.bin").stat().st_size == size


def test_core_ml_file_is_read_not_remembered(model: model_file.Model, tmp_path: Path) -> None:
    """A package with other weights or labels does not pass for this model's."""
    needs("coreml")
    export(model, "net", "coreml", tmp_path / "net", checking=False)
    (x,) = random_input(1, 32, 32)
    open_ = TARGETS["coreml"].open
    logits = open_(Order(model, "net", 32, 32), tmp_path / "net").logits(x)
    weights = tmp_path / "net" / "net.mlpackage" / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"
    content = bytearray(weights.read_bytes())
    content[-64:] = np.full(16, 3, dtype=np.float32).tobytes()
    weights.write_bytes(content)
    assert np.abs(open_(Order(model, "net", 32, 32), tmp_path / "net").logits(x) - logits).max() > 1e-3
    with pytest.raises(ExportError, match="labels"):
        open_(Order(replace(model, labels=[*model.labels[1:], "x"]), "net", 32, 32), tmp_path / "net")
