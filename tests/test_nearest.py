"""`train --recipe nearest`: a last layer in closed form, on the features of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from shufflenet import evaluation, model_file
from shufflenet.exporters import export
from shufflenet.training.job import prepare
from shufflenet.training.nearest import PENALTY, _Sums
from training_runs import refused, run

EMBEDDED = "shufflenet_g3_x0_5"


@pytest.fixture(scope="module")
def found(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nearest") / "run"
    result = run(shapes, "--recipe", "nearest", "--out", out)
    assert (result.exit_code, result.stdout) == (0, f"{out / 'model.safetensors'}\n"), result.stderr
    assert "recipe    nearest: nothing is trained" in result.stderr
    return out


def test_shapes_are_told_apart(found: Path, shapes: Path) -> None:
    model = model_file.load(found / "model.safetensors")
    assert model.classes == ["circle", "square", "triangle"]
    assert model.accuracy["top1_error"] < 25
    measured = evaluation.evaluate(found, shapes)
    assert measured.top1_error == pytest.approx(model.accuracy["top1_error"])
    assert (model.training["recipe"]["name"], model.training["from"]) == ("nearest", EMBEDDED)
    assert model.training["unknown"]["score"] == "energy"
    assert np.mean(measured.known >= 0.5) == pytest.approx(0.95, abs=0.06)


def test_the_same_command_is_done_already(found: Path, shapes: Path) -> None:
    before = (found / "model.safetensors").stat().st_mtime_ns
    result = run(shapes, "--recipe", "nearest", "--out", found)
    assert (result.exit_code, f"{found}: this run is finished\n") == (0, result.stderr)
    assert (found / "model.safetensors").stat().st_mtime_ns == before


def test_it_is_an_ordinary_network(found: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    done = export(found, "onnx", tmp_path / "m.onnx")
    assert done.ok


def test_the_layer_is_that_of_ridge_regression() -> None:
    random = np.random.default_rng(0)
    x, targets = random.normal(1, 1, (60, 7)).astype(np.float32), np.arange(60) % 3
    sums = _Sums(3)
    for row, target in zip(x, targets.tolist(), strict=True):
        sums.add(row[None], target)
    weight, bias = sums.solve()
    centred = x - x.mean(axis=0)
    penalty = PENALTY * np.trace(centred.T @ centred) / 7
    aim = np.eye(3)[targets]

    def loss(w: np.ndarray, b: np.ndarray) -> float:
        return float(((x @ w.T + b - aim) ** 2).sum() + penalty * (w**2).sum())

    best = loss(weight, bias)
    for _ in range(20):
        assert loss(weight + random.normal(0, 1e-3, weight.shape), bias + random.normal(0, 1e-3, 3)) > best


@pytest.mark.parametrize(
    ("option", "value"), [("--epochs", "3"), ("--mixup", "0.2"), ("--teacher", "resnet18"), ("--crop", "0.5")]
)
def test_options_of_training_are_refused(shapes: Path, option: str, value: str) -> None:
    message = refused(run(shapes, "--recipe", "nearest", option, value))
    assert message == f"--recipe nearest trains nothing, so {option} has no meaning with it"


def test_choices(shapes: Path) -> None:
    job = prepare(shapes, "nearest", flip=False)
    assert (job.start_name, job.recipe.flip, job.recipe.name) == (EMBEDDED, False, "nearest")
    result = run(shapes, "--recipe", "nearest", "--dry-run")
    assert result.stdout.endswith("time      seconds: each picture is looked at once\n")


def test_broken_pictures(shapes: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "shapes"
    shutil.copytree(shapes, root)
    (root / "train" / "circle" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "cut.png" in refused(run(root, "--recipe", "nearest", "--out", tmp_path / "run"))
    result = run(root, "--recipe", "nearest", "--out", tmp_path / "run", "--skip-broken")
    assert result.exit_code == 0
    assert "cut.png" in result.stderr
