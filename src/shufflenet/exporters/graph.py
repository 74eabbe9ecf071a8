"""The folded network as a PyTorch module, for the converters that start from PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from shufflenet.exporters.shuffles import Floats, Gather, gathered, move_shuffles
from shufflenet.exporters.target import Order
from shufflenet.networks.graph import Node, Pool
from shufflenet.networks.graph import Shuffle as ShuffleNode
from shufflenet.networks.graph_network import GraphNetwork
from shufflenet.networks.model import Model

Shuffle = Literal["gather", "transpose"]  # one gather over channels; or reshape, transpose, reshape


class TunedNetwork(GraphNetwork):
    """The folded network: float32 [N, in_channels, H, W] -> logits [N, classes].

    Args:
        shuffle: how channel shuffle is written.
        pads: pads average pools by an operator of its own.
    """

    def __init__(self, model: Model, shuffle: Shuffle, pads: bool = False) -> None:
        tuned = move_shuffles(model)
        if shuffle == "gather":
            tuned = gathered(tuned)
        with torch.device("meta"):
            super().__init__(tuned.graph)
        self.load_state_dict({name: torch.from_numpy(t.copy()) for name, t in tuned.tensors.items()}, assign=True)
        for node in tuned.graph.nodes:
            if isinstance(node, Gather):
                self.register_buffer(_order_of(node), torch.from_numpy(node.order.copy()))
        self.pads = pads
        self.requires_grad_(False)
        self.eval()

    def _run(self, node: Node, x: Tensor, *others: Tensor) -> Tensor:
        if isinstance(node, Gather):
            return x.index_select(1, self.get_buffer(_order_of(node)))
        if isinstance(node, ShuffleNode):
            return _shuffle(x, node.groups)
        if isinstance(node, Pool) and node.kind == "average" and self.pads:
            return nn.functional.avg_pool2d(nn.functional.pad(x, [node.padding] * 4), 3, stride=2)
        return super()._run(node, x, *others)


def example(order: Order) -> Tensor:
    """An input of the network: float32 [1, in_channels, H, W]."""
    return torch.zeros(1, order.model.graph.in_channels, order.height, order.width)


def logits_of(network: nn.Module) -> Callable[[Floats], Floats]:
    """A function float32 [in_channels, H, W] -> logits [classes] that runs ``network`` with one thread of PyTorch."""

    def logits(x: Floats) -> Floats:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                values: Floats = network(torch.from_numpy(x[None]))[0].numpy()
                return values
        finally:
            torch.set_num_threads(threads)

    return logits


def _order_of(node: Gather) -> str:
    """The name of the buffer with the node's order of channels."""
    return f"{node.name}.order".replace(".", "_")


def _shuffle(x: Tensor, groups: int) -> Tensor:
    """`network.channel_shuffle` with tensors of at most four dimensions, since some runtimes lack five."""
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height * width)
    return x.transpose(1, 2).reshape(batch, channels, height, width)
