"""A teacher whose answers a network learns from (distillation, 1503.02531): a model file, or a torchvision network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from shufflenet.engine.plan import SMALLEST_SIDE
from shufflenet.models import load_model
from shufflenet.networks.model import Model
from shufflenet.networks.module import module_with_weights
from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training.job import Job, is_model
from shufflenet.training.on_engine import answers
from shufflenet.training.validate import estimate_batch_norm

Teacher = Callable[[Tensor], Tensor]
Inputs = Callable[[int], Iterable[Tensor]]


class TeacherError(ValueError):
    """The teacher can't be used. The message names it and says why."""


def of(job: Job, device: torch.device, inputs: Inputs) -> Teacher | None:
    """The teacher of the job, as `load` gives it; None: it has none."""
    if job.teacher is None:
        return None
    # A network in 8 bits has its batch norm folded, with statistics of whole pictures: so has its teacher.
    seen = None if job.recipe.quantize else inputs
    return load(job.teacher, job.dataset.classes, job.dataset.labels, job.preprocessing, device, seen)


def load(
    name: str,
    classes: list[str],
    labels: list[str],
    preprocessing: Preprocessing,
    device: torch.device,
    inputs: Inputs | None,
) -> Teacher:
    """A function of the student's input, float32 [N, 3, S, S], that gives logits [N, classes] in the student's order.

    In training S can be less than the student's final size. The input of a model file's network is then as much less
    than its own, since it was trained so, too; torchvision's networks always get inputs of their own size.

    Classes are matched by folder name or label; for torchvision's networks, whose classes have one word, also by
    the first word of a label.

    Args:
        name: of a model file, or of a torchvision network.
        classes: the student's class folders; ``labels`` are their texts.
        preprocessing: the student's.
        inputs: gives some batches of input size S, whose statistics a model file's batch norm takes; None: it keeps its
            own.

    Raises:
        TeacherError: no such teacher, torchvision or its weights are missing, or a class the teacher does not know.
        ModelFileError: the model file can't be used.
        ValueError: the model is in 8 bits.
    """
    model, network = None, None
    if is_model(name):
        model = load_model(name)
        model.require_float()
        own, known = model.preprocessing, [model.classes, model.labels]
    else:
        network, own, categories = _from_torchvision(name)
        network, known = network.eval().requires_grad_(False).to(device), [categories]
    index = torch.tensor(_match(name, classes, labels, known), device=device)
    student, teacher = (
        [torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (p.mean, p.std)]
        for p in (preprocessing, own)
    )

    def as_own(x: Tensor) -> Tensor:
        if (preprocessing.mean, preprocessing.std) != (own.mean, own.std):
            x = (x * student[1] + student[0] - teacher[0]) / teacher[1]
        size = own.size if model is None else max(SMALLEST_SIDE, round(x.shape[2] * own.size / preprocessing.size))
        if x.shape[2] != size:
            x = nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        return x

    @cache
    def network_for(size: int) -> Teacher:
        if model is None:
            return cast(Teacher, network)
        return _answers(model, None if inputs is None else map(as_own, inputs(size)), device)

    @torch.no_grad()
    def answer(x: Tensor) -> Tensor:
        return network_for(x.shape[2])(as_own(x))[:, index]

    return answer


def _answers(model: Model, inputs: Iterable[Tensor] | None, device: torch.device) -> Teacher:
    """What the network says, with batch norm's statistics of ``inputs`` in the place of its own, of whole pictures."""
    network = module_with_weights(model).to(device)
    if inputs is not None:
        with torch.autocast(device.type, enabled=False):
            estimate_batch_norm(network.train(), inputs)
    return answers(network)


def _from_torchvision(name: str) -> tuple[nn.Module, Preprocessing, list[str]]:
    try:
        from torchvision import models
    except ModuleNotFoundError:
        raise TeacherError(
            f"{name}: no such model file; a network of torchvision needs pip install torchvision"
        ) from None
    if name not in models.list_models(module=models):
        raise TeacherError(f"{name}: neither a model file nor a torchvision classifier (such as resnet50)")
    weights = models.get_model_weights(name).DEFAULT
    try:
        network: nn.Module = models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:
        raise TeacherError(f"{name}: torchvision's weights can't be loaded ({str(error).splitlines()[0]})") from None
    transforms = weights.transforms()
    preprocessing = Preprocessing(
        size=transforms.crop_size[0],
        resize=max(transforms.crop_size[0], transforms.resize_size[0]),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
    return network, preprocessing, list(weights.meta["categories"])


def _match(name: str, classes: list[str], labels: list[str], known: list[list[str]]) -> list[int]:
    """The index in the teacher of each of the student's classes; case counts where names differ in nothing else."""
    tables = [(key, _places(known, key)) for key in (str, str.lower)]
    found: dict[int, str] = {}
    for folder, label in zip(classes, labels, strict=True):
        texts = (folder, label, *label.split(", "))
        index = next((table[key(text)] for key, table in tables for text in texts if key(text) in table), None)
        if index is None:
            raise TeacherError(f"{name}: knows no class {label!r}, which the data has: such a teacher can't be asked")
        if index in found:
            raise TeacherError(f"{name}: has one class for two of the data, {found[index]!r} and {label!r}")
        found[index] = label
    return list(found)


def _places(known: list[list[str]], key: Callable[[str], str]) -> dict[str, int]:
    """The index of each name that stands for one class only; a folder's name goes before the same label of another."""
    places: dict[str, int] = {}
    for names in reversed(known):
        keys = [key(text) for text in names]
        counts = Counter(keys)
        places.update({text: index for index, text in enumerate(keys) if counts[text] == 1})
    return places
