"""Networks with random weights and batch norm statistics: an untrained one's would hide mistakes in folding."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shufflenet.arch import Architecture
from shufflenet.images import Preprocessing
from shufflenet.model_file import Model
from shufflenet.network import ShuffleNet


def random_network(arch: Architecture) -> tuple[ShuffleNet, Model]:
    """The same network for PyTorch and for the engine."""
    torch.manual_seed(arch.groups)
    network = ShuffleNet(arch).eval()
    randomise(network)
    return network, Model(arch, Preprocessing(), [f"class {i}" for i in range(arch.classes)], tensors_of(network))


def randomise(network: nn.Module) -> None:
    """Gives batch norm random statistics."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]


def tensors_of(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    return {name: t.numpy() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def random_input(batch: int, height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(height).standard_normal((batch, channels, height, width), dtype=np.float32)
