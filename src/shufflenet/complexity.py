"""Multiply-adds, parameters and activation memory per layer, from the family table alone (no PyTorch).

Letters: C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shufflenet.arch import Architecture, Unit

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """One row of the table."""

    name: str
    output_shape: tuple[int, int, int]  # C, H, W
    macs: int  # multiply-adds of a convolution or the classifier; batch norm and pooling count as none
    parameters: int  # with batch norm's weight and bias, without its running statistics

    @property
    def activation_bytes(self) -> int:
        """The layer's output as float32."""
        channels, height, width = self.output_shape
        return channels * height * width * _FLOAT32_BYTES


@dataclass(frozen=True)
class Complexity:
    """What a network costs for one picture of ``height`` x ``width`` pixels."""

    arch: Architecture
    height: int
    width: int
    layers: list[Layer]

    @property
    def macs(self) -> int:
        """Multiply-adds. The paper counts the classifier in Table 5, but not in Table 1."""
        return sum(layer.macs for layer in self.layers)

    @property
    def macs_without_classifier(self) -> int:
        return self.macs - self.layers[-1].macs

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)


def summary(arch: Architecture, height: int = 224, width: int = 224) -> Complexity:
    """The cost of every layer of ``arch`` (arXiv 1707.01083, Table 1).

    Raises:
        ValueError: the picture has no pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, not {height} x {width}")
    return Complexity(arch, height, width, list(_layers(arch, height, width)))


def _layers(arch: Architecture, height: int, width: int) -> Iterator[Layer]:
    height, width = _strided(height, arch.stem_stride), _strided(width, arch.stem_stride)
    yield _convolution("conv1", (arch.stem_channels, height, width), arch.in_channels * 9)
    height, width = _strided(height, 2), _strided(width, 2)
    yield Layer("maxpool", (arch.stem_channels, height, width), 0, 0)
    for unit in arch.units():
        yield from _unit_layers(unit, height, width)
        height, width = _strided(height, unit.stride), _strided(width, unit.stride)
    yield Layer("global_pool", (arch.features, 1, 1), 0, 0)
    weights = arch.features * arch.classes
    yield Layer("fc", (arch.classes, 1, 1), weights, weights + arch.classes)


def _unit_layers(unit: Unit, height: int, width: int) -> Iterator[Layer]:
    middle = unit.bottleneck_channels
    out_height, out_width = _strided(height, unit.stride), _strided(width, unit.stride)
    yield _convolution(f"{unit.name}.pointwise1", (middle, height, width), unit.in_channels // unit.groups1)
    yield _convolution(f"{unit.name}.depthwise", (middle, out_height, out_width), 9)
    yield _convolution(f"{unit.name}.pointwise2", (unit.branch_channels, out_height, out_width), middle // unit.groups2)
    if unit.stride == 2:
        yield Layer(f"{unit.name}.shortcut", (unit.in_channels, out_height, out_width), 0, 0)


def _convolution(name: str, output_shape: tuple[int, int, int], inputs: int) -> Layer:
    """A convolution without bias and its batch norm; ``inputs`` are the values that one output is summed from."""
    channels, height, width = output_shape
    return Layer(name, output_shape, channels * height * width * inputs, channels * inputs + 2 * channels)


def _strided(size: int, stride: int) -> int:
    """Output size of a 3 x 3 window with padding 1."""
    return (size - 1) // stride + 1
