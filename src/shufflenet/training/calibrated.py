"""The last layer of a trained network, written anew: fitted to whole pictures, and with probabilities that are right.

It is fitted on training pictures (`last_layer`). Then validation pictures, which the network was not trained on, decide
how sure it is of an answer, and what it does not know; see `known.calibrate`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shufflenet import known
from shufflenet.engine.engine import Engine
from shufflenet.features import ends_fully_connected, feature_model
from shufflenet.networks.graph import FullyConnected
from shufflenet.quantization.trainable import QuantizedNetwork, Trainable
from shufflenet.quantization.units import real_weights
from shufflenet.threads import map_in_order, usable_cores
from shufflenet.training import augment, last_layer, parallel
from shufflenet.training.job import Job
from shufflenet.training.on_engine import model_of
from shufflenet.training.pixels import Pixels
from shufflenet.training.training_data import TrainingData

MOST_PICTURES = 100_000  # that the layer is fitted on
_MOST_VALUES = 1 << 27  # of their features
_BATCH = 64

Tell = Callable[[str, int, int], None]  # told what is being done, how many pictures are, and of how many


@dataclass(frozen=True)
class Result:
    """Top-1 and top-5 error in percent on the validation pictures, and the record for the model file."""

    errors: tuple[float, float]
    record: dict[str, Any]


def calibrate(network: Trainable, job: Job, data: TrainingData, tell: Tell) -> Result | None:
    """Changes the network's last layer in place; None: it is not fully connected, and stays.

    Args:
        network: on the CPU.
        tell: called between batches; raises to end the pass.
    """
    model, last = model_of(network), job.graph.nodes[-1]
    if not isinstance(last, FullyConnected) or not ends_fully_connected(job.graph):
        return None
    run = Engine(feature_model(model)).run
    if model.quantized is not None:
        weight, bias = (values.double().numpy() for values in real_weights(model, model.quantized, last))
    else:
        weight, bias = (model.tensors[f"{last.name}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
    weight = weight.reshape(len(bias), -1)
    most = min(len(data.train), MOST_PICTURES, _MOST_VALUES // weight.shape[1])
    chosen = np.linspace(0, len(data.train) - 1, most).astype(np.int64)
    trained = _features(run, data.train, chosen, job, tell)
    classes = len(bias)
    class_weights = data.class_weights(classes) if job.recipe.class_weights else np.ones(classes)
    step = partial(tell, "fitting the last layer, step")
    weight, bias = last_layer.fit(weight, bias, trained, data.targets[chosen], class_weights, step)
    val = _features(run, data.val, np.arange(len(data.val)), job, tell)
    found = known.calibrate(weight, bias, trained.mean(axis=0, dtype=np.float64), val, data.val_targets)
    tensors = torch.from_numpy(found.weight), torch.from_numpy(found.bias)
    if isinstance(network, QuantizedNetwork):
        network.set_layer(last, *tensors)
        kept = [values.numpy() for values in real_weights(model, network.quantized(), last)]
        found = replace(found, weight=kept[0].reshape(classes, -1), bias=kept[1])
    else:
        for kind, values in zip(("weight", "bias"), tensors, strict=True):
            parameter = network.get_parameter(f"{last.name}.{kind}")
            parameter.data = values.view_as(parameter).clone()
    return Result(found.errors(val, data.val_targets), known.record(found))


def _features(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    pictures: Pixels,
    places: NDArray[np.int64],
    job: Job,
    tell: Tell,
) -> NDArray[np.float32]:
    """What the network finds in whole pictures as validation shows them: [len(places), features]."""
    size, keep = job.preprocessing.size, job.preprocessing.size / job.preprocessing.resize

    def look(start: int) -> NDArray[np.float32]:
        part = places[start : start + _BATCH]
        stored = [pictures[index] for index in part.tolist()]
        whole = all(picture.shape[:2] == (size, size) for picture in stored)
        shown = np.stack(stored) if whole else augment.centre(pictures, part, size, keep)
        return run(augment.normalise(shown, job.preprocessing).numpy())

    rows: NDArray[np.float32] | None = None
    threads = torch.get_num_threads() if parallel.world_size() == 1 else usable_cores()  # the other processes wait
    for done, found in enumerate(map_in_order(look, range(0, len(places), _BATCH), threads)):
        if rows is None:
            rows = np.empty((len(places), found.shape[1]), np.float32)
        rows[done * _BATCH : done * _BATCH + len(found)] = found
        tell("whole pictures", min(len(places), (done + 1) * _BATCH), len(places))
    assert rows is not None
    return rows
