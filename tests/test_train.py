"""Training: it learns, stops and goes on bit for bit, runs on two processes, and refuses in one line."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")
import torch

import labelled_shapes
from shufflenet import cli, model_file
from shufflenet.evaluation import evaluate
from shufflenet.models import DEFAULT_MODEL, load_model
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_with_weights
from shufflenet.networks.network import ShuffleNet
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import augment, dry_run, teacher, training_data, validate
from shufflenet.training.job import Job, prepare
from shufflenet.training.recipe import RECIPES, Recipe
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.state import State, take_weights
from shufflenet.training.stop import Stopped
from shufflenet.training.train import _Run, train_job

pytestmark = pytest.mark.slow

ARCH = "shufflenet_g2_x0_25"
QUICK = Recipe("quick", epochs=2, warmup_epochs=1, ema_epochs=0.5, learning_rate=4, mixup=0.2, cutmix=1)
RUN = ["--arch", ARCH, "--size", "32", "--epochs", "2", "--mixup", "0.2", "--cutmix", "1", "--learning-rate", "4"]
COMMAND = [sys.executable, "-m", "shufflenet", "train"]
# One thread: with more the two processes of a test, and other tests, would wait for each other.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_shapes.make(tmp_path_factory.mktemp("data") / "shapes")


def job(root: Path, recipe: Recipe = QUICK, **options: Any) -> Job:
    return prepare(root, recipe, **{"arch": ARCH, "size": 32, **options})


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.commands, ["train", *map(str, arguments)])


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return model_file.load(path / "model.safetensors").tensors


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_weights(a: Path, b: Path) -> None:
    ours, theirs = weights(a), weights(b)
    for name, tensor in ours.items():
        assert tensor.tobytes() == theirs[name].tobytes(), name


@pytest.fixture(scope="module")
def unbroken(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a run that was left alone."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    result = run(shapes, "--out", out, *RUN)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out / 'model.safetensors'}\n"
    return out


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


def test_a_stop_while_the_teacher_gets_ready_loses_nothing(
    unbroken: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is at the first step of an input size. The run ends behind the step, and goes on to the same weights."""
    recipe = replace(QUICK, progressive=(0.7, 1.0))
    taught = job(shapes, recipe, size=48, teacher=str(unbroken / "model.safetensors"))
    train_job(taught, tmp_path / "whole")
    estimate, calls = validate.estimate_batch_norm, []

    def stop_at_the_second(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        estimate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(teacher, "estimate_batch_norm", stop_at_the_second)
        with pytest.raises(Stopped):
            train_job(taught, tmp_path / "stopped")
    assert RunFolder(tmp_path / "stopped").newest_checkpoint() is not None
    train_job(taught, tmp_path / "stopped")
    whole, stopped = (weights(tmp_path / name) for name in ("whole", "stopped"))
    assert all(np.array_equal(whole[name], tensor) for name, tensor in stopped.items())


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


def test_a_finished_run_is_not_repeated(unbroken: Path, shapes: Path) -> None:
    before = (unbroken / "model.safetensors").stat().st_mtime_ns
    result = run(shapes, "--out", unbroken, *RUN)
    assert result.exit_code == 0
    assert "this run is finished" in result.stderr
    assert (unbroken / "model.safetensors").stat().st_mtime_ns == before


def test_other_settings_are_refused(unbroken: Path, shapes: Path) -> None:
    result = run(shapes, "--out", unbroken, *RUN, "--seed", "1")
    assert result.exit_code == 2
    message = f"Error: {unbroken}: holds a run with other settings (--seed 0, now 1); choose another --out, "
    assert result.stderr.startswith(message)


def test_a_run_of_an_earlier_version_goes_on(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    """Whose recipe lacks what is new since then, and is as by default."""
    folder = shutil.copytree(unbroken, tmp_path / "copy")
    written = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    del written["settings"]["recipe"]["start_share"]
    (folder / "recipe.json").write_text(json.dumps(written), encoding="utf-8")
    assert run(shapes, "--out", folder, *RUN).exit_code == 0
    result = run(shapes, "--out", folder, *RUN, "--recipe", "finetune")
    assert "holds a run with other settings (--recipe " in result.stderr


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
    matrices = [p for p in ShuffleNet(chosen.arch).parameters() if p.ndim > 1]
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
    assert calls == [(8, 32, 32 / 37)] * 12, "six batches at the epoch's end, six for the result"


def test_it_learns(tmp_path: Path) -> None:
    shapes = labelled_shapes.make(tmp_path / "shapes", train=32, val=10)
    recipe = replace(RECIPES["short"], epochs=5, learning_rate=6, progressive=(1.0,), min_crop_area=0.7)
    train_job(job(shapes, recipe), tmp_path / "run")
    errors = [float(row["top1_error"]) for row in rows(tmp_path / "run")]
    assert model_file.load(tmp_path / "run" / "model.safetensors").accuracy["top1_error"] <= 20, errors  # chance: 67


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_stop_at_an_epochs_end_is_made_up_for(
    unbroken: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    estimate, calls = validate.estimate_batch_norm, []

    def stop(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == epoch:
            signal.raise_signal(signal.SIGTERM)
        estimate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(validate, "estimate_batch_norm", stop)
        assert run(shapes, "--out", tmp_path, *RUN).exit_code == 128 + signal.SIGTERM
    assert len(rows(tmp_path)) == epoch - 1 if epoch > 1 else not (tmp_path / "metrics.csv").exists()
    assert run(shapes, "--out", tmp_path, *RUN).exit_code == 0
    assert_same_weights(tmp_path, unbroken)
    times = {"images_per_s", "seconds"}
    for ours, theirs in zip(rows(tmp_path), rows(unbroken), strict=True):
        assert {k: v for k, v in ours.items() if k not in times} == {k: v for k, v in theirs.items() if k not in times}
    assert "this run is finished" in run(shapes, "--out", tmp_path, *RUN).stderr


def test_a_stop_says_from_where_it_goes_on(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = RunFolder.save_checkpoint

    def full(folder: RunFolder, step: int, state: dict[str, Any]) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        if step >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(folder, step, state)

    monkeypatch.setattr(RunFolder, "save_checkpoint", full)
    result = run(shapes, "--out", tmp_path, *RUN, "--checkpoint-minutes", "0")
    assert result.exit_code == 128 + signal.SIGTERM
    *_, failed, last = result.stderr.splitlines()
    assert failed == f"{tmp_path}: checkpoint not written (No space left on device); the last one is kept"
    assert last == "stopped after step 4; the same command goes on from step 2, the last one saved"


def test_a_stop_before_the_first_checkpoint_says_so(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: _Run, *arguments: object) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(_Run, "_train", stop)
    result = run(shapes, "--out", tmp_path, *RUN)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].startswith("stopped before the first checkpoint")


@pytest.mark.parametrize("workers", [0, 3])
def test_workers_change_nothing(shapes: Path, tmp_path: Path, unbroken: Path, workers: int) -> None:
    assert run(shapes, "--out", tmp_path, *RUN, "--workers", str(workers)).exit_code == 0
    assert_same_weights(tmp_path, unbroken)


class Processes:
    """`shufflenet train` in one process, or in two with the environment that torchrun gives them."""

    def __init__(self, count: int, *arguments: str | Path) -> None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
        self.all = [
            subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                env=ENVIRONMENT | (shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for rank in range(count)
        ]

    def wait_for_step(self, out: Path, step: int) -> None:
        deadline = time.monotonic() + 120
        while not any(int(path.stem.split("-")[1]) >= step for path in out.glob("checkpoint-*.pt")):
            for process in self.all:
                assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def send(self, number: int) -> None:
        for process in self.all:
            process.send_signal(number)

    def end(self, code: int) -> tuple[str, str]:
        """What all of them wrote to stdout and stderr, once they have ended with ``code``."""
        outputs = [process.communicate(timeout=200) for process in self.all]
        stdout, stderr = (b"".join(streams).decode() for streams in zip(*outputs, strict=True))
        assert [process.returncode for process in self.all] == [code] * len(self.all), stderr
        return stdout, stderr


@pytest.fixture(scope="module")
def two_unbroken(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `unbroken`, on two processes."""
    out = tmp_path_factory.mktemp("runs") / "two"
    stdout, _ = Processes(2, shapes, "--out", out, *RUN).end(0)
    assert stdout.splitlines() == [str(out / "model.safetensors")]
    return out


def test_two_processes_have_the_losses_of_one(unbroken: Path, two_unbroken: Path) -> None:
    for two, one in zip(rows(two_unbroken), rows(unbroken), strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=2e-5)
        assert (two["top1_error"], two["top5_error"]) == (one["top1_error"], one["top5_error"])


def test_two_processes_without_our_kernels(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    """What is partly frozen is trained by PyTorch, and with two processes by a batch norm over both."""
    options: list[str | Path] = ["--from", unbroken / "model.safetensors", "--freeze", "stem", "--size", "32"]
    options += ["--epochs", "2"]
    assert run(shapes, "--out", tmp_path / "one", *options).exit_code == 0
    Processes(2, shapes, "--out", tmp_path / "two", *options).end(0)
    for two, one in zip(rows(tmp_path / "two"), rows(tmp_path / "one"), strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)
        assert two["top1_error"] == one["top1_error"]


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_stopped_runs_go_on_bit_for_bit(
    shapes: Path, tmp_path: Path, unbroken: Path, two_unbroken: Path, processes: int
) -> None:
    """SIGKILL, then SIGTERM or Ctrl-C, then the rest with other workers: the weights are those of an unbroken run."""
    out = tmp_path / "stopped"
    arguments: list[str | Path] = [shapes, "--out", out, *RUN, "--checkpoint-minutes", "0"]

    killed = Processes(processes, *arguments)
    killed.wait_for_step(out, random.randint(1, 4))
    killed.send(signal.SIGKILL)
    killed.end(-signal.SIGKILL)
    assert not (out / "model.safetensors").exists()

    stopped = Processes(processes, *arguments)
    stopped.wait_for_step(out, random.randint(6, 9))
    gently = signal.SIGTERM if processes == 1 else signal.SIGINT
    stopped.send(gently)
    stdout, stderr = stopped.end(128 + gently)
    assert stdout == ""
    assert "the same command goes on from there" in stderr.splitlines()[-1]
    assert len(list(out.glob("checkpoint-*.pt"))) == 2, "the newest two are kept"

    stdout, stderr = Processes(processes, *arguments, "--workers", "2").end(0)
    assert stdout.splitlines() == [str(out / "model.safetensors")]
    assert "going on after step" in stderr
    unbroken = unbroken if processes == 1 else two_unbroken
    assert_same_weights(out, unbroken)
    for ours, theirs in zip(rows(out), rows(unbroken), strict=True):
        assert ours["loss"] == theirs["loss"]
    assert not list(out.glob(".*.tmp"))


def test_the_others_say_when_one_process_is_killed(shapes: Path, tmp_path: Path) -> None:
    arguments: list[str | Path] = [shapes, "--out", tmp_path, *RUN, "--epochs", "99", "--checkpoint-minutes", "0"]
    two = Processes(2, *arguments)
    two.wait_for_step(tmp_path, 2)
    two.all[1].kill()
    _, stderr = two.all[0].communicate(timeout=60)
    assert two.all[0].returncode == 2
    assert stderr.decode().splitlines()[-1].startswith("Error: another process of this run has ended")
    two.all[1].communicate()


# Ways to train


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
    result = run(root, "--out", tmp_path / "run", *RUN)
    assert result.exit_code == 0, result.output
    trained = model_file.load(tmp_path / "run" / "model.safetensors")
    assert trained.classes == labelled_shapes.CLASSES
    pictures = {"zip": 48, "shards": 48, "one folder": 39}[kind]  # a fifth for validation
    assert trained.training["data"].endswith(f"{pictures} pictures of 3 classes")


def test_fine_tuning_keeps_what_is_frozen(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    other = tmp_path / "pets"
    shutil.copytree(shapes, other)
    for split in ("train", "val"):
        (other / split / "circle").rename(other / split / "wheel")
    (other / "classes.tsv").write_text("wheel\ta round one\nsquare\tsquare\ntriangle\ttriangle\n")
    options: list[str | Path] = [
        "--from",
        unbroken / "model.safetensors",
        "--freeze",
        "stage3",
        "--size",
        "32",
        "--epochs",
        "1",
    ]
    result = run(other, "--out", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    before, after = weights(unbroken), weights(tmp_path / "run")
    for name in before:
        same = np.array_equal(before[name], after[name])
        if name.startswith(("conv1", "bn1", "stage2", "stage3")):
            assert same, name
        elif before[name].ndim > 1:
            assert not same, name
    tuned = model_file.load(tmp_path / "run" / "model.safetensors")
    assert tuned.classes == ["square", "triangle", "wheel"]
    assert tuned.labels == ["square", "triangle", "a round one"]
    assert tuned.training["recipe"]["name"] == "finetune"
    assert tuned.training["from"] == ARCH


def test_fine_tuning_keeps_the_classifier_of_the_same_classes(unbroken: Path, shapes: Path) -> None:
    same = prepare(shapes, QUICK, start=str(unbroken / "model.safetensors"), size=32)
    assert "all weights" in same.describe()
    network = ShuffleNet(same.arch)
    assert same.start is not None
    take_weights(network, same.start, same.dataset.classes)
    assert np.array_equal(network.fc.weight.detach().numpy(), weights(unbroken)["fc.weight"])


def test_the_start_has_its_share_of_the_result(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--from", unbroken / "model.safetensors", "--size", "32", "--epochs", "1"]
    assert run(shapes, "--out", tmp_path / "none", *options).exit_code == 0
    assert run(shapes, "--out", tmp_path / "some", *options, "--start-share", "0.25").exit_code == 0
    start, end, mixed = weights(unbroken), weights(tmp_path / "none"), weights(tmp_path / "some")
    for name in ("conv1.weight", "bn1.bias", "fc.weight"):
        assert not np.allclose(start[name], end[name], rtol=1e-3, atol=1e-4)
        rounding = 1e-3 if name == "fc.weight" else 1e-5  # of half precision
        np.testing.assert_allclose(mixed[name], 0.25 * start[name] + 0.75 * end[name], rtol=rounding, atol=1e-6)
    (shapes_without_one := tmp_path / "two").mkdir()
    for split in ("train", "val"):
        shutil.copytree(shapes / split, shapes_without_one / split, ignore=shutil.ignore_patterns("circle"))
    message = refused(run(shapes_without_one, "--out", tmp_path / "other", *options, "--start-share", "0.25"))
    assert message.startswith("--start-share needs --from and a model of the same classes")
    assert refused(run(shapes, "--out", tmp_path / "other", "--start-share", "0.25")) == message


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


def test_a_teacher_is_learned_from(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    """With all weight on the teacher the student's answers come nearer to the teacher's."""
    recipe = replace(QUICK, epochs=8, mixup=0, cutmix=0, teacher_weight=1.0, learning_rate=8)
    name = str(unbroken / "model.safetensors")
    train_job(job(shapes, recipe, teacher=name), tmp_path / "taught")
    losses = [float(row["loss"]) for row in rows(tmp_path / "taught")]
    assert losses[-1] < losses[0] / 2
    assert model_file.load(tmp_path / "taught" / "model.safetensors").training["teacher"] == "model.safetensors"


def test_a_wrong_teacher_is_told_before_pictures_are_decoded(shapes: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, teacher_weight=1.0)
    with pytest.raises(teacher.TeacherError, match="bogus"):
        train_job(job(shapes, recipe, teacher="bogus"), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"recipe.json", "run.lock"}


def some_inputs(size: int) -> list[torch.Tensor]:
    return list(torch.randn(3, 8, 3, size, size, generator=torch.Generator().manual_seed(size)))


def fitted_answer(model: Model, x: torch.Tensor, inputs: list[torch.Tensor]) -> torch.Tensor:
    network = module_with_weights(model).train()
    validate.estimate_batch_norm(network, inputs)
    with torch.inference_mode():
        return network.eval()(x)  # type: ignore[no-any-return]


def test_teacher_answers_in_the_order_of_the_students_classes(unbroken: Path) -> None:
    """With batch norm's statistics of inputs as training shows them."""
    name, device = str(unbroken / "model.safetensors"), torch.device("cpu")
    model = model_file.load(Path(name))
    how, names = model.preprocessing, ["triangle", "circle"]
    x = torch.from_numpy(model_file.test_input(how))[None]
    expected = fitted_answer(model, x, some_inputs(how.size))
    assert not np.allclose(expected.numpy(), model.self_test, atol=1e-2)
    ask = teacher.load(name, names, names, how, device, some_inputs)
    np.testing.assert_allclose(ask(x).numpy(), expected[:, [2, 0]].numpy(), atol=1e-4)
    other = replace(how, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (how.mean, how.std))
    ask = teacher.load(
        name, ["circle"], ["circle"], other, device, lambda size: [b * std + mean for b in some_inputs(size)]
    )
    plain = torch.from_numpy(model_file.test_input(other))[None]
    np.testing.assert_allclose(ask(plain).numpy(), expected[:, :1].numpy(), atol=1e-4)


def test_teacher_sees_things_at_its_own_scale(unbroken: Path, tmp_path: Path) -> None:
    """A student that trains on smaller inputs than its final ones asks about an input as much smaller."""
    own = Preprocessing(size=48, resize=54)
    model = replace(model_file.load(unbroken / "model.safetensors"), preprocessing=own, self_test=[])
    model_file.save(model, tmp_path / "teacher.safetensors")
    name, names, device = str(tmp_path / "teacher.safetensors"), model.classes, torch.device("cpu")
    student = replace(own, size=4 * own.size, resize=4 * own.resize)
    ask = teacher.load(name, names, names, student, device, some_inputs)

    def scaled(x: torch.Tensor, size: int) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)

    for size, seen in ((192, 48), (144, 36), (96, 32)):  # no input may be smaller than 32
        x = torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(1))
        expected = fitted_answer(model, scaled(x, seen), [scaled(b, seen) for b in some_inputs(size)])
        np.testing.assert_allclose(ask(x).numpy(), expected.numpy(), atol=1e-4)


def test_a_teacher_from_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision.models")
    weights_of = models.get_model_weights("squeezenet1_1").DEFAULT
    cached = tmp_path / "hub" / "checkpoints" / weights_of.url.rsplit("/")[-1]
    cached.parent.mkdir(parents=True)
    network = models.squeezenet1_1().eval()
    torch.save(network.state_dict(), cached)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    how, device = Preprocessing(size=224, resize=256), torch.device("cpu")
    ask = teacher.load(
        "squeezenet1_1", ["n02", "n01"], ["goldfish, Carassius auratus", "tench"], how, device, some_inputs
    )
    x = torch.from_numpy(model_file.test_input(how))[None]
    with torch.inference_mode():
        torch.testing.assert_close(ask(x), network(x)[:, [1, 0]])
    with pytest.raises(teacher.TeacherError, match="squeezenet1_1: knows no class 'wombats'"):
        teacher.load("squeezenet1_1", ["w"], ["wombats"], how, device, some_inputs)
    dogs = ["Cardigan, Cardigan Welsh corgi", "cardigan"]  # two classes, of which one is a garment
    with torch.inference_mode():
        ask = teacher.load("squeezenet1_1", ["n1", "n2"], dogs, how, device, some_inputs)
        torch.testing.assert_close(ask(x), network(x)[:, [264, 474]])
    with pytest.raises(teacher.TeacherError, match="one class for two of the data, 'tench' and 'Tench, small'"):
        teacher.load("squeezenet1_1", ["a", "b"], ["tench", "Tench, small"], how, device, some_inputs)
    with pytest.raises(teacher.TeacherError, match="neither a model file nor a torchvision classifier"):
        teacher.load("resnet5000", ["w"], ["w"], how, device, some_inputs)


def test_dry_run_writes_nothing(shapes: Path, tmp_path: Path) -> None:
    result = run(shapes, "--out", tmp_path / "run", "--arch", ARCH, "--dry-run")
    assert result.exit_code == 0
    assert "48 pictures to train on, 18 to validate, 3 classes" in result.stdout
    assert "paper: 240 epochs of 6 steps, batch 8, learning rate 0.003906" in result.stdout
    assert "time      about " in result.stdout
    assert not (tmp_path / "run").exists()


def test_dry_run_times_what_is_not_frozen(shapes: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []

    def network(*arguments: Any) -> ShuffleNet:
        timed.append(ShuffleNet(*arguments))
        return timed[-1]

    monkeypatch.setattr(dry_run, "ShuffleNet", network)
    options: list[str | Path] = [
        "--from",
        unbroken / "model.safetensors",
        "--freeze",
        "stage2",
        "--epochs",
        "1",
        "--dry-run",
    ]
    assert run(shapes, *options).exit_code == 0
    (one,) = timed
    still = {name for name, tensor in one.named_parameters() if tensor.grad is None}
    assert still == {name for name, _ in one.named_parameters() if name.startswith(("conv1", "bn1", "stage2"))}


def test_dry_run_asks_the_teacher(shapes: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, load = [], teacher.load

    def counting(*arguments: Any) -> teacher.Teacher:
        answer = load(*arguments)
        return lambda x: asked.append(x.shape[2]) or answer(x)  # type: ignore[func-returns-value]

    monkeypatch.setattr(teacher, "load", counting)
    result = run(shapes, "--arch", ARCH, "--teacher", unbroken / "model.safetensors", "--epochs", "1", "--dry-run")
    assert result.exit_code == 0
    assert len(asked) == 3  # one step that is not timed, and two
    result = run(shapes, "--arch", ARCH, "--teacher", "resnet5000", "--dry-run")
    assert result.exit_code == 2
    assert "resnet5000: neither a model file nor a torchvision classifier" in result.stderr


def test_choices_that_follow_from_the_data(shapes: Path, tmp_path: Path) -> None:
    small = prepare(shapes)
    assert (small.preprocessing.size, small.arch.stem_stride, small.recipe.name) == (48, 1, "paper")
    photos = prepare(labelled_shapes.make(tmp_path / "photos", train=2, val=1, side=200))
    assert (photos.preprocessing, photos.arch.stem_stride) == (Preprocessing(size=128, resize=144), 2)
    fine = prepare(photos.dataset.root, start=DEFAULT_MODEL)
    assert (fine.preprocessing.size, fine.preprocessing.resize, fine.recipe.name) == (160, 180, "finetune")
    grey = load_model(DEFAULT_MODEL)
    grey.preprocessing = replace(grey.preprocessing, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    grey.self_test = []
    model_file.save(grey, tmp_path / "grey.safetensors")
    fine = prepare(shapes, start=str(tmp_path / "grey.safetensors"))
    assert (fine.preprocessing.mean, fine.preprocessing.std) == ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    for epochs, sizes in ((16, "32 to 40"), (1, "32")):
        quick = prepare(shapes, replace(RECIPES["short"], epochs=epochs))
        assert f"input 48 x 48 (trained at {sizes})" in quick.describe()


# What is refused, in one line


def refused(result: Result, code: int = 2) -> str:
    assert result.exit_code == code, result.output
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def test_options_arrive(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Job, dict[str, Any]]] = []

    def record(job: Job, out: Path, **how: Any) -> RunFolder:
        calls.append((job, how))
        return RunFolder(out)

    monkeypatch.setattr(sys.modules["shufflenet.training.train"], "train_job", record)
    recipe = ["--epochs", "3", "--batch-size", "4", "--learning-rate", "2", "--seed", "5", "--mixup", "0.3"]
    recipe += ["--cutmix", "0.7", "--amp", "--class-weights"]
    others = ["--size", "32", "--val-fraction", "0.5", "--teacher", "resnet18", "--arch", ARCH]
    how = ["--workers", "2", "--checkpoint-minutes", "7", "--skip-broken", "--no-sync-bn"]
    assert run(shapes / "train", "--out", tmp_path, *recipe, *others, *how).exit_code == 0
    ((taken, options),) = calls
    assert taken.recipe == replace(
        RECIPES["paper"], epochs=3, batch_size=4, learning_rate=2, seed=5, mixup=0.3, cutmix=0.7, bf16=True,
        class_weights=True,
    )  # fmt: skip
    assert (len(taken.dataset.train), len(taken.dataset.val), taken.teacher) == (24, 24, "resnet18")
    assert (taken.arch.name, taken.preprocessing.size) == (ARCH, 32)
    command = options.pop("command")
    assert command.startswith("shufflenet train train ")
    assert options == {"workers": 2, "checkpoint_minutes": 7, "skip_broken": True, "sync_bn": False}


def test_settings_tell_runs_apart(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    """All that a stopped run must not go on with if it has changed."""
    moved, trained = tmp_path / "moved", str(unbroken / "model.safetensors")
    shutil.copytree(shapes, moved)
    (moved / "train" / "circle" / "000.png").rename(moved / "train" / "square" / "x.png")
    (moved / "train" / "square" / "000.png").rename(moved / "train" / "circle" / "000.png")
    (moved / "train" / "square" / "x.png").rename(moved / "train" / "square" / "000.png")
    other = model_file.load(Path(trained))
    other.tensors["fc.bias"] = other.tensors["fc.bias"] + 1
    other.self_test = []
    model_file.save(other, tmp_path / "model.safetensors")
    variants = [
        job(shapes),
        job(shapes, size=48),
        job(shapes, arch="shufflenet_g1_x0_25"),
        job(shapes, start=trained),
        job(shapes, start=str(tmp_path / "model.safetensors")),
        job(shapes, teacher=trained),
        job(shapes, teacher="resnet18"),
        job(shapes, replace(QUICK, seed=1)),
        job(moved),
    ]
    # Pictures of the same length that change places are not told apart: names, lengths and classes are.
    sizes = [path.stat().st_size for path in (shapes / "train").glob("*/000.png")]
    assert len({json.dumps(one.settings()) for one in variants}) == len(variants) - (len(set(sizes[:2])) == 1)
    assert job(shapes).settings() == job(shapes).settings()
    same_name = tmp_path / "same" / "model.safetensors"
    same_name.parent.mkdir()
    shutil.copy(trained, same_name)
    before = job(shapes, teacher=str(same_name)).settings()
    shutil.copy(tmp_path / "model.safetensors", same_name)
    assert job(shapes, teacher=str(same_name)).settings() != before


def test_broken_pictures(shapes: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "pets", tmp_path / "run"
    shutil.copytree(shapes, root)
    (root / "train" / "circle" / "003.png").write_bytes(b"not a picture")
    (root / "train" / "square" / "zero.png").write_bytes(b"")
    line = refused(run(root, "--out", out, *RUN))
    assert line == (
        "2 of the 49 train pictures can't be read; repair or remove them, or leave them out with --skip-broken"
    )
    result = run(root, "--out", out, *RUN, "--skip-broken")
    assert result.exit_code == 0, result.output
    assert f"{root}/train/circle/003.png: " in result.stderr
    assert f"{root}/train/square/zero.png: " in result.stderr
    assert "2 broken train pictures left out" in result.stderr
    assert "47 pictures of 3 classes" in model_file.load(out / "model.safetensors").training["data"]


def test_broken_pictures_can_be_repaired_or_removed(shapes: Path, tmp_path: Path) -> None:
    """And the command given again: nothing was trained that other data would not go with."""
    root, out = tmp_path / "pets", tmp_path / "run"
    shutil.copytree(shapes, root)
    picture, other = root / "train" / "circle" / "003.png", root / "train" / "square" / "zero.png"
    content = picture.read_bytes()
    picture.write_bytes(b"?" * len(content))
    other.write_bytes(b"?" * len(content))
    assert refused(run(root, "--out", out, *RUN)).startswith("2 of the 49 train pictures can't be read")
    picture.write_bytes(content)
    assert refused(run(root, "--out", out, *RUN)).startswith("1 of the 49 train pictures can't be read")
    other.unlink()
    result = run(root, "--out", out, *RUN)
    assert result.exit_code == 0, result.output


def test_a_run_folder_among_the_classes_is_refused(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shapes / "train")
    assert (
        refused(run(".", *RUN)) == "runs/train: would be one of the class folders in .; give another place with --out"
    )
    assert not Path("runs").exists()


def test_a_class_of_broken_pictures(shapes: Path, tmp_path: Path) -> None:
    root = tmp_path / "pets"
    shutil.copytree(shapes, root)
    for path in (root / "val" / "circle").iterdir():
        path.write_bytes(b"broken")
    line = refused(run(root, "--out", tmp_path / "run", *RUN, "--skip-broken"))
    assert line == f"{root}: no val picture of class 'circle' is left"


def test_run_folder_in_use(shapes: Path, tmp_path: Path) -> None:
    with RunFolder(tmp_path).lock():
        line = refused(run(shapes, "--out", tmp_path, *RUN))
    assert line == f"{tmp_path}: another process is training in this folder"


def test_no_write_permission(shapes: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("root may write anywhere")
    line = refused(run(shapes, "--out", locked / "run", *RUN))
    assert line == f"{locked}/run: can't be written to (Permission denied)"


def test_run_folder_that_can_not_be_made(shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(run(shapes, "--out", tmp_path / "file" / "run", *RUN))
    assert line == f"{tmp_path}/file/run: can't be written to (Not a directory)"


def test_full_disk(shapes: Path, tmp_path: Path, unbroken: Path) -> None:
    """No file may grow beyond 100 kB: pictures stay in memory, checkpoints fail, the run's result is refused."""
    out = tmp_path / "run"
    arguments = ["train", str(shapes), "--out", str(out), *RUN, "--checkpoint-minutes", "0"]
    code = (
        "import resource, sys; from shufflenet import cli; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); cli.main()"
    )
    full = subprocess.run([sys.executable, "-c", code, *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert full.returncode == 1
    lines = full.stderr.splitlines()
    assert f"{out}: checkpoint not written (File too large); training goes on, the last one is kept" in lines
    assert lines[-1].startswith("Error: ")
    assert lines[-1].endswith(
        "model.safetensors: not written (File too large); make room and give the same command again"
    )
    assert "Traceback" not in full.stderr
    assert not list(out.glob(".*.tmp"))
    assert run(shapes, "--out", out, *RUN).exit_code == 0, "with room it goes on"
    assert_same_weights(out, unbroken)


def test_a_cut_checkpoint_is_passed_over(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    (out / "model.safetensors").unlink()
    whole = next(out.glob("checkpoint-*.pt"))
    (out / "checkpoint-999.pt").write_bytes(whole.read_bytes()[:5000])
    result = run(shapes, "--out", out, *RUN)
    assert result.exit_code == 0, result.output
    assert f"{out}/checkpoint-999.pt: left out, it can't be read" in result.stderr
    assert_same_weights(out, unbroken)
    for path in out.glob("checkpoint-*.pt"):
        path.write_bytes(b"junk")
    assert "none of its checkpoints can be read" in refused(run(shapes, "--out", out, *RUN))


def test_changed_data_is_refused(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(shapes, root)
    (root / "train" / "circle" / "000.png").unlink()
    assert "holds a run with other settings (other pictures)" in refused(run(root, "--out", unbroken, *RUN))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--freeze", "stem"], "--freeze needs --from: there are no trained weights to keep"),
        (["--batch-size", "999"], "a batch of 999 is more than the 48 pictures to train on"),
        (["--from", "nothing.safetensors"], "nothing.safetensors: no such file"),
        (["--arch", "resnet50"], "unknown architecture 'resnet50'"),
        (["--checkpoint-minutes", "nan"], "checkpoint minutes must be 0 or more, not nan"),
    ],
)
def test_refused_choices(shapes: Path, tmp_path: Path, options: list[str], message: str) -> None:
    assert refused(run(shapes, "--out", tmp_path / "run", *options)).startswith(message)


def test_a_run_that_can_not_go_on_has_failed(shapes: Path, tmp_path: Path) -> None:
    """Unlike one that can't start, which ends with 2."""
    result = run(shapes, "--out", tmp_path / "run", "--arch", ARCH, "--learning-rate", "1000", "--epochs", "9")
    assert result.exit_code == 1
    assert "Error: the loss is nan at step" in result.stderr
