"""What a run would take: a few steps of it timed, nothing written."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import torch
from torch import nn

from shufflenet import images, pixels
from shufflenet.job import Job
from shufflenet.network import ShuffleNet
from shufflenet.progress import duration

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
    """Of all steps and of all passes over the validation pictures."""
    recipe, final = job.recipe, job.preprocessing.size
    network = ShuffleNet(job.arch).train()
    epochs = Counter(recipe.input_size(epoch, final) for epoch in range(recipe.epochs))
    target = torch.from_numpy(np.arange(recipe.batch_size) % job.arch.classes)
    train_s = validate_s = 0.0
    for size, count in epochs.items():
        x = torch.zeros(recipe.batch_size, 3, size, size)
        for step in range(_STEPS + 1):
            if step == 1:
                began = time.perf_counter()
            nn.functional.cross_entropy(network(x), target).backward()  # type: ignore[no-untyped-call]
        train_s += (time.perf_counter() - began) / _STEPS * job.steps_per_epoch * count
    with torch.inference_mode():
        network.eval()(x := torch.zeros(min(32, len(job.dataset.val)), 3, final, final))
        began = time.perf_counter()
        network(x)
        validate_s = (time.perf_counter() - began) / len(x) * len(job.dataset.val) * (recipe.epochs + 1)
    return train_s, validate_s
