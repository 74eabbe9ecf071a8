"""The choices of a run: what follows from the data, what options change, and what is refused, in one line."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")


import labelled_shapes
from shufflenet import model_file
from shufflenet.commands.train import train as train_command
from shufflenet.models import DEFAULT_MODEL, load_model
from shufflenet.networks.graph import Graph
from shufflenet.networks.module import Network, module_of
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import parallel, state, teacher
from shufflenet.training.job import Job, prepare
from shufflenet.training.recipe import RECIPES
from shufflenet.training.run_folder import RunFolder
from shufflenet.training.train import train
from training_runs import ARCH, QUICK, RUN, job, one_thread, refused, run

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_dry_run_writes_nothing(shapes: Path, tmp_path: Path) -> None:
    result = run(shapes, "--out", tmp_path / "run", "--arch", ARCH, "--dry-run")
    assert result.exit_code == 0
    assert "48 pictures to train on, 18 to validate, 3 classes" in result.stdout
    assert "paper: 240 epochs of 6 steps, batch 8, learning rate 0.003906" in result.stdout
    assert "time      about " in result.stdout
    assert not (tmp_path / "run").exists()


def test_dry_run_times_what_is_not_frozen(shapes: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []

    def network(graph: Graph) -> Network:
        timed.append(module_of(graph))
        return timed[-1]

    monkeypatch.setattr(state, "new_network", network)
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
    assert len(asked) == 4  # one step that is not timed, and three
    result = run(shapes, "--arch", ARCH, "--teacher", "resnet5000", "--dry-run")
    assert result.exit_code == 2
    assert "resnet5000: neither a model file nor a torchvision classifier" in result.stderr


def stem_stride(job: Job) -> int:
    assert job.graph.architecture is not None
    return job.graph.architecture.stem_stride


def test_choices_that_follow_from_the_data(shapes: Path, tmp_path: Path) -> None:
    small = prepare(shapes)
    assert (small.preprocessing.size, stem_stride(small), small.recipe.name) == (48, 1, "paper")
    assert "hint      48 pictures are few to train a network on from nothing; --from" in small.describe()
    photos = prepare(labelled_shapes.make(tmp_path / "photos", train=2, val=1, side=200))
    assert (photos.preprocessing, stem_stride(photos)) == (Preprocessing(size=128, resize=144), 2)
    fine = prepare(photos.dataset.root, start=DEFAULT_MODEL)
    assert (fine.preprocessing.size, fine.preprocessing.resize, fine.recipe.name) == (160, 180, "finetune")
    assert "hint" not in fine.describe()
    grey = load_model(DEFAULT_MODEL)
    grey.preprocessing = replace(grey.preprocessing, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    grey.self_test = []
    model_file.save(grey, tmp_path / "grey.safetensors")
    fine = prepare(shapes, start=str(tmp_path / "grey.safetensors"))
    assert (fine.preprocessing.mean, fine.preprocessing.std) == ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    for epochs, sizes in ((16, "32 to 40"), (1, "32")):
        quick = prepare(shapes, replace(RECIPES["short"], epochs=epochs))
        assert f"input 48 x 48 (trained at {sizes})" in quick.describe()


def test_options_arrive(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Job, dict[str, Any]]] = []

    def record(job: Job, out: Path, **options: Any) -> RunFolder:
        calls.append((job, options))
        return RunFolder(out)

    monkeypatch.setattr(sys.modules["shufflenet.training.train"], "train_job", record)
    recipe = ["--epochs", "3", "--batch-size", "4", "--learning-rate", "2", "--seed", "5", "--mixup", "0.3"]
    recipe += ["--cutmix", "0.7", "--amp", "--class-weights", "--rotate", "15", "--colour", "0.3"]
    others = ["--size", "32", "--val-fraction", "0.5", "--teacher", "resnet18", "--arch", ARCH]
    running = ["--workers", "2", "--checkpoint-minutes", "7", "--skip-broken", "--no-sync-bn", "--device", "cpu"]
    assert run(shapes / "train", "--out", tmp_path, *recipe, *others, *running).exit_code == 0
    ((taken, options),) = calls
    assert taken.recipe == replace(
        RECIPES["paper"], epochs=3, batch_size=4, learning_rate=2, seed=5, mixup=0.3, cutmix=0.7, bf16=True,
        class_weights=True, rotate=15, colour=0.3,
    )  # fmt: skip
    assert (len(taken.dataset.train), len(taken.dataset.val), taken.teacher) == (24, 24, "resnet18")
    assert (taken.graph.name, taken.preprocessing.size) == (ARCH, 32)
    command = options.pop("command")
    assert command.startswith("shufflenet train train ")
    assert options == {
        "workers": 2, "checkpoint_minutes": 7, "skip_broken": True, "sync_bn": False, "device": "cpu",
    }  # fmt: skip


def test_a_recipe_of_ones_own(shapes: Path, tmp_path: Path) -> None:
    shown = run("--show-recipe", "short")
    assert shown.exit_code == 0
    file = tmp_path / "mine.toml"
    file.write_text(shown.stdout.replace("epochs = 16 ", "epochs = 5 ").replace('"short"', '"mine"'), encoding="utf-8")
    result = run(shapes, "--arch", ARCH, "--recipe", file, "--dry-run")
    assert "recipe    mine: 5 epochs of" in result.stdout
    assert prepare(shapes, str(file), colour=0.5).recipe.colour == 0.5
    assert prepare(shapes, file).recipe.name == "mine"
    file.write_text("flips = true", encoding="utf-8")
    assert refused(run(shapes, "--recipe", file)) == f"{file}: a recipe has no field 'flips'; did you mean flip?"
    assert (
        "'long' is neither one of paper, short, finetune, quantize, nearest nor a file"
        in run(shapes, "--recipe", "long").stderr
    )
    assert str(tmp_path / "none.toml") in refused(run(shapes, "--recipe", tmp_path / "none.toml"))


def test_the_command_and_the_function_have_the_same_options() -> None:
    options = {parameter.name for parameter in train_command.params} - {"dry_run", "show_recipe"}
    assert options == inspect.signature(train).parameters.keys() - {"command"}


def test_from_python(unbroken: Path, shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same choices as `RUN` makes are the same run."""
    folder = train(
        str(shapes), out=str(unbroken), arch=ARCH, size=32, epochs=2, mixup=0.2, cutmix=1, learning_rate=4
    )  # fmt: skip
    assert folder.model == unbroken / "model.safetensors"
    assert capsys.readouterr().err == f"{unbroken}: this run is finished\n"
    with pytest.raises(ValueError, match="unknown recipe 'fast'; known are paper, short, finetune"):
        train(shapes, recipe="fast")


def test_the_device(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, refused where it is not there, and chosen by itself."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = run(shapes, "--out", tmp_path / "run", *RUN, "--epochs", "1", "--device", "cpu")
    assert "device    cpu: 1 threads" in done.stderr
    for name in ("cuda", "cuda:1"):
        message = refused(run(shapes, "--out", tmp_path / "other", *RUN, "--device", name))
        assert message == f"PyTorch finds no {name} here: leave --device out, or install a PyTorch that has it"
    for name in ("tpu", "cuda:x", "cpu:1"):
        message = refused(run(shapes, "--out", tmp_path / "other", *RUN, "--device", name))
        assert message == f"--device is cpu, cuda, cuda:NUMBER or mps, not {name}"
    assert not (tmp_path / "other").exists()
    assert parallel.device().type == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [str(parallel.device(name)) for name in (None, "cuda", "cuda:0", "cpu")] == [
        "cuda:1",
        "cuda:1",
        "cuda:0",
        "cpu",
    ]
    with pytest.raises(parallel.ParallelError, match="finds no cuda:2"):
        parallel.device("cuda:2")


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


def test_other_settings_are_refused(unbroken: Path, shapes: Path) -> None:
    result = run(shapes, "--out", unbroken, *RUN, "--seed", "1")
    assert result.exit_code == 2
    message = f"Error: {unbroken}: holds a run with other settings (--seed 0, now 1); choose another --out "
    message += f"(with --from {unbroken} to train its result further), "
    assert result.stderr.startswith(message)


def test_changed_data_is_refused(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(shapes, root)
    (root / "train" / "circle" / "000.png").unlink()
    assert "holds a run with other settings (other pictures)" in refused(run(root, "--out", unbroken, *RUN))


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--freeze", "stem"], "--freeze needs --from: there are no trained weights to keep"),
        (["--batch-size", "999"], "a batch of 999 is more than the 48 pictures to train on"),
        (["--from", "nothing.safetensors"], "nothing.safetensors: no such file"),
        (["--arch", "resnet50"], "unknown network 'resnet50'"),
        (["--checkpoint-minutes", "nan"], "checkpoint minutes must be 0 or more, not nan"),
    ],
)
def test_refused_choices(shapes: Path, tmp_path: Path, options: list[str], message: str) -> None:
    assert refused(run(shapes, "--out", tmp_path / "run", *options)).startswith(message)


def test_flips_and_crops_are_options(shapes: Path) -> None:
    recipe = prepare(shapes, "short", flip=False, vertical_flip=True, crop=0.7).recipe
    assert (recipe.flip, recipe.vertical_flip, recipe.min_crop_area) == (False, True, 0.7)
    usual = prepare(shapes, "short", flip=None, vertical_flip=False, crop=None).recipe
    assert (usual.flip, usual.vertical_flip, usual.min_crop_area) == (True, False, 0.35)
