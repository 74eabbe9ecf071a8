"""A network of any family is trained from the command line, and its model file is a product like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")
import labelled_shapes
from exported import QUICK
from shufflenet import cli, model_file
from shufflenet.evaluation import evaluate
from shufflenet.exporters import c
from shufflenet.networks import families
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_of
from shufflenet.training.job import JobError, has_stages, prepare
from shufflenet.training.recipe import RECIPES
from shufflenet.training.state import freeze, set_training
from training_runs import one_thread

pytestmark = pytest.mark.slow

# Two of other families, one with squeeze-and-excitation, and a ShuffleNet with half of its units.
NETWORKS = ("mobilenet_v1_x0_25", "shufflenet_v2_x0_5", "shufflenet_g8_x0_25_se", "shufflenet_g3_x0_25_shallow")
PLAIN = "kernels   PyTorch's: the package's own, which are faster, train only ShuffleNet\n"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_shapes.make(tmp_path_factory.mktemp("data") / "shapes", train=8, val=3)


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli.commands, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a network that was trained for two epochs."""
    out = tmp_path_factory.mktemp("runs") / request.param
    result = run("train", shapes, "--out", out, "--arch", request.param, "--size", "32", "--epochs", "2")
    assert result.stderr.count(PLAIN) == (request.param != "shufflenet_g3_x0_25_shallow")
    model = model_file.load(out / "model.safetensors")
    assert model.graph.name == request.param
    assert model.graph.architecture is not None
    assert model.graph.architecture.stem_stride == 1, "small pictures keep their resolution"
    return out / "model.safetensors"  # type: ignore[no-any-return]


def test_engine_and_pytorch_answer_alike(trained: Path, shapes: Path) -> None:
    by_engine, by_pytorch = evaluate(trained, shapes), evaluate(trained, shapes, by="pytorch")
    np.testing.assert_allclose(by_engine.top_probabilities, by_pytorch.top_probabilities, atol=1e-5)
    assert by_engine.top1_error == pytest.approx(model_file.load(trained).accuracy["top1_error"])


def test_predict_takes_it(trained: Path, shapes: Path) -> None:
    lines = run("predict", shapes / "val" / "circle", "--model", trained, "--json").stdout.splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0])["predictions"][0]["label"] in labelled_shapes.CLASSES


def test_export_takes_it(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result runs beside the engine; in C only one network's, since a compiler takes long."""
    monkeypatch.setattr(c, "_FLAGS", QUICK)
    run("export", trained, "--to", "onnx", "--out", tmp_path / "model.onnx")
    checking = [] if trained.parent.name == "shufflenet_v2_x0_5" else ["--no-check"]
    run("export", trained, "--to", "c", "--out", tmp_path / "model", *checking)


def test_it_is_tuned_further(trained: Path, shapes: Path, tmp_path: Path) -> None:
    """On one class less, with a new classifier and all other weights; it can't be taken for another network."""
    fewer = tmp_path / "fewer"
    for picture in (path for path in shapes.glob("*/*/*.png") if path.parent.name != "circle"):
        copy = fewer / picture.relative_to(shapes)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(picture.read_bytes())
    job = prepare(fewer, start=str(trained))
    before = model_file.load(trained)
    assert (job.graph.name, job.graph.classes) == (before.graph.name, 2)
    run("train", fewer, "--out", tmp_path / "run", "--from", trained, "--epochs", "1", "--learning-rate", "0.001")
    after = model_file.load(tmp_path / "run" / "model.safetensors")
    first = next(name for name in after.tensors if name.endswith("conv1.weight") or name == "conv1.0.weight")
    np.testing.assert_allclose(after.tensors[first], before.tensors[first], atol=1e-3)
    assert after.tensors["fc.weight"].shape[0] == 2
    with pytest.raises(JobError, match="--arch alexnet is not the architecture of --from"):
        prepare(shapes, start=str(trained), arch="alexnet")


def test_pictures_that_are_too_small_for_the_network(shapes: Path, tmp_path: Path) -> None:
    """Nothing pads these convolutions. A run that ends with large inputs may begin with such small ones."""
    graph = Graph("unpadded")
    x: Node = graph.input
    for number in range(3):
        x = graph.convolution(f"conv{number}", x, 8, 7, stride=2, padding=0, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("global_pool", x), 3)
    random = np.random.default_rng(0)
    tensors = {name: random.standard_normal(shape, np.float32) for name, shape in graph.tensor_shapes().items()}
    model_file.save(Model(graph, tensors), tmp_path / "model.safetensors")
    start, none = str(tmp_path / "model.safetensors"), "unpadded: pictures of 32 x 32 pixels leave none behind conv2"
    assert prepare(shapes, RECIPES["paper"], start=start, size=48).graph.name == "unpadded"
    with pytest.raises(JobError, match=f"{none}: give a larger --size"):
        prepare(shapes, RECIPES["paper"], start=start, size=32)
    with pytest.raises(JobError, match=f"{none}, at which a run with --size 48 begins: give a larger --size"):
        prepare(shapes, RECIPES["short"], start=start, size=48)


def test_parts_are_frozen_where_a_network_has_them(shapes: Path) -> None:
    network = module_of(families.architecture("shufflenet_v2_x0_5").graph())
    freeze(network, "stage2")
    frozen = {name.split(".")[0] for name, weight in network.named_parameters() if not weight.requires_grad}
    assert frozen == {"conv1", "stage2"}
    set_training(network, "stem")
    assert not network.get_submodule("conv1.1").training
    assert network.get_submodule("stage2").training
    assert not has_stages(families.architecture("mobilenet_v1_x0_25").graph())
