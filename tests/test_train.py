"""Training learns, by its recipe, from every kind of data; its run folder and model file hold what they should."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

import labelled_shapes
from shufflenet import model_file
from shufflenet.evaluation import evaluate
from shufflenet.networks.module import module_of, module_with_weights
from shufflenet.networks.network import ShuffleNet
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import augment, training_data, validate
from shufflenet.training.recipe import RECIPES
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.state import State
from shufflenet.training.train import train_job
from training_runs import (
    ARCH,
    QUICK,
    RUN,
    assert_same_weights,
    job,
    one_thread,
    rows,
    run,
    weights,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_an_epochs_errors_are_those_of_what_it_would_leave(shapes: Path, tmp_path: Path) -> None:
    """With batch norm's statistics of whole pictures, as at the end of the run."""
    seen = []

    def errors(network: ShuffleNet, *arguments: Any) -> tuple[float, float]:
        seen.append({name: t.clone() for name, t in network.state_dict().items()})
        return 0.0, 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "errors", errors)
        train_job(job(shapes, QUICK), tmp_path)
    first, last, result = seen
    assert all(torch.equal(tensor, result[name]) for name, tensor in last.items())
    assert not torch.equal(first["bn1.running_mean"], last["bn1.running_mean"])
    in_training = torch.load(next(tmp_path.glob("checkpoint-12.pt")), weights_only=True)
    kept = in_training["average"] or in_training["network"]
    assert torch.equal(kept["bn1.weight"], result["bn1.weight"])
    assert not torch.allclose(kept["bn1.running_mean"], result["bn1.running_mean"], rtol=1e-3)


def test_run_folder(unbroken: Path, shapes: Path) -> None:
    table = rows(unbroken)
    assert [row["epoch"] for row in table] == ["1", "2"]
    about = json.loads((unbroken / "recipe.json").read_text())
    assert about["seed"] == 0
    assert about["versions"]["torch"] == torch.__version__
    assert about["settings"]["recipe"]["epochs"] == 2
    assert about["command"].startswith("shufflenet train shapes --arch shufflenet_g2_x0_25 --size 32 --epochs 2")
    assert not (unbroken / "cache").exists()
    names = {path.name for path in unbroken.iterdir()}
    assert names >= {"checkpoint-12.pt", "metrics.csv", "model.safetensors", "recipe.json", "run.lock"}


def test_model_file_is_right(unbroken: Path, shapes: Path) -> None:
    """Its accuracy is what evaluate measures, and its self-test holds in the engine."""
    model = model_file.load(unbroken / "model.safetensors")
    assert model.classes == labelled_shapes.CLASSES
    measured = evaluate(model, shapes)
    assert measured.top1_error == pytest.approx(model.accuracy["top1_error"])
    assert measured.top5_error == pytest.approx(model.accuracy["top5_error"]) == 0
    with torch.inference_mode():
        x = torch.from_numpy(model_file.test_input(model.preprocessing))[None]
        np.testing.assert_allclose(module_with_weights(model)(x)[0].numpy(), model.self_test, atol=1e-4)


def test_rate_decay_and_average_are_the_recipes(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, update = [], State.update_average

    def record(state: State, steps: float) -> None:
        seen.append(state.network.get_parameter("fc.weight").detach().clone())
        update(state, steps)

    monkeypatch.setattr(State, "update_average", record)
    chosen = job(shapes)
    train_job(chosen, tmp_path)
    checkpoint = torch.load(tmp_path / "checkpoint-12.pt", weights_only=True)
    weights_, others = checkpoint["optimizer"]["param_groups"]
    assert weights_["lr"] == others["lr"] == chosen.recipe.learning_rate_at(11 / 6)
    assert (weights_["weight_decay"], others["weight_decay"], weights_["momentum"]) == (4e-5, 0, 0.9)
    matrices = [p for p in module_of(chosen.graph).parameters() if p.ndim > 1]
    assert len(weights_["params"]) == len(matrices)
    average = seen[0]
    for step, weight in enumerate(seen[1:], start=2):
        average = torch.lerp(average, weight, max(1 - math.exp(-1 / 3), 9 / (step + 9)))
    torch.testing.assert_close(checkpoint["average"]["fc.weight"], average)


def test_all_validation_pictures_are_measured(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "_BATCH", 4)
    folder = train_job(job(shapes, replace(QUICK, epochs=1)), tmp_path)
    measured = model_file.load(folder.model).accuracy["top1_error"]
    assert measured == pytest.approx(evaluate(folder.model, shapes).top1_error)


def test_batch_norm_sees_whole_pictures_of_all_the_data(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, centre = [], augment.centre

    def record(pixels: Any, indices: Any, size: int, keep: float) -> Any:
        calls.append((len(indices), size, keep))
        return centre(pixels, indices, size, keep)

    monkeypatch.setattr(augment, "centre", record)
    chosen = job(shapes, replace(QUICK, epochs=1))
    train_job(chosen, tmp_path)
    assert chosen.preprocessing == Preprocessing(size=32, resize=37)
    # Six batches at the epoch's end, six for the result, and all pictures for its last layer.
    assert calls == [(8, 32, 32 / 37)] * 12 + [(48, 32, 32 / 37)]


def test_it_learns(tmp_path: Path) -> None:
    shapes = labelled_shapes.make(tmp_path / "shapes", train=32, val=10)
    recipe = replace(RECIPES["short"], epochs=5, learning_rate=6, progressive=(1.0,), min_crop_area=0.7)
    train_job(job(shapes, recipe), tmp_path / "run")
    errors = [float(row["top1_error"]) for row in rows(tmp_path / "run")]
    assert model_file.load(tmp_path / "run" / "model.safetensors").accuracy["top1_error"] <= 20, errors  # chance: 67


@pytest.mark.parametrize("workers", [0, 3])
def test_workers_change_nothing(shapes: Path, tmp_path: Path, unbroken: Path, workers: int) -> None:
    assert run(shapes, "--out", tmp_path, *RUN, "--workers", str(workers)).exit_code == 0
    assert_same_weights(tmp_path, unbroken)


@pytest.mark.parametrize("kind", ["zip", "shards", "one folder"])
def test_other_kinds_of_data(shapes: Path, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "data"
    if kind == "zip":
        root = Path(shutil.make_archive(str(root), "zip", shapes.parent, shapes.name))
    elif kind == "one folder":
        shutil.copytree(shapes / "train", root)
    else:
        webdataset = pytest.importorskip("webdataset")
        root.mkdir()
        for split in ("train", "val"):
            with webdataset.TarWriter(str(root / f"{split}-0.tar")) as writer:
                for path in sorted((shapes / split).rglob("*.png")):
                    key = f"{path.parent.name}-{path.stem}"
                    writer.write({"__key__": key, "png": path.read_bytes(), "cls": path.parent.name})
    named = ["--name", "shapes-2"] if kind == "zip" else []
    result = run(root, "--out", tmp_path / "run", *named, *RUN)
    assert result.exit_code == 0, result.output
    trained = model_file.load(tmp_path / "run" / "model.safetensors")
    assert trained.name == ("shapes-2" if named else "run")
    val_fraction = trained.training["split"]["val_fraction"]
    assert val_fraction == (0.2 if kind == "one folder" else None)
    assert trained.classes == labelled_shapes.CLASSES
    pictures = {"zip": 48, "shards": 48, "one folder": 39}[kind]  # a fifth for validation
    assert trained.training["data"].endswith(f"{pictures} pictures of 3 classes")


def test_the_classifier_is_of_half_precision_and_nothing_else(unbroken: Path) -> None:
    trained = weights(unbroken)
    same = {name for name, tensor in trained.items() if (tensor.astype(np.float16).astype(np.float32) == tensor).all()}
    assert {name for name in same if trained[name].ndim > 1} == {"fc.weight"}


def test_class_weights_balance(shapes: Path, tmp_path: Path) -> None:
    root = tmp_path / "uneven"
    shutil.copytree(shapes, root)
    for path in sorted((root / "train" / "circle").iterdir())[4:]:
        path.unlink()
    folder = RunFolder(tmp_path / "run")
    loaded = training_data.load(job(root), folder, False, print, lambda what, done, of: None)
    assert loaded.class_weights(3) == pytest.approx([36 / 12, 36 / 48, 36 / 48])
    recipe = replace(QUICK, class_weights=True, epochs=1)
    assert train_job(job(root, recipe), tmp_path / "run").model.exists()


def test_bfloat16_runs_and_stays_near(shapes: Path, tmp_path: Path, unbroken: Path) -> None:
    result = run(shapes, "--out", tmp_path, *RUN, "--amp")
    assert result.exit_code == 0, result.output
    ours, theirs = float(rows(tmp_path)[0]["loss"]), float(rows(unbroken)[0]["loss"])
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.02)


def test_a_run_that_can_not_go_on_has_failed(shapes: Path, tmp_path: Path) -> None:
    """Unlike one that can't start, which ends with 2."""
    result = run(shapes, "--out", tmp_path / "run", "--arch", ARCH, "--learning-rate", "1000", "--epochs", "9")
    assert result.exit_code == 1
    assert "Error: the loss is nan at step" in result.stderr
