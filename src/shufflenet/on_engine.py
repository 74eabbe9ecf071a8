"""A PyTorch network's answers by the engine, which on a CPU has them in a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from shufflenet.engine import Engine
from shufflenet.graph import GraphModel
from shufflenet.graph_network import GraphNetwork
from shufflenet.network import ShuffleNet
from shufflenet.threads import map_in_order

Network: TypeAlias = ShuffleNet | GraphNetwork


def on_engine(network: Network) -> Callable[[Tensor], Tensor]:
    """float32 [N, C, H, W] -> logits [N, classes], as in eval mode, with what weights and statistics are now.

    As many pictures are worked on at once as PyTorch has threads.
    """
    graph = network.graph if isinstance(network, GraphNetwork) else network.arch.graph()
    tensors = {name: t.numpy().copy() for name, t in network.state_dict().items() if not name.endswith("tracked")}
    engine, threads = Engine(GraphModel(graph, tensors)), torch.get_num_threads()

    def answer(x: Tensor) -> Tensor:
        parts = torch.tensor_split(x, threads)
        logits = map_in_order(lambda part: torch.from_numpy(engine.run(part.numpy())), parts, threads)
        return torch.cat(list(logits))

    return answer
