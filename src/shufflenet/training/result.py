"""What a run has come to: the network that it would leave now, and the model file's record of it."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import shufflenet
from shufflenet import model_file
from shufflenet.networks.model import Model
from shufflenet.networks.network import tensors_of
from shufflenet.pictures import held_out
from shufflenet.quantization.quantize import self_test
from shufflenet.quantization.trainable import QuantizedNetwork, Trainable
from shufflenet.training import parallel, validate
from shufflenet.training.job import Job
from shufflenet.training.state import State, set_training
from shufflenet.training.training_data import TrainingData


def result(state: State, job: Job, whole_pictures: Iterable[Tensor]) -> Trainable:
    """A copy of the network as users will have it.

    It has the weights' average, if there is one, mixed with the weights that the run started from by
    `Recipe.start_share`; and batch norm's statistics of ``whole_pictures``, float32 [N, 3, S, S], since training sees
    enlarged parts, whose statistics differ.
    """
    network = copy.deepcopy(state.network)
    if state.average is not None:
        network.load_state_dict(state.average.state_dict())
    if job.recipe.start_share and job.start is not None:
        for name, parameter in network.named_parameters():
            start = torch.from_numpy(job.start.tensors[name]).to(parameter)
            parameter.data.lerp_(start, job.recipe.start_share)
    round_fully_connected(network)
    set_training(network, job.recipe.freeze)
    if job.recipe.epochs:
        validate.estimate_batch_norm(network, whole_pictures)
        parallel.average_statistics(network)
    return network


def round_fully_connected(network: nn.Module) -> None:
    """Gives fully connected layers weights that half-precision floats hold: the engine reads those in half the time."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            rounded = module.weight.data.half()
            if rounded.isfinite().all():
                module.weight.data = rounded.float()


def model(
    network: Trainable,
    job: Job,
    data: TrainingData,
    top1_error: float,
    top5_error: float,
    command: str,
    run: str,
) -> Model:
    """The record of the network that ``run`` trained; errors in percent. It moves to the CPU, into eval mode."""
    network = network.cpu().eval()
    quantized = network.quantized() if isinstance(network, QuantizedNetwork) else None
    if quantized is not None and job.start is not None:
        logits = self_test(job.start, quantized)
    else:
        with torch.inference_mode():
            logits = network(torch.from_numpy(model_file.test_input(job.preprocessing))[None])[0].tolist()
    name = job.dataset.root.name
    return Model(
        graph=job.graph,
        preprocessing=job.preprocessing,
        labels=job.dataset.labels,
        classes=job.dataset.classes,
        tensors={} if isinstance(network, QuantizedNetwork) else tensors_of(network),
        quantized=quantized,
        self_test=logits,
        training=provenance(job, len(data.train), command),
        accuracy={
            "data": f"{name}, {len(data.val)} validation pictures",
            "top1_error": top1_error,
            "top5_error": top5_error,
        },
        name=model_name(run),
    )


def provenance(job: Job, pictures: int, command: str) -> dict[str, Any]:
    """Where a model's weights come from, for its file; ``pictures`` were trained on."""
    return {
        "command": command,
        "data": f"{job.dataset.root.name}: {pictures} pictures of {len(job.dataset.classes)} classes",
        "split": held_out.record(job.dataset),
        "recipe": asdict(job.recipe),
        "from": job.start.graph.name if job.start else None,
        "teacher": os.path.basename(job.teacher) if job.teacher else None,
        "versions": versions(),
    }


def model_name(run: str) -> str:
    """The run's name as a model file may have it."""
    return "".join(character for character in run if character.isprintable())[:200]


def versions() -> dict[str, str]:
    """The programs whose versions can change the bits of a result, and PyTorch's number of threads."""
    return {
        "shufflenet": shufflenet.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "threads": str(torch.get_num_threads()),
    }
