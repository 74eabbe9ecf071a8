"""How long a run would take on a CPU: a few steps are timed, and nothing is written.

Only torchvision, asked for a teacher, keeps its weights.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from shufflenet.pictures import images
from shufflenet.quantization.calibration import LEAST_PICTURES
from shufflenet.quantization.trainable import Trainable
from shufflenet.training import pixels, teacher
from shufflenet.training.calibrated import MOST_PICTURES
from shufflenet.training.job import Job
from shufflenet.training.on_engine import on_engine
from shufflenet.training.planar import by_kernels
from shufflenet.training.progress import duration
from shufflenet.training.recipe import NEAREST
from shufflenet.training.state import first_network, freeze, set_training
from shufflenet.training.train import EPOCH_PICTURES
from shufflenet.training.training_data import TRAIN_MARGIN

_STEPS = 3  # timed; the fastest counts, since other programs may be busy meanwhile
_PICTURES = 20  # decoded


def estimate(job: Job) -> str:
    """`Job.describe` and the time that the run would take, as text; takes seconds itself."""
    if job.recipe.name == NEAREST:
        return f"{job.describe()}\ntime      seconds: each picture is looked at once"
    network = first_network(job, LEAST_PICTURES)
    freeze(network, job.recipe.freeze)
    set_training(network, job.recipe.freeze)
    decode_s, train_s, validate_s = _decode_s(job), _train_s(job, network), _validate_s(job, network)
    total_s = decode_s + train_s + validate_s
    return (
        f"{job.describe()}\ntime      about {duration(total_s)} on this machine: decoding {duration(decode_s)}, "
        f"training {duration(train_s)}, validation {duration(validate_s)}"
    )


def _decode_s(job: Job) -> float:
    """Seconds for decoding all pictures."""
    fit = pixels.fit_for_training(round(job.preprocessing.size * TRAIN_MARGIN))
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


def _train_s(job: Job, network: Trainable) -> float:
    """Seconds for all steps, without making batches, which other threads do."""
    recipe, seconds = job.recipe, 0.0
    forward = by_kernels(network)
    ask = teacher.of(job, torch.device("cpu"), lambda size: [torch.zeros(recipe.batch_size, 3, size, size)])
    epochs = Counter(recipe.input_size(epoch, job.preprocessing.size) for epoch in range(recipe.epochs))
    target = torch.from_numpy(np.arange(recipe.batch_size) % job.graph.classes)
    for size, count in epochs.items():
        x = torch.zeros(recipe.batch_size, 3, size, size)

        def step(x: Tensor = x) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                logits = forward(x).float()
            nn.functional.cross_entropy(logits, target).backward()  # type: ignore[no-untyped-call]
            if ask is not None:
                ask(x)

        seconds += _fastest_s(step) * job.steps_per_epoch * count
    return seconds


def _fastest_s(step: Callable[[], object]) -> float:
    """Seconds of the fastest of a few steps; one more goes before them."""
    step()
    seconds = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


@torch.no_grad()
def _validate_s(job: Job, network: Trainable) -> float:
    """Seconds for the end of each epoch and of the run: batch norm's statistics, and the validation pictures."""
    recipe, size = job.recipe, job.preprocessing.size
    x = torch.zeros(recipe.batch_size, 3, size, size)
    answer, forward = on_engine(network), by_kernels(network)
    pass_s = _fastest_s(lambda: forward(x))
    answer_s = _fastest_s(lambda: answer(x)) / len(x)
    answers_s, last_layer_s = answer_s * len(job.dataset.val), answer_s * min(MOST_PICTURES, len(job.dataset.train))

    def statistics_s(pictures: int) -> float:
        return pass_s * max(1, min(pictures, len(job.dataset.train)) // len(x))

    each = statistics_s(EPOCH_PICTURES) + answers_s
    last = statistics_s(recipe.batch_norm_pictures) if recipe.epochs else 0.0
    return each * recipe.epochs + last + answers_s + last_layer_s
