"""What a run will do, decided before it starts: data, architecture, input size and recipe."""

from __future__ import annotations

import hashlib
import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shufflenet.features import last_layer
from shufflenet.models import DEFAULT_MODEL, embedded_models, load_model
from shufflenet.networks import families
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import check_served
from shufflenet.pictures import images
from shufflenet.pictures.dataset import Dataset, Split, open_dataset
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training import recipe_file
from shufflenet.training.recipe import FREEZABLE, NEAREST, RECIPES, Recipe

DEFAULT_ARCH = "shufflenet_g3_x0_5"
_SMALL = 96  # pixels, up to which pictures keep their size and the stem its resolution
_PHOTO = Preprocessing(size=128, resize=144)  # for larger pictures: a CPU trains on a few hundred in minutes
_FEW = 500  # training pictures of each class, below which a trained network is the better start
_SAMPLE = 50  # pictures whose size tells which of the two the data are


class JobError(ValueError):
    """The choices contradict each other. The message says which."""


@dataclass(frozen=True)
class Job:
    """A training run that has not started.

    Args:
        graph: the network that is trained, with as many classes as the dataset.
        preprocessing: of the network when it is trained; some epochs may train on smaller inputs.
        start: the model that is fine-tuned; None: training starts from random weights.
        teacher: a model file, or the name of a torchvision network.
        start_name: how the user named ``start``.
        name: of the model; empty: the run folder's.
    """

    dataset: Dataset
    graph: Graph
    preprocessing: Preprocessing
    recipe: Recipe
    start: Model | None
    teacher: str | None
    start_name: str = ""
    name: str = ""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch, before broken pictures are left out; an incomplete last batch is dropped."""
        return max(1, len(self.dataset.train) // self.recipe.batch_size)

    def settings(self) -> dict[str, Any]:
        """All that decides the result, for JSON; two runs with equal settings give equal weights."""
        dataset = self.dataset
        return {
            "data": {"train": dataset.train.fingerprint(), "val": dataset.val.fingerprint()},
            "classes": _digest("\n".join(dataset.classes).encode("utf-8", "surrogateescape")),
            "arch": families.described(self.graph),
            "preprocessing": asdict(self.preprocessing),
            "recipe": asdict(self.recipe),
            "from": _weights_digest(self.start) if self.start else None,
            "teacher": _teacher_digest(self.teacher) if self.teacher else None,
        }

    def input_sizes(self) -> list[int]:
        """The sides of the inputs that the run trains on, in pixels, in ascending order."""
        epochs = range(self.recipe.epochs)
        return sorted({self.recipe.input_size(epoch, self.preprocessing.size) for epoch in epochs})

    def describe(self) -> str:
        """Data, network, recipe, start and teacher, a line each."""
        dataset, recipe, size = self.dataset, self.recipe, self.preprocessing.size
        sizes = self.input_sizes() or [size]
        peak = recipe.learning_rate * recipe.batch_size / 1024
        made_by = self.graph.architecture
        stem = f", stem stride {made_by.stem_stride}" if made_by is not None else ""
        lines = [
            f"data      {dataset.root}: {len(dataset.train):,} pictures to train on, {len(dataset.val):,} to validate, "
            f"{len(dataset.classes)} classes",
            f"network   {self.graph.name}{stem}, input {size} x {size}"
            + (
                f" (trained at {' to '.join(map(str, sorted({sizes[0], sizes[-1]})))})"
                if sizes != [size] and recipe.name != NEAREST
                else ""
            ),
            f"recipe    {recipe.name}: {_counted(recipe.epochs, 'epoch')} of {_counted(self.steps_per_epoch, 'step')}, "
            f"batch {recipe.batch_size}, learning rate {peak:.4g} falling to 0",
        ]
        if recipe.name == NEAREST:
            lines[-1] = "recipe    nearest: nothing is trained, the last layer is found in closed form"
        if recipe.epochs == 0:
            lines[-1] = f"recipe    {recipe.name}: only the last layer is trained; more with --epochs"
        if self.recipe.quantize:
            lines.append(f"from      {self.start_name}, in 8 bits")
        elif self.start is not None:
            kept = "all weights" if self._keeps_classifier() else "weights without the classifier"
            frozen = "" if recipe.freeze == "none" else f"; up to {recipe.freeze} they stay as they are"
            share = f"; in the result they count {recipe.start_share:.0%}" if recipe.start_share else ""
            lines.append(f"from      {self.start_name}: {kept}{frozen}{share}")
        if self.teacher is not None:
            lines.append(f"teacher   {self.teacher}")
        if self.start is None and len(dataset.train) < _FEW * len(dataset.classes):
            lines.append(
                f"hint      {len(dataset.train):,} pictures are few to train a network on from nothing; "
                f"--from {DEFAULT_MODEL} or --from pytorchcv:shufflenet_g3_w1 begins with what it has seen"
            )
        return "\n".join([lines[0], dataset.describe(), *lines[1:]])

    def _keeps_classifier(self) -> bool:
        return self.start is not None and self.start.classes == self.dataset.classes


def prepare(
    root: Path,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    *,
    arch: str | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    val_fraction: float | None = None,
    start: str | None = None,
    teacher: str | None = None,
    name: str | None = None,
    amp: bool = False,
    crop: float | None = None,
    **changes: Any,
) -> Job:
    """Decides what was not given: from the data, or from the model that is fine-tuned.

    Args:
        root: the data, see `open_dataset`; ``val_fraction`` goes there.
        recipe: a name of `RECIPES`, a TOML file, or one of your own; default: "finetune" with ``start``, else "paper".
            "nearest": nothing is trained, and ``start`` is by default the package's model.
        arch: name of the network, of any family; default: the one of ``start``, else shufflenet_g3_x0_5.
        size: side of the input, in pixels; default: the pictures' own up to 96, else 128, or what suits ``start``.
        batch_size: over all processes; default: the recipe's, or fewer for small data.
        start: a model that is fine-tuned: a name that comes with the package, or a model file.
        teacher: a model file or the name of a torchvision network.
        name: of the model; default: the run folder's.
        amp: matrix products in bfloat16.
        crop: the recipe's ``min_crop_area``, the smallest share of the picture in random crops.
        changes: fields of the recipe that are to be others; None, and False but for ``flip``: as the recipe has them.

    Raises:
        DataError, images.ImageError: the data can't be used.
        model_file.ModelFileError: ``start`` can't be used.
        ValueError: a choice that is out of range, or contradicts another.
    """
    if recipe == NEAREST:
        own: dict[str, Any] = {name: changes.pop(name) for name in ("flip", "seed") if name in changes}
        taken = {"arch": arch, "batch_size": batch_size, "teacher": teacher, "amp": amp, "crop": crop}
        recipe, changes, start = _nearest(taken | changes), own, start or DEFAULT_MODEL
    dataset = open_dataset(root, val_fraction)
    default = "quantize" if changes.get("quantize") else "finetune" if start else "paper"
    recipe = _recipe(recipe or default, {"bf16": amp, "min_crop_area": crop, **changes})
    model = load_model(start) if start else None
    if model is not None:
        model.require_float()
    if recipe.freeze != "none" and model is None:
        raise JobError("--freeze needs --from: there are no trained weights to keep")
    if recipe.start_share and (model is None or model.classes != dataset.classes):
        raise JobError("--start-share needs --from and a model of the same classes: only then are all weights its own")
    if recipe.quantize:
        _check_quantizing(recipe, model, dataset, size)
        teacher = teacher or (start if recipe.epochs else None)
    if recipe.epochs == 0:
        _check_last_layer(model, dataset, {"teacher": teacher, "amp": amp, "crop": crop, **changes})
    if recipe.quantize and model is not None:
        preprocessing = model.preprocessing
    else:
        preprocessing = _preprocessing(_native_side(dataset.train), size, model)
    if model is None:
        graph = _new_graph(arch or DEFAULT_ARCH, len(dataset.classes), preprocessing.size)
    else:
        if arch not in (None, model.graph.name):
            raise JobError(f"--arch {arch} is not the architecture of --from, {model.graph.name}: leave it out")
        graph = families.with_classes(model.graph, len(dataset.classes))
        preprocessing = replace(preprocessing, mean=model.preprocessing.mean, std=model.preprocessing.std)
    if recipe.freeze != "none" and not has_stages(graph):
        raise JobError(f"--freeze needs a network with stages 2 to 4, which {graph.name} does not have")
    if batch_size is None:
        recipe = recipe.scaled_to(len(dataset.train))
    elif batch_size > len(dataset.train):
        raise JobError(f"a batch of {batch_size} is more than the {len(dataset.train)} pictures to train on")
    else:
        recipe = replace(recipe, batch_size=batch_size)
    job = Job(dataset, graph, preprocessing, recipe, model, teacher, start or "", name or "")
    _check_input_sizes(job)
    return job


def _nearest(others: Mapping[str, Any]) -> Recipe:
    """The recipe of a run that trains nothing; ``others`` are choices that have no meaning there."""
    for option in _given(others):
        raise JobError(f"--recipe nearest trains nothing, so {option} has no meaning with it")
    return replace(RECIPES["finetune"], name=NEAREST)


def _check_quantizing(recipe: Recipe, model: Model | None, dataset: Dataset, size: int | None) -> None:
    """Raises ValueError if a run in 8 bits can't start from ``model``, or has options that contradict it."""
    if model is None:
        raise JobError("--quantize needs --from: a trained float model")
    check_served(model.graph)
    if model.classes != dataset.classes:
        raise JobError("--quantize needs a model of the same classes as DATA: fine-tune it on them first")
    if size not in (None, model.preprocessing.size):
        raise JobError(f"--quantize keeps the model's input size, {model.preprocessing.size}: leave --size out")
    for option in _given({"freeze": recipe.freeze != "none", "start_share": recipe.start_share, "amp": recipe.bf16}):
        raise JobError(f"{option} does not go with --quantize: leave it out")


def _check_last_layer(model: Model | None, dataset: Dataset, others: Mapping[str, Any]) -> None:
    """Raises ValueError if the last layer of ``model`` can't be trained alone; ``others``: choices that were made."""
    if model is None or model.classes != dataset.classes:
        raise JobError(
            "--epochs 0 trains the last layer alone, which needs --from and a model of the same classes; "
            "a last layer for other classes is what --recipe nearest finds"
        )
    if last_layer(model.graph) is None:
        raise JobError(f"{model.graph.name} does not end with a fully connected layer: give --epochs 1 or more")
    meant = {"epochs", "quantize", "seed", "class_weights"}
    for option in _given({name: value for name, value in others.items() if name not in meant}):
        raise JobError(f"--epochs 0 trains the last layer alone: leave {option} out")


def _given(choices: Mapping[str, Any]) -> list[str]:
    """The options of the choices that were made."""
    return [f"--{name.replace('_', '-')}" for name, value in choices.items() if value not in (None, False)]


def _recipe(recipe: Recipe | str | os.PathLike[str], changes: dict[str, Any]) -> Recipe:
    if not isinstance(recipe, Recipe):
        recipe = os.fspath(recipe)
        if recipe not in RECIPES and not recipe.endswith(".toml"):
            raise ValueError(f"unknown recipe {recipe!r}; known are {', '.join(RECIPES)}, or a file that ends in .toml")
        recipe = RECIPES[recipe] if recipe in RECIPES else recipe_file.read(recipe)
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None and value is not False}
    if changes.get("flip") is False:  # the one that recipes switch on
        given["flip"] = False
    return replace(recipe, **given)


def has_stages(graph: Graph) -> bool:
    """Whether the network has ShuffleNet's parts: those that `Recipe.freeze` names."""
    tensors = graph.tensor_shapes()
    return all(any(name.startswith(f"{stage}.") for name in tensors) for stage in FREEZABLE[2:])


def _new_graph(name: str, classes: int, size: int) -> Graph:
    """The network of this name; for small pictures its first convolution keeps their resolution."""
    architecture = families.architecture(name, classes=classes)
    if size <= _SMALL and 1 in architecture.stem_strides:
        architecture = replace(architecture, stem_stride=1)
    return architecture.graph()


def _check_input_sizes(job: Job) -> None:
    for size in {*job.input_sizes(), job.preprocessing.size}:
        try:
            job.graph.sizes(size, size)
        except ValueError as error:
            smaller = f", at which a run with --size {job.preprocessing.size} begins" * (size < job.preprocessing.size)
            raise JobError(f"{error}{smaller}: give a larger --size") from None


def _native_side(split: Split) -> int:
    """The median of some pictures' shorter sides, in pixels; broken pictures are found later."""
    sides = []
    for index in range(0, len(split), -(-len(split) // _SAMPLE)):
        try:
            sides.append(min(split.pictures[index].decode().size))
        except images.ImageError:
            continue
    return round(statistics.median(sides)) if sides else _PHOTO.size


def _preprocessing(native: int, size: int | None, start: Model | None) -> Preprocessing:
    """How pictures with a shorter side of ``native`` pixels become inputs."""
    if size is None:
        if native > _SMALL:
            if start is None:
                return _PHOTO
            # Photos show more than the small pictures of stem stride 1 do. On the flowers of the README a model of 64
            # pixels has a top-1 error of 24 % at 96, 21 % at 128 and 17 % at 160.
            size = start.preprocessing.size
            if start.graph.architecture is not None and start.graph.architecture.stem_stride == 1:
                size = max(size, min(round(size * 2.5 / 16), native // 16) * 16)
            return Preprocessing(size=size, resize=round(size * 9 / 8))
        size = max(32, native // 16 * 16)
    # Section 4 crops 224 from 256; small pictures have no border to spare.
    resize = size if native < size * 1.1 else round(size * 8 / 7)
    return Preprocessing(size=size, resize=max(size, min(resize, native)))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def is_model(teacher: str) -> bool:
    """Whether ``teacher`` is a model file or a model that comes with the package; if not, it is torchvision's."""
    return teacher.endswith(".safetensors") or os.path.exists(teacher) or teacher in embedded_models()


def _teacher_digest(teacher: str) -> str:
    return f"{teacher} {_weights_digest(load_model(teacher))}" if is_model(teacher) else teacher


def _weights_digest(model: Model) -> str:
    return _digest(*(model.tensors[name].tobytes() for name in sorted(model.tensors)))


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
