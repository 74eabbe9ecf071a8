"""`shufflenet bench` of files: a folder of model files and ONNX files, of which runtimes get the file itself too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from random_network import random_graph_network
from shufflenet import model_file
from shufflenet.bench import onnx_file
from shufflenet.bench.case import make_case
from shufflenet.cli import commands
from shufflenet.exporters.onnx import make
from shufflenet.importers.network_file import import_network
from shufflenet.networks import families

onnxruntime = pytest.importorskip("onnxruntime")
NAME = "mobilenet_v1_x0_25"


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """A folder with the same network as a model file and as an ONNX file of 64 x 64 pixels."""
    folder = tmp_path / "networks"
    folder.mkdir()
    _, model = random_graph_network(families.architecture(NAME, classes=10).graph())
    model_file.save(model, folder / "b.safetensors")
    (folder / "a.onnx").write_bytes(make(model, "a", (64, 64)).SerializeToString())
    (folder / "notes.txt").write_text("not a network")
    return folder


def test_a_folder_of_files(networks: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    options = ["--runtimes", "onnxruntime", "--rounds", "1", "--json", str(out)]
    ran = CliRunner().invoke(commands, ["bench", "--model-file", str(networks), *options])
    assert ran.exit_code == 0, ran.output
    rows = json.loads(out.read_text())["rows"]
    assert [(row["model"], row["height"], row["runtime"]) for row in rows] == [
        ("a", 64, "shufflenet"), ("a", 64, "onnxruntime"), (NAME, 224, "shufflenet"), (NAME, 224, "onnxruntime"),
    ]  # fmt: skip
    assert all(row["ms"] > 0 for row in rows)
    (tmp_path / "empty").mkdir()
    ran = CliRunner().invoke(commands, ["bench", "--model-file", str(tmp_path / "empty")])
    assert ran.exit_code == 2
    assert "empty: a folder without model files, ONNX files and .pt2 files" in ran.stderr


def test_other_runtimes_get_a_file_that_takes_the_input(networks: Path) -> None:
    file = networks / "a.onnx"
    model = import_network(file)
    assert onnx_file.original(make_case(model, 1, 64, 64, threads=1)) is None
    assert onnx_file.original(make_case(model, 1, 64, 64, threads=1, file=file)) == file
    assert onnx_file.original(make_case(model, 2, 64, 64, threads=1, file=file)) == file  # any batch
    assert onnx_file.original(make_case(model, 1, 96, 64, threads=1, file=file)) is None
