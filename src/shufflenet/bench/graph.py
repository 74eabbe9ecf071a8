"""The network in the forms that may be a runtime's best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shufflenet.bench.work import Work
from shufflenet.export.folded import folded
from shufflenet.export.graph import Shuffle, TunedNetwork
from shufflenet.networks.graph import Shuffle as ShuffleNode


def tuned_networks(work: Work, shuffles: Sequence[Shuffle]) -> list[TunedNetwork]:
    """One network for each way to write the shuffle; a single one if there is nothing to shuffle."""
    shuffled = any(isinstance(node, ShuffleNode) for node in folded(work.model).arch.nodes)
    needed = shuffles if shuffled else shuffles[:1]
    return [TunedNetwork(work.model, shuffle) for shuffle in needed]


def example(work: Work) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(work.x))
