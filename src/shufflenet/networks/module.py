"""The PyTorch module of any network."""

from __future__ import annotations

from typing import TypeAlias

import torch

from shufflenet.models import DEFAULT_MODEL, load_model
from shufflenet.networks import families
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
    model.require_float()
    network = module_of(model.graph)
    network.take_weights(model)
    return network.eval()


def create_model(name: str = DEFAULT_MODEL, classes: int | None = None, pretrained: bool = False) -> Network:
    """The PyTorch module of a network: float32 [N, in_channels, H, W] -> logits [N, classes], in training mode.

    Args:
        name: a network of any family, such as ``mobilenet_v1_x0_5``; with ``pretrained`` a model as for `load_model`.
        classes: default: 1000, or the pretrained model's.
        pretrained: with the model's weights; for another number of classes the classifier's are new.

    Raises:
        ValueError: there is no such network.
        ModelFileError: there is no such model, or it can't be used.
    """
    if not pretrained:
        fields = {} if classes is None else {"classes": classes}
        return module_of(families.architecture(name, **fields).graph())
    model = load_model(name)
    model.require_float()
    if classes in (None, model.graph.classes):
        return module_with_weights(model).train()
    network = module_of(families.with_classes(model.graph, classes))
    replaced = model.graph.classifier.tensor_shapes()
    kept = {name: torch.from_numpy(t) for name, t in model.tensors.items() if name not in replaced}
    network.load_state_dict(kept, strict=False)
    network.preprocessing = model.preprocessing
    return network
