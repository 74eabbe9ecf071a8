"""The network in the forms that may be a runtime's best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shufflenet.bench.case import Case
from shufflenet.export.folded import folded
from shufflenet.export.graph import Shuffle, TunedNetwork
from shufflenet.networks.graph import Shuffle as ShuffleNode


def tuned_networks(case: Case, shuffles: Sequence[Shuffle]) -> list[TunedNetwork]:
    """One network for each way to write the shuffle; a single one if there is nothing to shuffle."""
    shuffled = any(isinstance(node, ShuffleNode) for node in folded(case.model).graph.nodes)
    needed = shuffles if shuffled else shuffles[:1]
    return [TunedNetwork(case.model, shuffle) for shuffle in needed]


def example(case: Case) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(case.x))
