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
from shufflenet.features import feature_model, last_layer
from shufflenet.quantization.trainable import QuantizedNetwork, Trainable
from shufflenet.quantization.units import real_weights
from shufflenet.threads import map_in_order, usable_cores
from shufflenet.training import augment, parallel
from shufflenet.training.job import Job
from shufflenet.training.last_layer import fit
from shufflenet.training.on_engine import model_of
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
    model, last = model_of(network), last_layer(job.graph)
    if last is None:
        return None
    run = Engine(feature_model(model)).run
    if model.quantized is not None:
        weight, bias = (values.double().numpy() for values in real_weights(model, model.quantized, last))
    else:
        weight, bias = (model.tensors[f"{last.name}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
    weight = weight.reshape(len(bias), -1)
    most = min(len(data.train), MOST_PICTURES, _MOST_VALUES // weight.shape[1])
    chosen = np.linspace(0, len(data.train) - 1, most).astype(np.int64)
    keep = job.preprocessing.size / job.preprocessing.resize
    trained = _features(
        run, lambda some: augment.centre(data.train, chosen[some], job.preprocessing.size, keep), most, job, tell
    )
    classes = len(bias)
    class_weights = data.class_weights(classes) if job.recipe.class_weights else np.ones(classes)
    step = partial(tell, "fitting the last layer, step")
    weight, bias = fit(weight, bias, trained, data.targets[chosen], class_weights, step)
    val = _features(run, lambda some: np.stack([data.val[i] for i in some]), len(data.val), job, tell)
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
    show: Callable[[range], NDArray[np.uint8]],
    count: int,
    job: Job,
    tell: Tell,
) -> NDArray[np.float32]:
    """What the network finds in ``count`` whole pictures, of which ``show`` gives some: [count, features]."""

    def look(start: int) -> NDArray[np.float32]:
        shown = show(range(start, min(start + _BATCH, count)))
        return run(augment.normalise(shown, job.preprocessing).numpy())

    rows: NDArray[np.float32] | None = None
    threads = torch.get_num_threads() if parallel.world_size() == 1 else usable_cores()  # the other processes wait
    for done, found in enumerate(map_in_order(look, range(0, count, _BATCH), threads)):
        if rows is None:
            rows = np.empty((count, found.shape[1]), np.float32)
        rows[done * _BATCH : done * _BATCH + len(found)] = found
        tell("whole pictures", min(count, (done + 1) * _BATCH), count)
    assert rows is not None
    return rows
