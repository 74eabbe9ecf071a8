"""The batches of a run: a step's, with random crops; whole pictures, as validation has them; and crops for a teacher.

Each depends on the seed and its number alone, so any thread can make it at any time.

Letters: N pictures of this process's part of the batch, S pixels of the input.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from shufflenet.training import augment
from shufflenet.training.job import Job
from shufflenet.training.loss import Targets
from shufflenet.training.training_data import TrainingData

_TEACHER_PICTURES = 2560  # a teacher's batch norm is estimated from, once for each input size
_LAST_PASS = -1  # in the place of an epoch's number, for the order of pictures when nothing is trained


class Batches:
    """Batches of decoded pictures as the network's inputs; a last batch that is not full is dropped.

    Args:
        rows: this process's part of each batch.
    """

    def __init__(self, job: Job, data: TrainingData, rows: range, device: torch.device) -> None:
        self.data = data
        self._recipe, self._preprocessing, self._device = job.recipe, job.preprocessing, device
        self._rows = rows
        self.per_epoch = max(1, len(data.train) // job.recipe.batch_size)

    def training(self, step: int) -> tuple[Tensor, Targets]:
        """The batch of a step, counted from the run's first: float32 [N, 3, S, S] and its labels."""
        recipe = self._recipe
        epoch, place = divmod(step, self.per_epoch)
        batch = self.data.batch(recipe.seed, epoch, place, recipe.batch_size)
        choices = augment.choose(recipe, step)
        size = recipe.input_size(epoch, self._preprocessing.size)
        x, share = augment.make_input(self.data.train, batch, self._rows, choices, size, self._preprocessing)
        rows = list(self._rows)
        classes, partner_classes = (
            torch.from_numpy(self.data.targets[batch[of]]).to(self._device) for of in (rows, choices.partner[rows])
        )
        return x.to(self._device), Targets(classes, partner_classes, share)

    def whole_pictures(self, pictures: int) -> Iterator[Tensor]:
        """Batches of ``pictures`` training pictures in all, resized and cropped as in validation."""
        recipe, preprocessing = self._recipe, self._preprocessing
        for place in range(max(1, min(len(self.data.train), pictures) // recipe.batch_size)):
            batch = self.data.batch(recipe.seed, _LAST_PASS, place, recipe.batch_size)[list(self._rows)]
            keep = preprocessing.size / preprocessing.resize
            pixels = augment.centre(self.data.train, batch, preprocessing.size, keep)
            yield augment.normalise(pixels, preprocessing).to(self._device)

    def crops(self, size: int) -> Iterator[Tensor]:
        """Some batches of crops as training makes them, S = ``size``; whole batches, the same in every process."""
        recipe = self._recipe
        for place in range(max(1, min(len(self.data.train), _TEACHER_PICTURES) // recipe.batch_size)):
            batch = self.data.batch(recipe.seed, _LAST_PASS, place, recipe.batch_size)
            choices = augment.choose(recipe, place)
            x, _ = augment.make_input(
                self.data.train, batch, range(recipe.batch_size), choices, size, self._preprocessing
            )
            yield x.to(self._device)
