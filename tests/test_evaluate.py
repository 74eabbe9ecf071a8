"""`shufflenet evaluate`: figures against plain counting, and the engine against PyTorch."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from shufflenet import cli, confusion, model_file
from shufflenet.evaluation import BINS, Evaluation, evaluate, mistaken, table, write
from shufflenet.networks.model import Model
from shufflenet.pictures.dataset import Picture, open_dataset
from shufflenet.pictures.held_out import record


@pytest.fixture
def root(tmp_path: Path, model: Model) -> Path:
    """40 pictures of noise in the folders of three of the model's five classes."""
    random = np.random.default_rng(1)
    for index in range(40):
        path = tmp_path / "data" / "val" / model.classes[(0, 1, 4)[index % 3]] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((60, 40), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "data"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["evaluate", *map(str, arguments)])


def counted(targets: list[int], top: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Evaluation:
    names = ["a", "b", "c"]
    pictures = [Picture(f"{i}.png", 1) for i in range(len(targets))]
    return Evaluation(names, names, pictures, np.array(targets), top, probabilities, probabilities[:, 0])


def test_figures_equal_plain_counting() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 200)  # no picture of class c
    logits = random.normal(size=(200, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    top = np.argsort(-logits, axis=1)[:, :2]
    result = counted(targets.tolist(), top, np.take_along_axis(probabilities, top, axis=1))
    wrong1 = sum(best[0] != target for best, target in zip(top, targets, strict=True))
    wrong2 = sum(target not in best for best, target in zip(top, targets, strict=True))
    assert result.top1_error == pytest.approx(100 * wrong1 / 200)
    assert result.top5_error == pytest.approx(100 * wrong2 / 200)
    error = 0.0
    for low in range(BINS):
        inside = [i for i in range(200) if low / BINS < result.top_probabilities[i, 0] <= (low + 1) / BINS]
        if inside:
            accuracy = np.mean([top[i, 0] == targets[i] for i in inside])
            error += len(inside) / 200 * abs(np.mean(result.top_probabilities[inside, 0]) - accuracy)
    assert result.calibration_error == pytest.approx(100 * error)
    rows = result.per_class()
    assert rows[2]["pictures"] == 0
    assert rows[2]["recall"] is None
    taken = [sum(t == 0 and best[0] == column for t, best in zip(targets, top, strict=True)) for column in range(3)]
    assert rows[0]["recall"] == pytest.approx(100 * taken[0] / sum(taken))
    assert rows[0]["times"] == max(taken[1:])


def test_engine_and_pytorch_agree(model_path: Path, root: Path) -> None:
    pytest.importorskip("torch")
    engine, pytorch = evaluate(model_path, root), evaluate(model_path, root, by="pytorch")
    assert len(engine.targets) == 40
    np.testing.assert_array_equal(engine.targets, pytorch.targets)
    np.testing.assert_array_equal(engine.top, pytorch.top)
    np.testing.assert_allclose(engine.top_probabilities, pytorch.top_probabilities, atol=1e-5)
    assert engine.summary()["top1_error"] == pytorch.summary()["top1_error"]
    assert 0 < engine.top1_error < 100


def test_pytorch_is_asked(model_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_class(model: Model) -> Any:
        return lambda x: np.eye(5, dtype=np.float32)[[4] * len(x)]

    monkeypatch.setattr("shufflenet.evaluation._pytorch", last_class)
    assert (evaluate(model_path, root, by="pytorch").top[:, 0] == 4).all()
    figures = json.loads(run(model_path, root, "--by", "pytorch", "--json").stdout)
    assert [row["recall"] for row in figures["classes"]] == [0, 0, None, None, 100]
    assert [row["precision"] for row in figures["classes"]] == [None, None, None, None, 100 * 13 / 40]
    assert {"pictures", "failed", "top1_error", "calibration_error", "calibration"} < set(figures)
    assert "top5_error" not in figures, "of five classes all are among the first five"


def test_mistakes_and_the_table_begin_with_the_worst(model_path: Path, root: Path) -> None:
    found = evaluate(model_path, root)
    sure = [prediction.probabilities[0] for _, prediction in mistaken(found)]
    assert len(sure) > 5
    assert sure == sorted(sure, reverse=True)
    rows = [row for row in found.per_class() if row["pictures"]]
    worst = min(rows, key=lambda row: row["recall"])
    assert table(found).splitlines()[1].startswith(worst["label"])
    assert table(found).count("classes of the model have no pictures here") == 1


def test_classes_go_by_folder_name_not_by_place(model: Model, root: Path, tmp_path: Path) -> None:
    before = evaluate(model, root)
    assert sorted(set(before.targets.tolist())) == [0, 1, 4]
    truth = {picture.name: int(target) for picture, target in zip(before.pictures, before.targets, strict=True)}
    model.labels = ["one", "two", "three", "four", "five"]  # texts, while classes name the folders
    again = evaluate(model, root)
    assert {p.name: int(t) for p, t in zip(again.pictures, again.targets, strict=True)} == truth
    assert again.per_class()[1]["label"] == "two"


def test_command_writes_a_report(model_path: Path, root: Path, tmp_path: Path) -> None:
    result = run(model_path, root, "--out", tmp_path / "report", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["pictures"] == 40
    out = tmp_path / "report"
    assert sorted(p.name for p in out.iterdir()) == ["classes.csv", "confusion.png", "evaluation.json", "mistakes.png"]
    assert json.loads((out / "evaluation.json").read_text()) == figures
    with (out / "classes.csv").open(newline="", encoding="utf-8") as file:
        assert [int(row["pictures"]) for row in csv.DictReader(file)] == [14, 13, 0, 0, 13]
    with Image.open(out / "mistakes.png") as sheet:
        assert sheet.width > 300


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(model_path: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (root / "val" / "wombat").mkdir()  # would be refused later
    result = run(model_path, root, "--out", tmp_path / "file" / "report")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {tmp_path}/file/report: Not a directory\n"


def test_command_prints_a_table(model_path: Path, root: Path) -> None:
    result = run(model_path, root)
    assert result.exit_code == 0
    error = evaluate(model_path, root).top1_error
    assert f"top-1 error        {error:6.2f} %" in result.stdout
    assert "tabby, tabby cat       14" in result.stdout


def test_the_part_that_training_split_off_is_measured(model: Model, root: Path, tmp_path: Path) -> None:
    for path in (root / "val").iterdir():
        path.rename(root / path.name)
    (root / "val").rmdir()
    for name in set(model.classes) - {path.name for path in root.iterdir()}:
        for index in range(2):
            (root / name).mkdir(exist_ok=True)
            Image.new("RGB", (40 + index, 40), (index, 0, 90)).save(root / name / f"{index}.png")
    model.classes = sorted(model.classes)
    model.training = {"split": record(open_dataset(root))}
    model_file.save(model, tmp_path / "trained.safetensors")
    result = run(tmp_path / "trained.safetensors", root)
    assert result.exit_code == 0, result.output
    assert "\n11 pictures of 5 classes, those that training split off for validation\n" in result.stdout
    assert "\n44 pictures of 5 classes\n" in run(tmp_path / "trained.safetensors", root, "--all").stdout


def test_labels_of_a_file_name_the_class_folders(model: Model, root: Path, tmp_path: Path) -> None:
    before = evaluate(model, root)
    file = tmp_path / "names.txt"
    file.write_text("".join(f"n{index}\tname {index}\n" for index in range(5)), "utf-8")
    for index, name in enumerate(model.classes):
        if (root / "val" / name).exists():
            (root / "val" / name).rename(root / "val" / f"n{index}")
    after = evaluate(model, root, labels=file)
    assert after.labels == [f"name {index}" for index in range(5)]
    assert sorted(after.targets.tolist()) == sorted(before.targets.tolist())
    assert model.labels != after.labels


def test_unknown_class_folder_is_refused(model_path: Path, root: Path) -> None:
    (root / "val" / "wombat").mkdir()
    result = run(model_path, root)
    assert result.exit_code == 2
    wrong = f"{root}/val/wombat: the model knows no class of this folder's name"
    assert re.fullmatch(rf"Error: {re.escape(wrong)}; it knows .+, \.\.\.\n", result.stderr)


def test_broken_picture_is_named_and_the_rest_measured(model_path: Path, root: Path) -> None:
    (root / "val" / "rock" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = run(model_path, root, "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{root}/val/rock/broken.jpg: ")
    assert len(result.stderr.splitlines()) == 1
    assert json.loads(result.stdout)["pictures"] == 40
    assert json.loads(result.stdout)["failed"] == 1


def test_no_readable_picture(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "d" / "rock" / "x.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert run(model_path, tmp_path / "d").exit_code == 2


def test_a_perfect_model_leaves_no_sheet_of_mistakes(root: Path, tmp_path: Path) -> None:
    top = np.array([[0], [1]])
    result = counted([0, 1], top, np.ones((2, 1)))
    write(result, tmp_path)
    assert not (tmp_path / "mistakes.png").exists()
    assert result.calibration_error == 0


@pytest.mark.parametrize("classes", [2, 30, 200])
def test_confusion_colours_follow_the_shares(tmp_path: Path, classes: int) -> None:
    matrix = np.eye(classes, dtype=np.int64) * 9
    matrix[0, 1], matrix[0, 0] = 9, 0
    confusion.draw(matrix, [f"c{i}" for i in range(classes)], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 16) or []}
    assert (38, 128, 96) in colours, "the diagonal"
    assert (178, 58, 46) in colours, "all of a row in a wrong column"
