"""What a run would take: a few steps of it timed, nothing written."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from shufflenet import images, pixels, teacher
from shufflenet.job import Job
from shufflenet.network import ShuffleNet
from shufflenet.on_engine import on_engine
from shufflenet.progress import duration
from shufflenet.train import EPOCH_PICTURES

_STEPS = 2  # timed at every input size, after one that is not
_PICTURES = 20  # decoded


def estimate(job: Job) -> str:
    """`Job.describe` and the estimated time, for people; takes seconds."""
    decode_s = _decode_s(job)
    train_s, validate_s = _train_s(job)
    total_s = decode_s + train_s + validate_s
    return (
        f"{job.describe()}\ntime      about {duration(total_s)} on this machine: decoding {duration(decode_s)}, "
        f"training {duration(train_s)}, validation {duration(validate_s)}"
    )


def _decode_s(job: Job) -> float:
    fit = pixels.fit_for_training(round(job.preprocessing.size * 1.25))
    split = job.dataset.train
    chosen = split.pictures[:: -(-len(split) // _PICTURES)]
    began = time.perf_counter()
    for picture in chosen:
        try:
            fit.decode(picture)
        except images.ImageError:
            continue
    each = (time.perf_counter() - began) / len(chosen)
    return each * (len(split) + len(job.dataset.val)) / torch.get_num_threads()


def _train_s(job: Job) -> tuple[float, float]:
    """Of all steps, and of all epochs' ends."""
    recipe, how = job.recipe, job.preprocessing
    network = ShuffleNet(job.arch).train()
    ask = _teacher(job)
    epochs = Counter(recipe.input_size(epoch, how.size) for epoch in range(recipe.epochs))
    target = torch.from_numpy(np.arange(recipe.batch_size) % job.arch.classes)
    train_s = 0.0
    for size, count in epochs.items():
        x = torch.zeros(recipe.batch_size, 3, size, size)
        for step in range(_STEPS + 1):
            if step == 1:
                began = time.perf_counter()
            nn.functional.cross_entropy(network(x), target).backward()  # type: ignore[no-untyped-call]
            if ask is not None:
                ask(x)
        train_s += (time.perf_counter() - began) / _STEPS * job.steps_per_epoch * count
    x = torch.zeros(recipe.batch_size, 3, how.size, how.size)
    began = time.perf_counter()
    with torch.no_grad():
        network(x)
    statistics_s = (time.perf_counter() - began) * max(1, min(EPOCH_PICTURES, len(job.dataset.train)) // len(x))
    answer = on_engine(network)
    answer(x)
    began = time.perf_counter()
    answer(x)
    answers_s = (time.perf_counter() - began) / len(x) * len(job.dataset.val)
    return train_s, (statistics_s + answers_s) * (recipe.epochs + 1)


def _teacher(job: Job) -> teacher.Teacher | None:
    if job.teacher is None:
        return None
    classes, labels = job.dataset.classes, job.dataset.labels

    def inputs(size: int) -> list[Tensor]:
        return [torch.zeros(job.recipe.batch_size, 3, size, size)]

    return teacher.load(job.teacher, classes, labels, job.preprocessing, torch.device("cpu"), inputs)
