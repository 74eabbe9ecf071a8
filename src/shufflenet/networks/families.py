"""All families of networks: a name or a stored description becomes a network.

A family is added by its file and its line in `FAMILIES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from shufflenet.json_object import check_keys
from shufflenet.networks import stored_graph
from shufflenet.networks.architecture import Architecture
from shufflenet.networks.baselines.alexnet import AlexNet
from shufflenet.networks.baselines.lcnet import LCNet
from shufflenet.networks.baselines.mobilenet_v1 import MobileNetV1
from shufflenet.networks.baselines.mobilenet_v3 import MobileNetV3
from shufflenet.networks.baselines.resnet import ResNet
from shufflenet.networks.baselines.resnext import ResNeXt
from shufflenet.networks.baselines.shufflenet_v2 import ShuffleNetV2
from shufflenet.networks.baselines.squeezenet import SqueezeNet
from shufflenet.networks.baselines.vgg_like import VGGLike
from shufflenet.networks.baselines.xception_like import XceptionLike
from shufflenet.networks.graph import Graph
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

FAMILIES: Mapping[str, type[Architecture]] = {
    each.family: each
    for each in (
        ShuffleNetV1, ShuffleNetV2, MobileNetV1, MobileNetV3, LCNet, ResNet, ResNeXt, XceptionLike, VGGLike,
        SqueezeNet, AlexNet,
    )
}  # fmt: skip
# A network of no family, stored operator by operator.
_NO_FAMILY = "graph"


def names() -> list[str]:
    """Every network that a family names; a ShuffleNet may have other scales."""
    return [name for family in FAMILIES.values() for name in family.variants]


def architecture(name: str, **fields: Any) -> Architecture:
    """The network of this name, such as ``mobilenet_v1_x0_5``; ``fields`` set the rest, such as ``classes=5``.

    Raises:
        ValueError: no family has it, or a field is out of range; the message says what there is.
    """
    for family in FAMILIES.values():
        named = family.fields_of(name)
        if named is not None:
            return family(**named, **fields)
    near = difflib.get_close_matches(name, names(), 1)
    suggestion = f"did you mean {near[0]}? " if near else ""
    examples = ", ".join(next(iter(family.variants)) for family in FAMILIES.values())
    raise ValueError(f"unknown network {name!r}; {suggestion}families, by one of each: {examples}")


def with_classes(graph: Graph, classes: int) -> Graph:
    """The same network with another number of classes.

    Raises:
        ValueError: a network of no family does not end with a fully connected layer.
    """
    if graph.architecture is not None:
        return graph.architecture.with_classes(classes).graph()
    return stored_graph.with_classes(graph, classes)


def described(graph: Graph) -> dict[str, Any]:
    """What `from_description` makes the same graph of, for JSON."""
    made_by = graph.architecture
    if made_by is None:
        return {"name": graph.name, "family": _NO_FAMILY, "fields": stored_graph.described(graph)}
    return {"name": graph.name, "family": made_by.family, "fields": asdict(made_by)}


def from_description(name: str, family: str, values: Mapping[str, Any]) -> Graph:
    """The graph that `described` described. Nothing about the arguments is taken for granted.

    Raises:
        ValueError: they describe no network; the message says why.
    """
    if family == _NO_FAMILY:
        return stored_graph.graph(name, values)
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; known are {', '.join([*FAMILIES, _NO_FAMILY])}")
    check_keys(f"the fields of {family}", values, [each.name for each in fields(FAMILIES[family])])
    made_by = FAMILIES[family](**values)
    if name != made_by.name:
        raise ValueError(f"architecture is named {name!r}, but its fields are those of {made_by.name}")
    return made_by.graph()
