"""The folded network as PyTorch modules, one for each way to write channel shuffle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shufflenet.bench.case import Case
from shufflenet.exporters.graph import Shuffle, TunedNetwork
from shufflenet.exporters.shuffles import move_shuffles
from shufflenet.networks.graph import Shuffle as ShuffleNode


def tuned_networks(case: Case, shuffles: Sequence[Shuffle]) -> list[TunedNetwork]:
    """The case's network with channel shuffle written in each of these ways; one network if it has no shuffle."""
    shuffled = any(isinstance(node, ShuffleNode) for node in move_shuffles(case.model).graph.nodes)
    needed = shuffles if shuffled else shuffles[:1]
    return [TunedNetwork(case.model, shuffle) for shuffle in needed]


def example(case: Case) -> Tensor:
    """The case's input, float32 [batch, C, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(case.x))
