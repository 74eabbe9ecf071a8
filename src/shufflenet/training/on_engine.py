"""The logits of a PyTorch network by the engine, which on a CPU takes a fraction of PyTorch's time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from shufflenet.engine.engine import Engine
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.model import Model
from shufflenet.networks.network import tensors_of
from shufflenet.quantization.trainable import QuantizedNetwork, Trainable
from shufflenet.threads import map_in_order


def answers(network: Trainable) -> Callable[[Tensor], Tensor]:
    """float32 [N, C, H, W] -> logits [N, classes] in eval mode: on a CPU by the engine, else by PyTorch."""
    on_cpu = next(network.parameters()).device.type == "cpu"
    return on_engine(network) if on_cpu else network.eval()


def on_engine(network: Trainable) -> Callable[[Tensor], Tensor]:
    """float32 [N, C, H, W] -> logits [N, classes] by the engine, with the weights and statistics of this moment.

    It runs as many pictures at once as PyTorch has threads.
    """
    engine, threads = Engine(model_of(network)), torch.get_num_threads()

    def answer(x: Tensor) -> Tensor:
        parts = torch.tensor_split(x, min(threads, len(x)))
        logits = map_in_order(lambda part: torch.from_numpy(engine.run(part.numpy())), parts, threads)
        return torch.cat(list(logits))

    return answer


def model_of(network: Trainable) -> Model:
    """The network's graph and weights of this moment, and its preprocessing if it is in 8 bits."""
    if isinstance(network, QuantizedNetwork):
        return replace(network.model, quantized=network.quantized())
    graph = network.graph if isinstance(network, GraphNetwork) else network.arch.graph()
    # A copy: the engine packs the weights when it is first asked about an input size.
    return Model(graph, {name: tensor.copy() for name, tensor in tensors_of(network).items()})
