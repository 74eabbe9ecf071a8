"""What a run will do, decided before it starts: data, architecture, input size and recipe."""

from __future__ import annotations

import hashlib
import os
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shufflenet.models import embedded_models, load_model
from shufflenet.networks import families
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures import images
from shufflenet.pictures.dataset import Dataset, Split, open_dataset
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training.recipe import RECIPES, Recipe

DEFAULT_ARCH = "shufflenet_g3_x0_5"
_SMALL = 96  # pixels, up to which pictures keep their size and the stem its resolution
_PHOTO = Preprocessing(size=128, resize=144)  # for ordinary photos: a CPU trains on a few hundred in minutes
_SAMPLE = 50  # pictures looked at to tell which of the two the data are


class JobError(ValueError):
    """The choices contradict each other. The message says which."""


@dataclass(frozen=True)
class Job:
    """A training run that has not started."""

    dataset: Dataset
    arch: ShuffleNetV1
    preprocessing: Preprocessing
    recipe: Recipe
    start: Model | None  # what is fine-tuned
    teacher: str | None
    start_name: str = ""  # as it was given
    comparison: Graph | None = None  # a network that is trained in place of `arch`; it gives errors, no model file

    @property
    def steps_per_epoch(self) -> int:
        """Before broken pictures are left out; an incomplete last batch is dropped."""
        return max(1, len(self.dataset.train) // self.recipe.batch_size)

    def settings(self) -> dict[str, Any]:
        """All that decides the result, for JSON; two runs with equal settings give equal weights."""
        dataset = self.dataset
        settings = {
            "data": {"train": dataset.train.fingerprint(), "val": dataset.val.fingerprint()},
            "classes": _digest("\n".join(dataset.classes).encode("utf-8", "surrogateescape")),
            "arch": asdict(self.arch),
            "preprocessing": asdict(self.preprocessing),
            "recipe": asdict(self.recipe),
            "from": _weights_digest(self.start) if self.start else None,
            "teacher": _teacher_digest(self.teacher) if self.teacher else None,
        }
        if self.comparison is not None:
            sizes = self.comparison.sizes(self.preprocessing.size, self.preprocessing.size)
            operators = [(node.name, node.channels, node.tensor_shapes(), size) for node, size in sizes.items()]
            settings["comparison"] = _digest(repr(operators).encode())
        return settings

    def describe(self) -> str:
        """A few lines for people."""
        dataset, recipe, how = self.dataset, self.recipe, self.preprocessing
        sizes = sorted({recipe.input_size(epoch, how.size) for epoch in range(recipe.epochs)})
        peak = recipe.learning_rate * recipe.batch_size / 1024
        network = f"{self.arch.name}, stem stride {self.arch.stem_stride}"
        if self.comparison is not None:
            network = self.comparison.name
        lines = [
            f"data      {dataset.root}: {len(dataset.train):,} pictures to train on, {len(dataset.val):,} to validate, "
            f"{len(dataset.classes)} classes",
            f"network   {network}, input {how.size} x {how.size}"
            + (f" (trained at {' to '.join(map(str, sorted({sizes[0], sizes[-1]})))})" if sizes != [how.size] else ""),
            f"recipe    {recipe.name}: {_counted(recipe.epochs, 'epoch')} of {_counted(self.steps_per_epoch, 'step')}, "
            f"batch {recipe.batch_size}, learning rate {peak:.4g} falling to 0",
        ]
        if self.start is not None:
            kept = "all weights" if self._keeps_classifier() else "weights without the classifier"
            frozen = "" if recipe.freeze == "none" else f"; up to {recipe.freeze} they stay as they are"
            share = f"; in the result they count {recipe.start_share:.0%}" if recipe.start_share else ""
            lines.append(f"from      {self.start_name}: {kept}{frozen}{share}")
        if self.teacher is not None:
            lines.append(f"teacher   {self.teacher}")
        return "\n".join([lines[0], dataset.describe(), *lines[1:]])

    def _keeps_classifier(self) -> bool:
        return self.start is not None and self.start.classes == self.dataset.classes


def prepare(
    root: Path,
    recipe: Recipe | None = None,
    *,
    arch: str | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    val_fraction: float | None = None,
    start: str | None = None,
    teacher: str | None = None,
) -> Job:
    """Decides what was not given: from the data, or from the model that is fine-tuned.

    Args:
        recipe: default: "finetune" with ``start``, else "paper".
        size: of the input, pixels; default: the pictures' own up to 96, else 128, or what suits ``start``.
        batch_size: over all processes; default: the recipe's, or fewer for small data.
        start: name of a model that comes with the package, or a model file, to fine-tune.
        teacher: a model file or the name of a torchvision network.

    Raises:
        DataError, images.ImageError: the data can't be used.
        model_file.ModelFileError: ``start`` can't be used.
        ValueError: a choice that is out of range, or contradicts another.
    """
    dataset = open_dataset(root, val_fraction)
    recipe = recipe or RECIPES["finetune" if start else "paper"]
    model = load_model(start) if start else None
    if recipe.freeze != "none" and model is None:
        raise JobError("--freeze needs --from: there are no trained weights to keep")
    if recipe.start_share and (model is None or model.classes != dataset.classes):
        raise JobError("--start-share needs --from and a model of the same classes: only then are all weights its own")
    native = _native_side(dataset.train)
    preprocessing = _preprocessing(native, size, model)
    classes = len(dataset.classes)
    if model is None:
        stride = 1 if preprocessing.size <= _SMALL else 2
        named = families.architecture(arch or DEFAULT_ARCH, classes=classes, stem_stride=stride)
        if not isinstance(named, ShuffleNetV1):
            raise JobError(f"--arch {named.name}: not a ShuffleNet")
        architecture = named
    else:
        if not isinstance(model.graph.architecture, ShuffleNetV1):
            raise JobError(f"--from {start}: not a ShuffleNet")
        architecture = model.graph.architecture.with_classes(classes)
        if arch not in (None, architecture.name):
            raise JobError(f"--arch {arch} is not the architecture of --from, {architecture.name}: leave it out")
        preprocessing = replace(preprocessing, mean=model.preprocessing.mean, std=model.preprocessing.std)
    if batch_size is None:
        recipe = recipe.scaled_to(len(dataset.train))
    elif batch_size > len(dataset.train):
        raise JobError(f"a batch of {batch_size} is more than the {len(dataset.train)} pictures to train on")
    else:
        recipe = replace(recipe, batch_size=batch_size)
    return Job(dataset, architecture, preprocessing, recipe, model, teacher, start or "")


def _native_side(split: Split) -> int:
    """The median shorter side of some pictures; broken ones are found later."""
    sides = []
    for index in range(0, len(split), -(-len(split) // _SAMPLE)):
        try:
            sides.append(min(split.pictures[index].decode().size))
        except images.ImageError:
            continue
    return round(statistics.median(sides)) if sides else _PHOTO.size


def _preprocessing(native: int, size: int | None, start: Model | None) -> Preprocessing:
    if size is None:
        if native > _SMALL:
            if start is None:
                return _PHOTO
            # Photos show more than the small pictures of stem stride 1 do. On the flowers of the README a model of 64
            # pixels has a top-1 error of 24 % at 96, 21 % at 128 and 17 % at 160.
            size = start.preprocessing.size
            if isinstance(start.graph.architecture, ShuffleNetV1) and start.graph.architecture.stem_stride == 1:
                size = max(size, min(round(size * 2.5 / 16), native // 16) * 16)
            return Preprocessing(size=size, resize=round(size * 9 / 8))
        size = max(32, native // 16 * 16)
    # Section 4 crops 224 from 256; small pictures have no border to spare.
    resize = size if native < size * 1.1 else round(size * 8 / 7)
    return Preprocessing(size=size, resize=max(size, min(resize, native)))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def is_model(teacher: str) -> bool:
    """A model file or one that comes with the package, not torchvision's."""
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
