"""What each operator of a quantized network costs: its noise, and what changes if it alone is in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shufflenet.networks.graph import Convolution, FullyConnected, Graph, Node
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import MOST, Quantized, pixel_input
from shufflenet.quantization.emulation import Emulation
from shufflenet.quantization.float_network import FloatNetwork
from shufflenet.quantization.units import real_weights


@dataclass(frozen=True)
class LayerCost:
    """One operator with weights or a range of its own.

    Args:
        signal_to_noise: decibels, of its output in the quantized network against the float one's; None: it makes no
            bytes.
        divergence: of the probabilities from the float network's if it alone is in 8 bits: Kullback-Leibler, nats.
        changed: percent of pictures whose best class changes then.
        lost: points of top-1 accuracy that are lost then; None: the pictures have no classes.
    """

    name: str
    signal_to_noise: float | None
    divergence: float
    changed: float
    lost: float | None


def layer_costs(
    model: Model, quantized: Quantized, x: NDArray[np.float32], targets: NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerCost]:  # fmt: skip
    """The cost of every operator with weights or a range of its own, in the order of running.

    Args:
        x: preprocessed pictures, [N, 3, H, W]; a few hundred.
        targets: [N] their class indices.
        progress: told operators done and operators in all.
    """
    graph, float_network = model.graph, FloatNetwork(model)
    last = _last_readers(graph)
    with torch.inference_mode():
        noise = _signal_to_noise(model, quantized, float_network, torch.from_numpy(x))
        values: dict[Node, Tensor] = {graph.input: torch.from_numpy(x)}
        alone: dict[Node, Tensor] = {}  # logits if it alone is in 8 bits
        for done, node in enumerate(graph.nodes[1:], 1):
            y = float_network.step(node, [values[source] for source in node.inputs])
            rounded = _rounded(model, quantized, float_network, node, values, y)
            values[node] = y
            if rounded is not None:
                alone[node] = _rest(graph, float_network, node, {**values, node: rounded})
            for source in node.inputs:
                if last[source] is node:
                    values.pop(source, None)
            progress(done, len(graph.nodes) - 1)
        logits = values[graph.nodes[-1]]
    return [_cost(node, noise.get(node), logits, changed, targets) for node, changed in alone.items()]


def _rounded(
    model: Model, quantized: Quantized, float_network: FloatNetwork, node: Node, values: dict[Node, Tensor], y: Tensor
) -> Tensor | None:
    """The operator's output ``y`` with its weights and its range in 8 bits; None: it has neither."""
    if isinstance(node, Convolution | FullyConnected):
        y = float_network.step(node, [values[node.inputs[0]]], real_weights(model, quantized, node))
    elif node.name not in quantized.activations:
        return None
    if node.name in quantized.activations:
        activation = quantized.activations[node.name]
        shape = [-1] + [1] * (y.dim() - 2)
        scale = torch.from_numpy(activation.scale).view(shape)
        zero_point = torch.from_numpy(activation.zero_point.astype(np.float32)).view(shape)
        y = (torch.round(y / scale + zero_point).clamp(0, MOST) - zero_point) * scale
    return y


def _last_readers(graph: Graph) -> dict[Node, Node]:
    return {source: node for node in graph.nodes for source in node.inputs}


def _rest(graph: Graph, float_network: FloatNetwork, after: Node, values: dict[Node, Tensor]) -> Tensor:
    """The logits, from the values of the operators up to ``after``; takes ``values`` apart."""
    last = _last_readers(graph)
    for node in graph.nodes[graph.nodes.index(after) + 1 :]:
        values[node] = float_network.step(node, [values[source] for source in node.inputs])
        for source in node.inputs:
            if last[source] is node:
                values.pop(source, None)
    return values[graph.nodes[-1]]


def _signal_to_noise(model: Model, quantized: Quantized, float_network: FloatNetwork, x: Tensor) -> dict[Node, float]:
    """The ratio for every operator that makes bytes and for the logits, with all operators before it in 8 bits too."""
    wanted: dict[Node, Tensor] = {model.graph.input: x}
    found: dict[Node, float] = {}
    last = _last_readers(model.graph)

    def compare(node: Node, got: Tensor) -> None:
        wanted[node] = float_network.step(node, [wanted[source] for source in node.inputs])
        for source in node.inputs:
            if last[source] is node:
                wanted.pop(source, None)
        if node is model.graph.nodes[-1]:
            found[node] = _decibels(wanted[node], got)
        elif node.name in quantized.activations:
            activation, shape = quantized.activations[node.name], [-1] + [1] * (got.dim() - 2)
            zero_point = torch.from_numpy(activation.zero_point.astype(np.float32)).view(shape)
            found[node] = _decibels(wanted[node], (got - zero_point) * torch.from_numpy(activation.scale).view(shape))

    Emulation(model.graph, quantized, pixel_input(model.preprocessing.mean, model.preprocessing.std)).logits(x, compare)
    return found


def _decibels(wanted: Tensor, got: Tensor) -> float:
    noise = (got - wanted).square().mean().clamp(min=1e-20)
    return float(10 * torch.log10(wanted.square().mean().clamp(min=1e-20) / noise))


def _cost(node: Node, noise: float | None, wanted: Tensor, got: Tensor, targets: NDArray[np.int64] | None) -> LayerCost:
    log_wanted, log_got = wanted.double().log_softmax(dim=1), got.double().log_softmax(dim=1)
    divergence = float((log_wanted.exp() * (log_wanted - log_got)).sum(dim=1).mean())
    best, best_before = got.argmax(dim=1).numpy(), wanted.argmax(dim=1).numpy()
    lost = None if targets is None else 100 * float(np.mean(best_before == targets) - np.mean(best == targets))
    return LayerCost(node.name, noise, divergence, 100 * float(np.mean(best != best_before)), lost)
