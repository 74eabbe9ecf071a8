"""The networks that the paper compares ShuffleNet with, and what users compare it with first: one file per family."""

from __future__ import annotations

from collections.abc import Callable

from shufflenet.networks.baselines import (
    alexnet,
    mobilenet_v1,
    resnet,
    resnext,
    shufflenet_v1,
    shufflenet_v2,
    squeezenet,
    vgg_like,
    xception_like,
)
from shufflenet.networks.graph import Graph

_FAMILIES = (
    mobilenet_v1, resnet, resnext, xception_like, vgg_like, alexnet, squeezenet, shufflenet_v1, shufflenet_v2,
)  # fmt: skip
# Name -> number of classes -> network.
NETWORKS: dict[str, Callable[[int], Graph]] = {
    name: build for family in _FAMILIES for name, build in family.NETWORKS.items()
}


def graph(name: str, classes: int = 1000) -> Graph:
    """The network of this name, such as ``mobilenet_v1_x0_5``.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known are shufflenet_gG_xS_S and {', '.join(NETWORKS)}")
    return NETWORKS[name](classes)
