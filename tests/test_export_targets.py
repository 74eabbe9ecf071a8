"""Each target in its own runtime equals the engine, and labels and preprocessing travel with the network.

Where a target's packages are not installed, its tests are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from exported import QUICK, Case, apart, largest_errors
from random_network import every_import, random_graph_network, random_input, random_network
from shufflenet import model_file
from shufflenet.exporters import TARGETS, c, export
from shufflenet.exporters.target import ExportError, Order
from shufflenet.networks import families
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # warnings of other projects
]

COMMAND = [sys.executable, "-m", "shufflenet", "export"]
ANY_SIZE = ("openvino", "ncnn", "mnn", "torchscript")
ONE_SIZE = ("litert", "coreml", "executorch")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "_FLAGS", QUICK)


def needs(target: str) -> None:
    for package in TARGETS[target].writes_with + TARGETS[target].runs_with:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def test_every_target_is_tested() -> None:
    assert set(TARGETS) == {"c", "onnx", "web", *ANY_SIZE, *ONE_SIZE}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "shufflenet_g8_x0_25_se", "mobilenet_v1_x0_25", "squeezenet1_0"]
)
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_other_families(target: str, name: str, tmp_path: Path) -> None:
    """Every target takes networks of every family; `export` compares each with the engine and PyTorch."""
    needs(target)
    _, model = random_graph_network(families.architecture(name, classes=7).graph())
    model = replace(model, preprocessing=Preprocessing(size=64, resize=72))
    done = export(model, target, tmp_path / f"net{TARGETS[target].suffix}")
    assert done.check is not None
    assert all(other.error < 1e-5 for other in done.check.comparisons)


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"web"}))  # which is the engine, as c is
def test_operators_that_only_imports_have(target: str, tmp_path: Path) -> None:
    needs(target)
    _, model = random_graph_network(every_import())
    model = replace(model, preprocessing=Preprocessing(size=64, resize=72))
    done = export(model, target, tmp_path / f"net{TARGETS[target].suffix}")
    assert done.check is not None
    # MNN's GELU is less exact.
    assert all(other.error < (1e-4 if target == "mnn" else 1e-5) for other in done.check.comparisons)


@pytest.mark.parametrize("target", ANY_SIZE + ONE_SIZE)
def test_is_checked_and_says_what_it_is(
    target: str, model: Model, model_path: Path, photos: Path, tmp_path: Path
) -> None:
    """The export command accepts the target's result, which names its model, labels and preprocessing."""
    needs(target)
    path = tmp_path / f"net{TARGETS[target].suffix}"
    options = ["--to", target, "--out", str(path), "--check-on", str(photos / "cat.jpg"), "--json"]
    done = subprocess.run([*COMMAND, str(model_path), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check = json.loads(done.stdout)["check"]
    assert [other["name"].split()[0] for other in check["comparisons"]] == ["engine", "PyTorch"]
    assert all(other["error"] < 1e-5 for other in check["comparisons"])
    assert (check["ms"] is None) == bool(check["stand_in"]) == (target == "coreml")
    labels, description = _SAID[target](path)
    assert labels in (model.labels, None)
    assert description["labels"] == model.labels
    assert description["architecture"]["name"] == model.graph.name
    how = description["preprocessing"]
    mean = [0, 0, 0] if target == "litert" else list(model.preprocessing.mean)  # it normalises in the network
    assert (how["size"], how["resize"], how["mean"]) == (32, 36, mean)
    assert (how["colour_order"], how["layout"]) == ("RGB", "NHWC" if target == "litert" else "NCHW")


@pytest.mark.parametrize("target", [*ANY_SIZE, *ONE_SIZE])
def test_the_threshold_of_the_unknown_goes_along(target: str, model: Model, tmp_path: Path) -> None:
    needs(target)
    model.training = {"unknown": {"score": "energy"}}
    for name in ("with", "without"):
        path = tmp_path / f"{name}{TARGETS[target].suffix}"
        export(model, target, path, name="net", check=False)
        unknown = _SAID[target](path)[1].get("unknown")
        said = {"score": "log(sum(exp(logits)))", "threshold": 0, "kept": 0.95}
        assert unknown == (said if name == "with" else None)
        model.training = {}


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

    (file,) = path.glob("*.mlpackage")
    package = coremltools.models.MLModel(str(file), skip_model_load=True)
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


ARCHITECTURES = (
    ShuffleNetV1(3, 0.25, classes=7),
    ShuffleNetV1(8, 0.25, classes=201, stem_stride=1, inverse_shuffle=True),
    ShuffleNetV1(1, 0.25, classes=1),
    ShuffleNetV1(2, 0.25, classes=10, shuffle=False),
)


@pytest.mark.parametrize("target", ANY_SIZE)
def test_every_architecture_and_size(target: str, tmp_path: Path) -> None:
    needs(target)
    cases = []
    for number, arch in enumerate(ARCHITECTURES):
        path = tmp_path / f"{number}.safetensors"
        model_file.save(random_network(arch)[1], path)
        cases.append(Case(path, None, ((64, 64), (33, 47), (96, 32))))
    if target != "ncnn":  # its networks take any size
        cases.append(Case(cases[0].model, (47, 33), ((47, 33),)))
    for case, error in zip(cases, apart(largest_errors, target, cases, tmp_path), strict=True):
        assert error <= 1e-5, case
    if target == "openvino":
        described = labels_in_xml(tmp_path / "0" / "net.xml")
        assert described == model_file.load(cases[0].model).labels


def labels_in_xml(path: Path) -> Any:
    """The labels in OpenVINO's .xml file itself."""
    (labels,) = ElementTree.parse(path).findall("rt_info/shufflenet/labels")
    return json.loads(labels.attrib["value"])


def test_ncnn_layers(model: Model, tmp_path: Path) -> None:
    """The text format needs no package to be read; each blob is written once and read once."""
    export(model, "ncnn", tmp_path / "net", name="net", check=False)
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
    # Each of the 16 units has two group convolutions and a depthwise one; the first unit's first one has no groups.
    assert (kinds.count("Convolution"), kinds.count("ConvolutionDepthWise")) == (2, 3 * 16 - 1)
    assert (kinds.count("ShuffleChannel"), kinds.count("ReLU")) == (16, 13)
    size = 0
    for row in rows:
        if row[0] in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
            parameters = dict(word.split("=") for word in row[6:])
            weights = parameters["2" if row[0] == "InnerProduct" else "6"]
            size += 4 * (1 + int(weights) + int(parameters["0"]))  # a tag, weights, bias
    assert (tmp_path / "net" / "net.bin").stat().st_size == size


def test_core_ml_file_is_read_not_remembered(model: Model, tmp_path: Path) -> None:
    """The check refuses a package with other weights or other labels."""
    needs("coreml")
    export(model, "coreml", tmp_path / "net", name="net", check=False)
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
