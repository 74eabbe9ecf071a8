"""A network in 8 bits whose weights and biases are trained, with the engine's arithmetic in each forward pass.

Weights are real numbers that are rounded anew each time; gradients pass through roundings as if there were none, and
not through values that are cut off (Bengio et al., 1308.3432). Ranges stay those of the calibration.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from shufflenet.networks.graph import Convolution, FullyConnected
from shufflenet.networks.model import Model
from shufflenet.networks.module import Network
from shufflenet.networks.quantized import (
    MOST,
    MOST_OF_PIXELS,
    Activation,
    Layer,
    Quantized,
    input_of,
    pixel_input,
)
from shufflenet.quantization import rounding
from shufflenet.quantization.emulation import EmulatedLayer, Emulation
from shufflenet.quantization.units import real_weights, units_of_inputs

_MOST_BEGIN = 1 << 30  # of where a sum begins, which has 32 bits


class QuantizedNetwork(nn.Module):
    """float32 [N, C, H, W] -> logits [N, classes]; on a CPU.

    Scales and zero points are buffers, so that a state dict holds all of the network.

    Args:
        model: the float model that was quantized.
    """

    def __init__(self, model: Model, quantized: Quantized) -> None:
        super().__init__()
        self.model = replace(model, tensors={})
        self.pixels = pixel_input(model.preprocessing.mean, model.preprocessing.std)
        self.about = quantized.about
        self.nodes = [node for node in model.graph.nodes if isinstance(node, Convolution | FullyConnected)]
        for node in self.nodes:
            weight, bias = real_weights(model, quantized, node)
            self.register_parameter(f"weight_of_{_key(node.name)}", nn.Parameter(weight))
            self.register_parameter(f"bias_of_{_key(node.name)}", nn.Parameter(bias))
            self._keep(node.name, "scale", quantized.layers[node.name].scale)
        self.made = list(quantized.activations)
        for name, activation in quantized.activations.items():
            self._keep(name, "output_scale", activation.scale)
            self._keep(name, "zero_point", activation.zero_point)

    def forward(self, x: Tensor) -> Tensor:
        frame = self._frame()
        emulation = Emulation(self.model.graph, frame, self.pixels)
        for node in self.nodes:
            weight, bias = self._whole(node, frame)
            scale = self._kept(node.name, "scale")
            emulation.layers[node.name] = EmulatedLayer(weight.view(_shape(node)), bias, scale)
        return emulation.logits(x)

    @torch.no_grad()
    def quantized(self) -> Quantized:
        """The network as it is stored, with whole weights and biases."""
        frame = self._frame()
        layers = {}
        for node in self.nodes:
            weight, bias = self._whole(node, frame)
            whole = weight.view(_shape(node)).numpy().astype(np.int8)
            layers[node.name] = Layer(whole, frame.layers[node.name].scale.copy(), bias.numpy().astype(np.int32))
        made = {name: Activation(a.scale.copy(), a.zero_point.copy()) for name, a in frame.activations.items()}
        return Quantized(layers, made, self.about)

    @torch.no_grad()
    def set_layer(self, node: Convolution | FullyConnected, weight: Tensor, bias: Tensor) -> None:
        """Gives a layer these real weights, shaped as the graph says, and biases [M]; scales become what holds them."""
        scale, _ = units_of_inputs(node, self.model, self._frame())
        most = MOST_OF_PIXELS if input_of(node) else MOST
        real = weight.double().view(len(scale), -1, scale.shape[2]) * scale
        for kind, values in ("weight", weight.view(_shape(node))), ("bias", bias):
            getattr(self, f"{kind}_of_{_key(node.name)}").copy_(values)
        unit = rounding.least_scale(real, most).flatten()
        self._kept(node.name, "scale").copy_(unit.maximum(2 * bias.abs() / _MOST_BEGIN))

    def _whole(self, node: Convolution | FullyConnected, frame: Quantized) -> tuple[Tensor, Tensor]:
        """Rounded weights [groups, M / groups, K] and biases [M] of a layer."""
        weight, bias = (getattr(self, f"{kind}_of_{_key(node.name)}") for kind in ("weight", "bias"))
        scale, zero_point = (values.float() for values in units_of_inputs(node, self.model, frame))
        unit = self._kept(node.name, "scale")
        most = MOST_OF_PIXELS if input_of(node) else MOST
        groups = len(scale)
        real = weight.view(groups, -1, scale.shape[2]) * scale / unit.view(groups, -1, 1)
        whole = _rounded(real.clamp(-most, most))
        begin = bias / unit - (whole * zero_point).sum(dim=2).flatten()
        return whole, _rounded(begin.clamp(-_MOST_BEGIN, _MOST_BEGIN))

    def _frame(self) -> Quantized:
        """Scales and zero points; layers without weights."""
        nothing = np.zeros(0, np.int8), np.zeros(0, np.int32)
        scales = {node.name: self._kept(node.name, "scale").numpy() for node in self.nodes}
        made = {
            name: Activation(self._kept(name, "output_scale").numpy(), self._kept(name, "zero_point").numpy())
            for name in self.made
        }
        return Quantized({name: Layer(nothing[0], scale, nothing[1]) for name, scale in scales.items()}, made)

    def _keep(self, name: str, what: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
        self.register_buffer(f"{what}_of_{_key(name)}", torch.from_numpy(values.copy()))

    def _kept(self, name: str, what: str) -> Tensor:
        kept: Tensor = getattr(self, f"{what}_of_{_key(name)}")
        return kept


Trainable: TypeAlias = Network | QuantizedNetwork


def _shape(node: Convolution | FullyConnected) -> tuple[int, ...]:
    return node.tensor_shapes()[f"{node.name}.weight"]


def _key(name: str) -> str:
    """A name that PyTorch allows."""
    return name.replace(".", "/")


def _rounded(values: Tensor) -> Tensor:
    """The nearest whole numbers, with the gradient of ``values``."""
    return values + (torch.round(values) - values).detach()
