"""Multiply-adds of the paper's networks as this package counts them, and why some differ from the published ones."""

from __future__ import annotations

from shufflenet.networks import complexity, families
from shufflenet.networks.complexity import Complexity
from shufflenet.networks.graph import Graph

TOLERANCE = 0.01  # relative difference from a published figure that needs no reason
# Input sizes other than 224: SqueezeNet's published 833 million are at Caffe's 227 x 227 pixels.
_SIDES = {"squeezenet1_0": 227}

_ONE_FIGURE = "140 names all networks of 1x; for each of them we count Table 1's figure, with the classifier"
_HALF = (
    "38 names all networks of 0.5x; ours have half of Table 1's channels, and 12 in Conv1, which the paper leaves open"
)
# For each network whose multiply-adds differ from the published ones (see `matches`): the reason.
REASONS = {
    "shufflenet_g1_x1_0": _ONE_FIGURE,
    "shufflenet_g3_x1_0": _ONE_FIGURE,
    "shufflenet_g4_x1_0": _ONE_FIGURE,
    "shufflenet_g8_x1_0": _ONE_FIGURE,
    "xception_like_140m": "Table 1 has 143 for one group, which is this network",
    "shufflenet_g1_x0_5": _HALF,
    "shufflenet_g2_x0_5": _HALF,
    "shufflenet_g4_x0_5": _HALF,
    "shufflenet_g8_x0_5": "16 channels in Conv1, as in the authors' code, which counts 40",
    "xception_like_38m": _HALF,
    "shufflenet_g8_x0_25": "Conv1 has a multiple of 8 channels: 8 make 12.4, 16 would make 15.7",
    "resnext_140m": "its 16 groups take 16 channels at once: one channel less in stage 4 would make 129.9",
    "vgg_like_38m": "49 channels in stage 4; the paper's 50 would make 38.9",
}


def build(network: str) -> Graph | None:
    """The network of this name in Tables 1 to 8; None if this package has no such network, as VGG-16."""
    return families.architecture(network).graph() if network in families.names() else None


def cost(network: str) -> Complexity | None:
    """The network's cost at the paper's input size, 224 x 224 pixels except for `_SIDES`; None: see `build`."""
    built, side = build(network), _SIDES.get(network, 224)
    return None if built is None else complexity.summary(built, side, side)


def million(network: str) -> float | None:
    """Million multiply-adds of the network with its classifier; None: see `build`."""
    counted = cost(network)
    return None if counted is None else counted.macs / 1e6


def matches(ours: float, published: int) -> bool:
    """Whether ``ours`` (million multiply-adds) is within `TOLERANCE` of ``published``, or equal when rounded."""
    return abs(ours - published) <= TOLERANCE * published or round(ours) == published
