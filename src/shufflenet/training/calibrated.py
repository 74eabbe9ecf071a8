"""The last layer of a trained network, written anew so that its probabilities and its score of the unknown are right.

Validation pictures decide, which the network was not trained on; see `known.calibrate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shufflenet import known
from shufflenet.engine.engine import Engine
from shufflenet.features import classifier_weights, feature_model
from shufflenet.networks.model import Model
from shufflenet.networks.module import Network
from shufflenet.networks.network import tensors_of
from shufflenet.training import augment
from shufflenet.training.job import Job
from shufflenet.training.pixels import Pixels
from shufflenet.training.training_data import TrainingData

_TRAIN_PICTURES = 2000  # whose features' mean is taken
_BATCH = 64


@dataclass(frozen=True)
class Result:
    """Top-1 and top-5 error in percent on the validation pictures, and the record for the model file."""

    errors: tuple[float, float]
    record: dict[str, Any]


def calibrate(network: Network, job: Job, data: TrainingData, check: Callable[[], None]) -> Result | None:
    """Changes the network's last layer in place; None: it is not fully connected, and stays.

    Args:
        network: on the CPU.
        check: called between batches; raises to end the pass.
    """
    model = Model(job.graph, tensors_of(network), job.preprocessing)
    try:
        names = classifier_weights(model)
    except ValueError:
        return None
    run = Engine(feature_model(model)).run
    weight, bias = (model.tensors[name].astype(np.float64) for name in names)
    step = max(1, len(data.train) // _TRAIN_PICTURES)
    trained = _features(run, data.train, range(0, len(data.train), step), job, check)
    val = _features(run, data.val, range(len(data.val)), job, check)
    found = known.calibrate(
        weight.reshape(len(bias), -1), bias, trained.mean(axis=0, dtype=np.float64), val, data.val_targets
    )
    for name, values in zip(names, (found.weight, found.bias), strict=True):
        parameter = network.get_parameter(name)
        parameter.data = torch.from_numpy(values).view_as(parameter).clone()
    return Result(found.errors(val, data.val_targets), known.record(found))


def _features(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    pictures: Pixels,
    places: range,
    job: Job,
    check: Callable[[], None],
) -> NDArray[np.float32]:
    """What the network finds in whole pictures as validation shows them: [len(places), features]."""
    size, keep = job.preprocessing.size, job.preprocessing.size / job.preprocessing.resize

    def rows() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(places), _BATCH):
            check()
            part = np.array(places[start : start + _BATCH])
            stored = [pictures[index] for index in part.tolist()]
            whole = all(picture.shape[:2] == (size, size) for picture in stored)
            shown = np.stack(stored) if whole else augment.centre(pictures, part, size, keep)
            yield run(augment.normalise(shown, job.preprocessing).numpy())

    return np.concatenate(list(rows()))
