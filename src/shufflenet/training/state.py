"""What training changes, and a checkpoint holds: the network, its average, the optimizer, and the run's history."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.networks.module import Network, module_of
from shufflenet.networks.network import ShuffleNet
from shufflenet.quantization.calibration import calibrate
from shufflenet.quantization.quantize import PICTURES, read_some
from shufflenet.quantization.trainable import QuantizedNetwork, Trainable
from shufflenet.training.job import Job
from shufflenet.training.recipe import Recipe


@dataclass
class State:
    """A run between two steps."""

    network: Trainable
    average: Trainable | None  # the weights' average over `Recipe.ema_epochs`; None: none is taken
    optimizer: torch.optim.SGD
    step: int = 0  # steps made since the run began
    loss_sum: float = 0.0  # over the steps of this epoch
    seconds: float = 0.0  # that this epoch's steps took
    history: list[dict[str, Any]] = field(default_factory=list)  # the rows of metrics.csv

    @classmethod
    def new(cls, job: Job, device: torch.device) -> State:
        """The state before the first step: random weights, or those that the job starts from."""
        torch.manual_seed(job.recipe.seed)
        network = first_network(job).to(device)
        freeze(network, job.recipe.freeze)
        average = copy.deepcopy(network) if job.recipe.ema_epochs else None
        return cls(network, average, optimizer(network, job.recipe))

    def to_checkpoint(self) -> dict[str, Any]:
        """Tensors and plain values by name, for `torch.save`."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds,
            "history": self.history,
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Takes over what `to_checkpoint` gave for a run with the same settings."""
        self.network.load_state_dict(checkpoint["network"])
        if self.average:
            self.average.load_state_dict(checkpoint["average"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.step, self.history = checkpoint["step"], checkpoint["history"]
        self.loss_sum, self.seconds = checkpoint["loss_sum"], checkpoint["seconds"]

    @torch.no_grad()
    def update_average(self, steps: float) -> None:
        """Moves the average, if one is taken, to the weights behind a step: an exponential one over ``steps`` steps."""
        if self.average is None:
            return
        # Over fewer steps at first, or the random start would count for long.
        new = max(1 - math.exp(-1 / steps), 9 / (self.step + 9)) if self.step > 1 else 1.0
        averages, currents = (
            [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
            for network in (self.average, self.network)
        )
        torch._foreach_lerp_(averages, currents, new)


def first_network(job: Job, pictures: int = PICTURES) -> Trainable:
    """The network before the first step.

    Args:
        pictures: at most, to calibrate on if it is trained in 8 bits.

    Raises:
        CalibrationError: the pictures are too few, or all of one colour.
    """
    if job.recipe.quantize:
        assert job.start is not None
        train = job.dataset.train.pictures
        x = read_some(job.start, job.dataset.root, train, job.dataset.classes, most=pictures).x
        return QuantizedNetwork(job.start, calibrate(job.start, x))
    network = new_network(job.graph)
    if job.start is not None:
        take_weights(network, job.start, job.dataset.classes)
    return network


def new_network(graph: Graph) -> Network:
    """The network's module with random weights, in the layout in which training is fastest."""
    network = module_of(graph)
    # PyTorch's convolutions are faster in channels_last; the kernels of the package have a layout of their own.
    return network if isinstance(network, ShuffleNet) else network.to(memory_format=torch.channels_last)


def take_weights(network: nn.Module, start: Model, classes: list[str]) -> None:
    """Gives the network all weights of ``start``; the classifier stays new if its classes are others."""
    tensors = {name: torch.from_numpy(tensor) for name, tensor in start.tensors.items()}
    if start.classes != classes:
        for name in start.graph.classifier.tensor_shapes():
            del tensors[name]
    network.load_state_dict(tensors, strict=False)


def optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD of all weights that aren't frozen, with weight decay on matrices alone: none on batch norm and biases."""
    trained = [p for p in network.parameters() if p.requires_grad]
    decayed, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum)


def freeze(network: nn.Module, up_to: str) -> None:
    """Lets training leave the weights of these parts alone; ``up_to``: the last of them, one of `recipe.FREEZABLE`."""
    for module in _frozen(network, up_to):
        module.requires_grad_(False)


def set_training(network: nn.Module, frozen_up_to: str) -> None:
    """Puts the network into training mode; frozen parts keep their batch norm's statistics too."""
    network.train()
    for module in _frozen(network, frozen_up_to):
        module.eval()


def _frozen(network: nn.Module, up_to: str) -> list[nn.Module]:
    """The network's children up to the one named ``up_to``; "stem": those before stage 2; "none": no child."""
    if up_to == "none":
        return []
    names = [name for name, _ in network.named_children()]
    last = names.index("stage2") if up_to == "stem" else names.index(up_to) + 1
    return [network.get_submodule(name) for name in names[:last]]
