"""`shufflenet info`, its model card, and `shufflenet models`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from shufflenet import cli, importers, model_file
from shufflenet.engine.engine import Engine
from shufflenet.models import embedded_models
from shufflenet.networks.model import Model


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, [str(argument) for argument in arguments])


@pytest.fixture
def path(model: Model, tmp_path: Path) -> Path:
    """A model file with all that one may say."""
    model.classes = ["a", "b", "c", "d", "e"]
    model.self_test = Engine(model).run(model_file.test_input(model.preprocessing)[None])[0].tolist()
    model.training = {
        "command": "shufflenet train pets",
        "data": "pets: 5 pictures | of 5",
        "recipe": {"name": "short"},
    }
    model.training |= {"versions": {"torch": "2.4"}, "unknown": {"score": "energy"}, "assumed": ["shuffle as ours"]}
    model.accuracy = {"data": "pets, 50 validation pictures", "top1_error": 12.5, "top5_error": 0.0}
    model.name = "pets"
    model_file.save(model, tmp_path / "pets.safetensors")
    return tmp_path / "pets.safetensors"


def test_info(path: Path, model: Model) -> None:
    text = run("info", path).stdout
    for words in (
        "shufflenet_g2_x0_25, 32 bits", "RGB, 32 x 32", "5: tabby, tabby cat; espresso", "top-1 12.50 % (pets, 50",
        "short", "shufflenet train pets", "torch 2.4", "predict --unknown 0.5", "passed", "shuffle as ours",
    ):  # fmt: skip
        assert words in text
    assert "top-5" not in text, "of five classes"
    about = json.loads(run("info", path, "--json").stdout)
    assert about["sha256"] == model_file.digest(model_file.load(path))
    assert about["labels"] == model.labels
    assert about["preprocessing"]["size"] == 32
    assert run("info", path.parent / "none.safetensors").exit_code == 2


def test_info_of_a_changed_file_is_refused(path: Path, model: Model) -> None:
    model.tensors["fc.bias"] = (model.tensors["fc.bias"] + np.arange(5)).astype(np.float32)
    model_file.save(model, path)
    result = run("info", path)
    assert (result.exit_code, "self-test" in result.stderr) == (2, True)


def test_card(path: Path, photos: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    for name, photo in (("a", "cat"), ("b", "china"), ("c", "coffee")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.jpg").write_bytes((photos / f"{photo}.jpg").read_bytes())
    assert run("info", path, "--card", tmp_path / "card").stdout == f"{tmp_path / 'card' / 'README.md'}\n"
    _, head, text = (tmp_path / "card" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    said = yaml.safe_load(head)
    assert (said["library_name"], said["pipeline_tag"]) == ("shufflenet", "image-classification")
    (result,) = said["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.875}]
    assert "# pets" in text
    assert r"pets: 5 pictures \| of 5" in text
    assert "mistakes.png" not in text
    run("info", path, "--card", tmp_path / "card", "--data", tmp_path / "data")
    text = (tmp_path / "card" / "README.md").read_text(encoding="utf-8")
    assert "(3 pictures)" in text
    assert "| tabby, tabby cat | 1 |" in text
    assert ("![mistakes](mistakes.png)" in text) == (tmp_path / "card" / "mistakes.png").exists()
    assert run("info", path, "--data", tmp_path / "data").exit_code == 2


def test_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "shufflenet" / "pytorchcv"
    kept.mkdir(parents=True)
    address = importers.SOURCES["pytorchcv"].networks["shufflenet_g8_w1"].address
    (kept / address.rpartition("/")[2]).touch()
    rows = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}
    assert set(embedded_models()) < set(rows)
    own, public = rows["shufflenet_g3_x0_5"], rows["pytorchcv:shufflenet_g3_w1"]
    assert (own["classes"], own["input"], own["top1_error"], own["where"]) == (200, 64, pytest.approx(48.64), "package")
    assert (public["classes"], public["top1_error"], public["licence"], public["where"]) == (
        1000,
        34.39,
        "MIT",
        "download",
    )
    assert public["macs"] == pytest.approx(137.5e6, rel=1e-2)
    assert rows["pytorchcv:shufflenet_g8_w1"]["where"] == "cache"
    assert own["hash"].startswith("sha256:")
    timed = json.loads(run("models", "--ms", "--json").stdout)
    assert [{key: row[key] for key in row if key != "ms"} for row in timed] == list(rows.values())
    assert all(0 < row["ms"] < 10_000 for row in timed)
    lines = run("models").stdout.splitlines()
    assert lines[0].split()[:3] == ["name", "where", "classes"]
    assert any(line.startswith("pytorchcv:shufflenet_g3_w1") and line.endswith("MIT") for line in lines)
