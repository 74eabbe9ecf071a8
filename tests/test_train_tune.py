"""Training from a model: fine-tuning keeps its weights, a teacher gives its answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from shufflenet import model_file
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_of, module_with_weights
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import teacher, validate
from shufflenet.training.job import prepare
from shufflenet.training.state import take_weights
from shufflenet.training.train import train_job
from training_runs import (
    ARCH,
    QUICK,
    job,
    one_thread,
    refused,
    rows,
    run,
    weights,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


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
    network = module_of(same.graph)
    assert same.start is not None
    take_weights(network, same.start, same.dataset.classes)
    assert np.array_equal(network.get_parameter("fc.weight").detach().numpy(), weights(unbroken)["fc.weight"])


def test_the_start_has_its_share_of_the_result(unbroken: Path, shapes: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["--from", unbroken / "model.safetensors", "--size", "32", "--epochs", "1"]
    assert run(shapes, "--out", tmp_path / "none", *options).exit_code == 0
    assert run(shapes, "--out", tmp_path / "some", *options, "--start-share", "0.25").exit_code == 0
    start, end, mixed = weights(unbroken), weights(tmp_path / "none"), weights(tmp_path / "some")
    for name in ("conv1.weight", "bn1.bias"):  # the classifier is calibrated afterwards
        assert not np.allclose(start[name], end[name], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(mixed[name], 0.25 * start[name] + 0.75 * end[name], rtol=1e-5, atol=1e-6)
    (shapes_without_one := tmp_path / "two").mkdir()
    for split in ("train", "val"):
        shutil.copytree(shapes / split, shapes_without_one / split, ignore=shutil.ignore_patterns("circle"))
    message = refused(run(shapes_without_one, "--out", tmp_path / "other", *options, "--start-share", "0.25"))
    assert message.startswith("--start-share needs --from and a model of the same classes")
    assert refused(run(shapes, "--out", tmp_path / "other", "--start-share", "0.25")) == message


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
    preprocessing, names = model.preprocessing, ["triangle", "circle"]
    x = torch.from_numpy(model_file.test_input(preprocessing))[None]
    expected = fitted_answer(model, x, some_inputs(preprocessing.size))
    assert not np.allclose(expected.numpy(), model.self_test, atol=1e-2)
    ask = teacher.load(name, names, names, preprocessing, device, some_inputs)
    np.testing.assert_allclose(ask(x).numpy(), expected[:, [2, 0]].numpy(), atol=1e-4)
    other = replace(preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
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
    preprocessing, device = Preprocessing(size=224, resize=256), torch.device("cpu")
    ask = teacher.load(
        "squeezenet1_1", ["n02", "n01"], ["goldfish, Carassius auratus", "tench"], preprocessing, device, some_inputs
    )
    x = torch.from_numpy(model_file.test_input(preprocessing))[None]
    with torch.inference_mode():
        torch.testing.assert_close(ask(x), network(x)[:, [1, 0]])
    with pytest.raises(teacher.TeacherError, match="squeezenet1_1: knows no class 'wombats'"):
        teacher.load("squeezenet1_1", ["w"], ["wombats"], preprocessing, device, some_inputs)
    dogs = ["Cardigan, Cardigan Welsh corgi", "cardigan"]  # two classes, of which one is a garment
    with torch.inference_mode():
        ask = teacher.load("squeezenet1_1", ["n1", "n2"], dogs, preprocessing, device, some_inputs)
        torch.testing.assert_close(ask(x), network(x)[:, [264, 474]])
    with pytest.raises(teacher.TeacherError, match="one class for two of the data, 'tench' and 'Tench, small'"):
        teacher.load("squeezenet1_1", ["a", "b"], ["tench", "Tench, small"], preprocessing, device, some_inputs)
    with pytest.raises(teacher.TeacherError, match="neither a model file nor a torchvision classifier"):
        teacher.load("resnet5000", ["w"], ["w"], preprocessing, device, some_inputs)
