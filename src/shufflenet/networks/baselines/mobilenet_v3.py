"""MobileNet v3 (arXiv 1905.02244, Tables 1 and 2). Names are those of torchvision's state dict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from shufflenet.networks.architecture import Architecture
from shufflenet.networks.graph import Activation, Graph, Node
from shufflenet.networks.shufflenet_v1 import round_to
from shufflenet.networks.squeeze_excitation import add_squeeze_excitation

_EPSILON = 1e-3  # of batch norm


class _Block(NamedTuple):
    """A row of the tables: an inverted residual."""

    kernel_size: int
    expanded_channels: int
    channels: int
    squeeze_excitation: bool
    activation: Activation
    stride: int


_RE: Activation = "relu"
_HS: Activation = "hard_swish"
_SMALL = (
    _Block(3, 16, 16, True, _RE, 2), _Block(3, 72, 24, False, _RE, 2), _Block(3, 88, 24, False, _RE, 1),
    _Block(5, 96, 40, True, _HS, 2), _Block(5, 240, 40, True, _HS, 1), _Block(5, 240, 40, True, _HS, 1),
    _Block(5, 120, 48, True, _HS, 1), _Block(5, 144, 48, True, _HS, 1), _Block(5, 288, 96, True, _HS, 2),
    _Block(5, 576, 96, True, _HS, 1), _Block(5, 576, 96, True, _HS, 1),
)  # fmt: skip
_LARGE = (
    _Block(3, 16, 16, False, _RE, 1), _Block(3, 64, 24, False, _RE, 2), _Block(3, 72, 24, False, _RE, 1),
    _Block(5, 72, 40, True, _RE, 2), _Block(5, 120, 40, True, _RE, 1), _Block(5, 120, 40, True, _RE, 1),
    _Block(3, 240, 80, False, _HS, 2), _Block(3, 200, 80, False, _HS, 1), _Block(3, 184, 80, False, _HS, 1),
    _Block(3, 184, 80, False, _HS, 1), _Block(3, 480, 112, True, _HS, 1), _Block(3, 672, 112, True, _HS, 1),
    _Block(5, 672, 160, True, _HS, 2), _Block(5, 960, 160, True, _HS, 1), _Block(5, 960, 160, True, _HS, 1),
)  # fmt: skip


def round_channels(wanted: float) -> int:
    """The nearest multiple of 8; the next one if that is more than a tenth below ``wanted``."""
    rounded = round_to(wanted, 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


@dataclass(frozen=True)
class MobileNetV3(Architecture):
    """``large`` is Table 1's network, the other is Table 2's."""

    family: ClassVar[str] = "mobilenet_v3"
    variants: ClassVar = {"mobilenet_v3_small": {"large": False}, "mobilenet_v3_large": {"large": True}}

    large: bool

    @property
    def name(self) -> str:
        return f"mobilenet_v3_{'large' if self.large else 'small'}"

    def add_operators(self, graph: Graph) -> None:
        blocks, features = (_LARGE, 1280) if self.large else (_SMALL, 1024)
        x = _add_convolution(graph, "features.0", graph.input, 16, 3, _HS, stride=self.stem_stride)
        for number, block in enumerate(blocks, 1):
            x = _add_block(graph, f"features.{number}", x, block)
        x = _add_convolution(graph, f"features.{len(blocks) + 1}", x, 6 * x.channels, 1, _HS)
        x = graph.fully_connected("classifier.0", graph.global_average_pool("avgpool", x), features, _HS)
        graph.fully_connected("classifier.3", x, self.classes)


def _add_block(graph: Graph, name: str, x: Node, block: _Block) -> Node:
    """1x1 to more channels, depthwise, squeeze-and-excitation, 1x1 to fewer; added to the input where shapes agree."""
    branch, number = x, 0
    if block.expanded_channels != x.channels:
        branch = _add_convolution(graph, f"{name}.block.0", x, block.expanded_channels, 1, block.activation)
        number = 1
    branch = _add_convolution(
        graph, f"{name}.block.{number}", branch, branch.channels, block.kernel_size, block.activation,
        stride=block.stride, groups=branch.channels,
    )  # fmt: skip
    number += 1
    if block.squeeze_excitation:
        se = f"{name}.block.{number}"
        branch = add_squeeze_excitation(
            graph, branch, (f"{se}.avgpool", f"{se}.fc1", f"{se}.fc2", f"{se}.scale"),
            round_channels(branch.channels / 4), gate="hard_sigmoid", pointwise=True,
        )  # fmt: skip
        number += 1
    branch = _add_convolution(graph, f"{name}.block.{number}", branch, block.channels, 1, "linear")
    if block.stride == 1 and block.channels == x.channels:
        return graph.add(f"{name}.add", branch, x)
    return branch


def _add_convolution(
    graph: Graph, name: str, x: Node, channels: int, kernel_size: int, activation: Activation, *,
    stride: int = 1, groups: int = 1,
) -> Node:  # fmt: skip
    return graph.convolution(
        f"{name}.0", x, channels, kernel_size,
        stride=stride, groups=groups, batch_norm=f"{name}.1", epsilon=_EPSILON, activation=activation,
    )  # fmt: skip
