"""Calibrated probabilities, and the score that tells a model's classes from other things."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from shufflenet import Classifier, cli, known, model_file, temperature
from shufflenet.networks.model import Model
from shufflenet.probabilities import softmax
from shufflenet.unknown import Unknown


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


def drawn(logits: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """A class of each row, by its probabilities."""
    classes: NDArray[np.int64] = (softmax(logits).cumsum(axis=1) > random.uniform(0, 1, (len(logits), 1))).argmax(
        axis=1
    )
    return classes


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_is_found(factor: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    targets = drawn(logits, random)
    assert temperature.fit(logits * factor, targets) == pytest.approx(factor, rel=0.1)


def test_the_temperature_stays_in_its_range() -> None:
    right = np.eye(3) * 9
    assert temperature.fit(right, np.arange(3)) == pytest.approx(0.02, rel=1e-3)
    assert temperature.fit(right, np.roll(np.arange(3), 1)) == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("along", [False, True])
def test_calibration_changes_no_answer_and_puts_the_threshold_at_zero(along: bool) -> None:
    random = np.random.default_rng(0)
    features = random.uniform(0, 1, (400, 16)).astype(np.float32)
    weight, bias = random.normal(0, 2, (4, 16)), random.normal(0, 1, 4)
    targets = drawn(features @ weight.T + bias, random)
    mean = features.mean(axis=0, dtype=np.float64) if along else None
    found = known.calibrate(weight * 3, bias * 3, mean, features, targets)
    assert found.temperature == pytest.approx(3, rel=0.2)
    before, after = features @ weight.T + bias, features @ found.weight.T + found.bias
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() > 0.99, "all but ties"
    np.testing.assert_allclose(softmax(after), softmax(before * 3 / found.temperature), atol=0.01)
    assert np.mean(known.energy(after) >= 0) == pytest.approx(known.KEPT, abs=0.01)
    assert np.array_equal(found.weight, found.weight.astype(np.float16).astype(np.float32))
    errors = found.errors(features, targets)
    assert errors[0] == pytest.approx(100 * np.mean(after.argmax(axis=1) != targets))
    assert errors[1] == 0


def test_the_direction_of_features_tells_smaller_ones() -> None:
    """Other things have weaker features; the classes' weights alone hardly see it."""
    random = np.random.default_rng(0)
    features = random.uniform(0.5, 1, (400, 16)).astype(np.float32)
    weight = random.normal(0, 1, (4, 16))
    weight -= weight.mean(axis=1, keepdims=True)
    targets = drawn(features @ weight.T, random)
    others = features[:200] * 0.5
    aurocs = []
    for mean in (None, features.mean(axis=0, dtype=np.float64)):
        found = known.calibrate(weight, np.zeros(4), mean, features, targets)
        scores = [known.energy(x @ found.weight.T + found.bias) for x in (features, others)]
        aurocs.append(Unknown(*scores).auroc)
    assert aurocs[0] < 0.7
    assert aurocs[1] > 0.95


def test_confidence() -> None:
    logits = np.array([[0.0, -1.0, -2.0], [-5.0, -5.0, -5.0]], np.float32)
    calibrated = {"unknown": {"score": "energy"}}
    np.testing.assert_allclose(known.confidence(logits, {}), softmax(logits).max(axis=1))
    sums = np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(known.confidence(logits, calibrated), sums / (1 + sums), rtol=1e-6)
    assert known.confidence(np.array([1e4, 0]), calibrated) == 1


def test_auroc_and_threshold() -> None:
    random = np.random.default_rng(0)
    one, other = np.round(random.normal(1, 1, 60), 1), np.round(random.normal(0, 1, 80), 1)  # with ties
    found = Unknown(one, other)
    pairs = [(a > b) + (a == b) / 2 for a in one for b in other]
    assert found.auroc == pytest.approx(np.mean(pairs))
    gains = [np.mean(one >= t) - np.mean(other >= t) for t in np.unique(one)]
    kept, passed = found.at(found.threshold)
    assert kept - passed == pytest.approx(max(gains))
    assert found.at(found.keeping(0.9))[0] >= 0.9
    assert found.at(found.keeping(0.9) + 1e-9)[0] < 0.9
    shares = [row[1:] for row in found.curve()]
    assert shares == sorted(shares, reverse=True)


def test_evaluate_beside_other_things(model: Model, photos: Path, tmp_path: Path) -> None:
    """A folder of the model's classes, one of other things, and what is written about both."""
    model.training = {"unknown": {"score": "energy"}}
    model_file.save(model, tmp_path / "m.safetensors")
    for name, files in {"known/a": ("cat", "china"), "known/b": ("coffee",), "other": ("rocket", "flower")}.items():
        (tmp_path / name).mkdir(parents=True)
        for file in files:
            (tmp_path / name / f"{file}.jpg").write_bytes((photos / f"{file}.jpg").read_bytes())
    named = replace(model, classes=["a", "b", "c", "d", "e"], labels=["a", "b", "c", "d", "e"])
    model_file.save(named, tmp_path / "m.safetensors")
    arguments: list[str | Path] = [tmp_path / "m.safetensors", tmp_path / "known", "--unknown", tmp_path / "other"]
    figures = json.loads(run("evaluate", *arguments, "--json", "--out", tmp_path / "out").stdout)["unknown"]
    classifier = Classifier(tmp_path / "m.safetensors")
    sure = {path.stem: classifier.predict(path).known for path in photos.glob("*.jpg")}
    expected = Unknown(
        np.array([sure["cat"], sure["china"], sure["coffee"]]), np.array([sure["flower"], sure["rocket"]])
    )
    assert figures == pytest.approx(expected.summary(), rel=1e-4)
    lines = (tmp_path / "out" / "unknown.csv").read_text().splitlines()
    assert lines[0] == "threshold,known_kept,unknown_let_through"
    assert lines[1].endswith(",100.00,100.00")
    assert (tmp_path / "out" / "unknown.png").exists()
    text = run("evaluate", *arguments).stdout
    assert f"2 pictures of other things: AUROC {expected.auroc:.3f}" in text


def test_predict_says_none_of_these(model_path: Path, photos: Path) -> None:
    arguments: list[str | Path] = ["predict", photos / "cat.jpg", "--model", model_path, "--json", "--top-k", "2"]
    row = json.loads(run(*arguments).stdout)
    assert row["known"] == pytest.approx(row["predictions"][0]["probability"])
    below, above = (
        json.loads(run(*arguments, "--unknown", str(row["known"] + shift)).stdout) for shift in (-0.01, 0.01)
    )
    assert [each["label"] for each in below["predictions"]] == [each["label"] for each in row["predictions"]]
    first, *rest = above["predictions"]
    assert (first["label"], first["class_index"]) == ("none of these", -1)
    assert first["probability"] == pytest.approx(1 - row["known"])
    assert rest == row["predictions"]
    assert run(*arguments, "--unknown", "1.5").exit_code == 2
