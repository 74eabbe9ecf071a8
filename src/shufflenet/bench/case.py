"""One case to be timed: a network with random weights or a model file's, and its input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shufflenet.networks import complexity
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

_SEED = 1707


@dataclass(frozen=True)
class Case:
    """``x`` is float32 [batch, C, H, W]; ``threads`` is what every runtime may use."""

    name: str
    model: Model
    x: NDArray[np.float32]
    threads: int

    @property
    def batch(self) -> int:
        return int(self.x.shape[0])

    @property
    def height(self) -> int:
        return int(self.x.shape[2])

    @property
    def width(self) -> int:
        return int(self.x.shape[3])

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """What every runtime has to answer: the network as it is trained, in PyTorch."""
        import torch

        from shufflenet.networks.module import module_with_weights

        torch.set_num_threads(self.threads)
        network = module_with_weights(self.model)
        with torch.inference_mode():
            return network(torch.from_numpy(self.x)).numpy()  # type: ignore[no-any-return]

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole batch, the classifier's too."""
        return self.batch * complexity.summary(self.model.graph, self.height, self.width).macs


def make_case(model: Model, batch: int, height: int, width: int, threads: int) -> Case:
    shape = (batch, model.graph.in_channels, height, width)
    x = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    return Case(model.graph.name, model, x, threads)


def random_model(graph: Graph) -> Model:
    """Weights that keep activations near one, and batch norm statistics that show a mistake in folding."""
    random = np.random.default_rng(_SEED)
    tensors = {}
    for name, shape in graph.tensor_shapes().items():
        if len(shape) > 1:
            tensor = random.normal(0, math.sqrt(1 / math.prod(shape[1:])), shape)
        elif name.endswith(("bias", "running_mean")):
            tensor = random.normal(0, 0.3, shape)
        else:  # batch norm's weight and running_var
            tensor = random.uniform(0.5, 1.5, shape)
        # `train` leaves a ShuffleNet's classifier in half precision; other networks' weights come from elsewhere.
        half = len(shape) == 2 and isinstance(graph.architecture, ShuffleNetV1)
        tensors[name] = tensor.astype(np.float16 if half else np.float32).astype(np.float32)
    return Model(graph, tensors)
