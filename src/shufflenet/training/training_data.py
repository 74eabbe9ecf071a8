"""The pictures and classes of a job, decoded and ready to be made into batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import printable
from shufflenet.pictures.dataset import DataError, Picture, Split
from shufflenet.pictures.images import ImageError
from shufflenet.training import parallel, pixels
from shufflenet.training.job import Job
from shufflenet.training.pixels import Fit, Pixels
from shufflenet.training.run_folder import RunFolder

TRAIN_MARGIN = 1.25  # the shorter side of stored pictures over the input's: a crop shows a part of a picture

Tell = Callable[[str, int, int], None]  # told what is being done, how many pictures are, and of how many


@dataclass(frozen=True)
class TrainingData:
    """Decoded pictures with their class indices, for training and validation."""

    train: Pixels
    targets: NDArray[np.int64]  # [len(train)]
    val: Pixels
    val_targets: NDArray[np.int64]  # [len(val)]

    def class_weights(self, classes: int) -> NDArray[np.float64]:
        """[classes] weights of the pictures in each class by which all classes count the same; their mean is 1."""
        counts = np.bincount(self.targets, minlength=classes)
        weights: NDArray[np.float64] = len(self.targets) / (classes * counts)
        return weights

    def batch(self, seed: int, epoch: int, place: int, size: int) -> NDArray[np.int64]:
        """The numbers of the pictures in a batch of an epoch, [size]. In epoch -1 nothing is trained."""
        return _order(len(self.train), seed, epoch)[place * size : (place + 1) * size]


def load(job: Job, folder: RunFolder, skip_broken: bool, say: Callable[[str], None], tell: Tell) -> TrainingData:
    """Decodes the job's pictures, or opens what is decoded already.

    The first of several processes decodes, and the others open its files.

    Raises:
        DataError: broken pictures (each is named through ``say``), unless they are to be left out.
    """
    fit = pixels.fit_for_training(round(job.preprocessing.size * TRAIN_MARGIN))
    train, targets = _load_split(job, "train", fit, folder, skip_broken, say, tell)
    fit = pixels.fit_for_validation(job.preprocessing)
    val, val_targets = _load_split(job, "val", fit, folder, skip_broken, say, tell)
    if len(train) < job.recipe.batch_size:
        root = job.dataset.root
        raise DataError(f"{root}: {len(train)} pictures left, fewer than a batch of {job.recipe.batch_size}")
    return TrainingData(train, targets, val, val_targets)


def _load_split(
    job: Job,
    name: Literal["train", "val"],
    fit: Fit,
    folder: RunFolder,
    skip_broken: bool,
    say: Callable[[str], None],
    tell: Tell,
) -> tuple[Pixels, NDArray[np.int64]]:
    split: Split = getattr(job.dataset, name)
    first = parallel.rank() == 0
    found: Pixels | None = None
    messages: list[str] = []
    if not first:
        parallel.wait()
        found = pixels.find(split, fit, folder.cache)  # if this process can see the first one's files
    if found is None:
        found, messages = pixels.load(
            split, fit, folder.cache, lambda done, of: tell(f"decoding {name}", done, of), broken_too=skip_broken
        )
    if first:
        parallel.wait()

    broken = found.broken()
    for message in messages or [_why_broken(split.pictures[index]) for index in broken]:
        say(message)
    if broken and not skip_broken:
        raise DataError(
            f"{len(broken)} of the {len(split)} {name} pictures can't be read; "
            "repair or remove them, or leave them out with --skip-broken"
        )
    if broken:
        say(f"{len(broken)} broken {name} picture{'s' if len(broken) > 1 else ''} left out")
    kept = split.without(broken)
    if empty := sorted(set(range(len(job.dataset.classes))) - set(kept.targets.tolist())):
        raise DataError(f"{job.dataset.root}: no {name} picture of class {job.dataset.classes[empty[0]]!r} is left")
    return found.without_broken(), kept.targets


def _why_broken(picture: Picture) -> str:
    """The message of a picture that an earlier run found to be broken."""
    try:
        picture.decode()
    except ImageError as error:
        return str(error)
    return f"{printable(picture.name)}: could not be read when this run began"


@lru_cache(maxsize=3)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch + 1)).permutation(count)
