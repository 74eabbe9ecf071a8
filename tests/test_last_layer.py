"""The last layer fitted to whole pictures: a small logistic regression, pulled to the weights that training left."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from labelled_shapes import CLASSES as CLASS_NAMES
from labelled_shapes import make
from shufflenet import cli, model_file
from shufflenet.networks import families
from shufflenet.networks.random_model import random_model
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import last_layer

CLASSES, FEATURES = 4, 12


def features(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features that stand around their class's centre, away from 0, in units of a thousand."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 1, (CLASSES, FEATURES))
    targets = random.integers(0, CLASSES, count)
    return (1000 * (3 + centres[targets] + random.normal(0, 1, (count, FEATURES)))).astype(np.float32), targets


def cross_entropy(weight: NDArray[np.float64], bias: NDArray[np.float64], x: NDArray[np.float32],
                  targets: NDArray[np.int64]) -> float:  # fmt: skip
    logits = torch.from_numpy(x.astype(np.float64) @ weight.T + bias)
    return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets)))


def test_fits_pictures_that_it_was_not_fitted_on() -> None:
    random = np.random.default_rng(1)
    weight, bias = random.normal(0, 1e-4, (CLASSES, FEATURES)), np.zeros(CLASSES)
    x, targets = features(20_000, 2)
    others, their_targets = features(5_000, 3)
    fitted = last_layer.fit(weight, bias, x, targets, np.ones(CLASSES))
    before, after = (cross_entropy(*layer, others, their_targets) for layer in ((weight, bias), fitted))
    assert before > 1.3
    assert after < 0.8
    again = last_layer.fit(weight, bias, x, targets, np.ones(CLASSES))
    assert all(np.array_equal(one, other) for one, other in zip(fitted, again, strict=True))


def test_reaches_the_least_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loss is least its gradient by PyTorch is 0; batches of rows are parts of one sum."""
    monkeypatch.setattr(last_layer, "_STEPS", 500)
    monkeypatch.setattr(last_layer, "_ROWS", 300)
    x, targets = features(1000, 4)
    weights = np.array([1.0, 2.0, 0.5, 1.0])
    begin = np.random.default_rng(5).normal(0, 2e-4, (CLASSES, FEATURES)), np.arange(CLASSES, dtype=np.float64)
    found = [torch.from_numpy(part).requires_grad_() for part in last_layer.fit(*begin, x, targets, weights)]
    first, rows = [torch.from_numpy(part) for part in begin], torch.from_numpy(x.astype(np.float64))
    labels = torch.nn.functional.one_hot(torch.from_numpy(targets), CLASSES)
    wanted = 0.5 * labels + 0.5 * (rows @ first[0].T + first[1]).softmax(dim=1)
    counts = torch.from_numpy(weights[targets] / weights[targets].sum())
    spread = float(x.std())
    loss = -(counts * (wanted * (rows @ found[0].T + found[1]).log_softmax(dim=1)).sum(dim=1)).sum()
    loss = loss + last_layer._PULL / len(x) * ((found[0] - first[0]) * spread).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert found[0].grad is not None
    assert found[1].grad is not None
    assert float((found[0].grad / spread).abs().max()) < 2e-4
    assert float(found[1].grad.abs().max()) < 2e-4


def test_few_pictures_change_little() -> None:
    weight, bias = np.random.default_rng(6).normal(0, 1e-3, (CLASSES, FEATURES)), np.zeros(CLASSES)
    changes = []
    for count in (40, 40_000):
        fitted, _ = last_layer.fit(weight, bias, *features(count, 7), np.ones(CLASSES))
        changes.append(np.linalg.norm(fitted - weight) / np.linalg.norm(weight))
    assert changes[0] < 0.05 < changes[1]


def train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["train", *map(str, arguments)])


@pytest.mark.slow
def test_a_run_without_epochs_changes_the_last_layer_alone(tmp_path: Path) -> None:
    data, first, again = make(tmp_path / "shapes", 8, 4), tmp_path / "first", tmp_path / "again"
    made = train(data, "--arch", "shufflenet_g3_x0_25", "--epochs", "1", "--out", first)
    assert made.exit_code == 0, made.output
    result = train(data, "--from", first / "model.safetensors", "--epochs", "0", "--out", again)
    assert result.exit_code == 0, result.output
    before, after = (model_file.load(folder / "model.safetensors").tensors for folder in (first, again))
    for name, tensor in before.items():
        assert np.array_equal(tensor, after[name]) == (not name.startswith("fc.")), name
    assert not (again / "metrics.csv").exists() or not list(csv.DictReader((again / "metrics.csv").open()))
    assert (
        "this run is finished"
        in train(data, "--from", first / "model.safetensors", "--epochs", "0", "--out", again).stderr
    )
    for options, reason in (
        ((), "--epochs 0 trains the last layer alone, which needs --from"),
        (("--from", "shufflenet_g3_x0_5"), "--epochs 0 trains the last layer alone, which needs --from"),
        (
            ("--from", str(first / "model.safetensors"), "--mixup", "1"),
            "--epochs 0 trains the last layer alone: leave --mix",
        ),
        (("--from", "shufflenet_g3_x0_5_int8"), "the model is in 8 bits"),
    ):
        refused = train(data, *options, "--epochs", "0", "--out", tmp_path / "other")
        assert refused.exit_code == 2
        assert reason in refused.stderr


def test_networks_without_a_fully_connected_end_are_refused(tmp_path: Path) -> None:
    data = make(tmp_path / "shapes", 2, 1)
    squeezenet = random_model(families.architecture("squeezenet1_0", classes=3).graph())
    start = replace(squeezenet, preprocessing=Preprocessing(64, 64), labels=CLASS_NAMES, classes=CLASS_NAMES)
    model_file.save(start, tmp_path / "squeezenet.safetensors")
    refused = train(data, "--from", tmp_path / "squeezenet.safetensors", "--epochs", "0", "--out", tmp_path / "run")
    assert "squeezenet1_0 does not end with a fully connected layer: give --epochs 1 or more" in refused.stderr
