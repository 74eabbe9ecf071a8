"""Small-scale errors: the networks, runs that are kept or continued, and means over seeds."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import labelled_shapes
from shufflenet.cli import commands
from shufflenet.networks.graph import Convolution, Graph
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.paper import cost, small_scale, tables, trained, training
from shufflenet.paper.trained import Run, Trained
from shufflenet.training import validate
from shufflenet.training.stop import Stopped

pytestmark = pytest.mark.slow

RECIPE = replace(small_scale.RECIPE, epochs=2)
PAIR = ("shufflenet_g3_x0_25_no_shuffle", "resnet_13m")
ALL_NETWORKS = sorted({name for names in small_scale.NETWORKS.values() for name in names})


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_shapes.make(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def kept(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of training `PAIR` with two seeds."""
    folder = tmp_path_factory.mktemp("results") / "paper"
    told: list[str] = []
    training.train_networks(PAIR, shapes, folder, told.append, RECIPE, seeds=(0, 1))
    assert [line.split(":")[0] for line in told] == [f"{name}, seed {seed}" for seed in (0, 1) for name in PAIR]
    return folder


def results(folder: Path) -> dict[tuple[str, int], float]:
    return {(run.network, run.seed): run.top1_error for run in trained.load(folder).runs}


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_networks_for_small_pictures(name: str) -> None:
    """A small-scale network is the named one with stride 1 in its first convolution."""
    network = small_scale.network(name, 1000)
    graph, original = network if isinstance(network, Graph) else network.graph(), cost.build(name)
    assert original is not None
    original = original if isinstance(original, Graph) else original.graph()
    assert [(n.name, n.channels, n.tensor_shapes()) for n in graph.nodes] == [
        (n.name, n.channels, n.tensor_shapes()) for n in original.nodes
    ]
    strides, originals = ([n.stride for n in g.nodes if isinstance(n, Convolution)] for g in (graph, original))
    assert (strides[0], originals[0]) == (1, 2)
    assert strides[1:] == originals[1:]
    assert len(graph.sizes(32, 32)) == len(graph.nodes)


def test_shuffles_train_fast() -> None:
    """Both networks are `ShuffleNetV1` records, which training runs on its kernels."""
    with_shuffle = small_scale.network("shufflenet_g8_x0_25", 9)
    without = small_scale.network("shufflenet_g8_x0_25_no_shuffle", 9)
    assert with_shuffle == ShuffleNetV1(8, 0.25, classes=9, stem_stride=1)
    assert without == ShuffleNetV1(8, 0.25, classes=9, stem_stride=1, shuffle=False)


def test_kept_results_say_how_they_came_about(kept: Path) -> None:
    document = json.loads((kept / "trained.json").read_text(encoding="utf-8"))
    settings = document["settings"]
    assert (settings["data"], settings["classes"], settings["train"]["pictures"]) == ("shapes", 3, 48)
    assert (settings["recipe"]["epochs"], settings["preprocessing"]["size"]) == (2, 32)
    for run in document["runs"]:
        assert run["processor"]
        assert run["versions"]["torch"] == torch.__version__
    assert not (kept / "cache").exists()


def test_kept_runs_are_not_repeated(kept: Path, shapes: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(kept, tmp_path / "copy")
    before = results(folder)
    for run in folder.glob("*-seed*"):
        shutil.rmtree(run)
    document = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
    del document["settings"]["recipe"]["start_share"]  # as written by a version without this field
    (folder / "trained.json").write_text(json.dumps(document), encoding="utf-8")
    told: list[str] = []
    training.train_networks(PAIR, shapes, folder, told.append, RECIPE, seeds=(0, 1))
    assert not told
    assert not list(folder.glob("*-seed*"))
    assert results(folder) == before


def test_a_run_that_ended_is_recorded(kept: Path, shapes: Path, tmp_path: Path) -> None:
    """A finished run whose result was not recorded, since the process was killed, is recorded without training anew."""
    folder = shutil.copytree(kept, tmp_path / "copy")
    before = results(folder)
    (folder / "trained.json").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*-seed*/result.json")}
    training.train_networks(PAIR, shapes, folder, print, RECIPE, seeds=(0, 1))
    assert results(folder) == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.parametrize("name", PAIR)
def test_a_stopped_run_goes_on(
    name: str, kept: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped after its first epoch and continued has the same error as an uninterrupted one."""

    def stop(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return monkeypatch_free(*arguments)

    monkeypatch_free = validate.errors
    with monkeypatch.context() as patch:
        patch.setattr(validate, "errors", stop)
        with pytest.raises(Stopped):
            training.train_networks([name], shapes, tmp_path, print, RECIPE, seeds=(0,))
    assert not trained.load(tmp_path).runs
    assert list((tmp_path / f"{name}-seed0").glob("checkpoint-*.pt"))
    training.train_networks([name], shapes, tmp_path, print, RECIPE, seeds=(0,))
    unbroken, other = (
        torch.load(next((folder / f"{name}-seed0").glob("checkpoint-12.pt")), weights_only=True)["network"]
        for folder in (kept, tmp_path)
    )
    assert all(torch.equal(tensor, other[key]) for key, tensor in unbroken.items())
    assert results(tmp_path)[name, 0] == results(kept)[name, 0]


def test_other_data_or_recipe_is_refused(kept: Path, shapes: Path, tmp_path: Path) -> None:
    other = labelled_shapes.make(tmp_path / "other", train=17)
    for data, recipe in ((other, RECIPE), (shapes, replace(RECIPE, epochs=3))):
        with pytest.raises(trained.ResultsError, match="holds results of other data or another recipe"):
            training.train_networks(PAIR, data, kept, print, recipe)


def test_command(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_scale, "NETWORKS", {3: ("shufflenet_g3_x0_25",)})
    monkeypatch.setattr(training.train_networks, "__defaults__", (replace(RECIPE, epochs=1), (0,)))
    arguments = ["paper", "table3", "--train", str(shapes), "--results", str(tmp_path), "--json"]
    result = CliRunner().invoke(commands, arguments)
    assert result.exit_code == 0, result.output
    assert "shufflenet_g3_x0_25, seed 0: top-1 error" in result.stderr
    row = next(row for row in json.loads(result.stdout)["rows"] if row["network"] == "shufflenet_g3_x0_25")
    assert row["with"] == results(tmp_path)["shufflenet_g3_x0_25", 0]
    assert row["gain"] is None

    result = CliRunner().invoke(commands, ["paper", "table3", "--train", str(tmp_path / "none")])
    assert result.exit_code == 2


def made_up() -> Trained:
    errors = {"shufflenet_g1_x0_25": (74.0, 75.0), "shufflenet_g8_x0_25": (70.0, 72.0), "resnet_13m": (80.0,)}
    errors["shufflenet_g8_x0_25_no_shuffle"] = (71.0, 74.0)
    runs = [Run(name, seed, e, 50.0, "p", {}) for name, values in errors.items() for seed, e in enumerate(values)]
    settings = {
        "data": "pictures", "classes": 200, "train": {"pictures": 100_000}, "val": {"pictures": 10_000},
        "preprocessing": {"size": 32}, "recipe": {"epochs": 6},
    }  # fmt: skip
    return Trained(settings, runs)


def test_means_and_gains() -> None:
    results = made_up()
    mean = results.mean("shufflenet_g8_x0_25")
    assert mean is not None
    assert (mean.error, mean.runs) == (71, 2)
    assert mean.deviation == pytest.approx(2**0.5)
    gain = results.mean_gain("shufflenet_g8_x0_25", "shufflenet_g8_x0_25_no_shuffle")
    assert gain is not None
    assert gain.error == 1.5
    assert gain.deviation == pytest.approx(0.5**0.5), "of the differences seed by seed"
    single = results.mean("resnet_13m")
    assert single is not None
    assert single.deviation is None
    assert results.mean("mobilenet_v1_x0_25") is None


def test_errors_stand_in_the_tables() -> None:
    def row(number: int, name: str) -> dict[str, Any]:
        return next(row for row in tables.TABLES[number](made_up()).rows if row["network"] == name)

    assert row(2, "shufflenet_g8_x0_25")["error"] == 71
    assert row(2, "shufflenet_g8_x0_25")["gain"] == 3.5
    assert "error" not in row(2, "shufflenet_g8_x1_0")
    assert (row(3, "shufflenet_g8_x0_25")["without"], row(3, "shufflenet_g8_x0_25")["with"]) == (72.5, 71)
    assert row(4, "xception_like_13m")["error"] == 74.5, "one group is the Xception-like network"
    notes = tables.table4(made_up()).notes
    assert "From the least error to the most, ours: shufflenet_g8_x0_25, xception_like_13m, resnet_13m." in notes
    assert "The same in the paper: shufflenet_g8_x0_25, xception_like_13m, resnet_13m." in notes
