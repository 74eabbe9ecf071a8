"""The PyTorch module of any network."""

from __future__ import annotations

from typing import TypeAlias

import torch

from shufflenet.networks.graph import Graph
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.model import Model
from shufflenet.networks.network import ShuffleNet
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

Network: TypeAlias = ShuffleNet | GraphNetwork


def module_of(graph: Graph) -> Network:
    """float32 [N, in_channels, H, W] -> logits [N, classes], with new weights, in training mode.

    `ShuffleNet`, which the package trains fast, where the graph is one; `GraphNetwork` of any other. Both have the
    same state dict.
    """
    made_by = graph.architecture
    if isinstance(made_by, ShuffleNetV1) and not made_by.squeeze_excitation:
        return ShuffleNet(made_by)
    return GraphNetwork(graph)


def module_with_weights(model: Model) -> Network:
    """The module of a model, with its weights, in eval mode."""
    network = module_of(model.graph)
    # strict=False: a model has no num_batches_tracked.
    network.load_state_dict({name: torch.from_numpy(t) for name, t in model.tensors.items()}, strict=False)
    return network.eval()
