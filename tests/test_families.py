"""All families: names, stored descriptions, and networks of no family."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from random_network import every_operator
from shufflenet.networks import families
from shufflenet.networks.families import FAMILIES
from shufflenet.networks.graph import Convolution, Graph, Node
from shufflenet.networks.shufflenet_v1 import SCALES, STAGE2_CHANNELS, ShuffleNetV1


def operator(node: Node, graph: Graph) -> tuple[Any, ...]:
    """All that an operator is."""
    values = {each.name: getattr(node, each.name) for each in fields(node) if each.name != "inputs"}
    return type(node), values, [graph.nodes.index(read) for read in node.inputs]


def stored(graph: Graph) -> Graph:
    """The graph that comes back from JSON."""
    described = json.loads(json.dumps(families.described(graph)))
    return families.from_description(described["name"], described["family"], described["fields"])


@pytest.mark.parametrize("name", families.names())
def test_every_name_is_a_network(name: str) -> None:
    graph = families.architecture(name, classes=3, stem_stride=1).graph()
    assert (graph.name, graph.classes) == (name, 3)
    first = next(node for node in graph.nodes if isinstance(node, Convolution))
    assert first.stride == 1
    again = stored(graph)
    assert again.architecture == graph.architecture
    assert families.with_classes(graph, 5).classes == 5
    assert [operator(node, again) for node in again.nodes] == [operator(node, graph) for node in graph.nodes]


@pytest.mark.parametrize(
    "name", ["mobilenet_v1_x0_25", "shufflenet_v2_x0_5", "shufflenet_g3_x0_25_se", "squeezenet1_0"]
)
def test_any_network_can_be_stored_operator_by_operator(name: str) -> None:
    graph = families.architecture(name, classes=7).graph()
    made_by, graph.architecture = graph.architecture, None
    again = stored(graph)
    assert again.architecture is None
    assert again.name == name
    assert [operator(node, again) for node in again.nodes] == [operator(node, graph) for node in graph.nodes]
    if name == "squeezenet1_0":
        with pytest.raises(ValueError, match="doesn't end with a fully connected layer"):
            families.with_classes(again, 2)
    else:
        assert made_by is not None
        assert families.with_classes(again, 2).tensor_shapes() == made_by.with_classes(2).graph().tensor_shapes()


def test_names_of_shufflenets() -> None:
    names = [ShuffleNetV1(groups, scale).name for scale in SCALES for groups in STAGE2_CHANNELS]
    assert len(set(names)) == 25
    assert set(names) <= set(families.names())
    for name in (*names, "shufflenet_g4_x0_75", "shufflenet_g8_x0_25_se", "shufflenet_g1_x0_5_se_shallow_no_shuffle"):
        assert families.architecture(name).name == name
    assert families.architecture("shufflenet_g4_x0_75") == ShuffleNetV1(4, 0.75)
    assert families.architecture("shufflenet_g8_x0_25_se") == ShuffleNetV1(8, 0.25, squeeze_excitation=True)
    assert families.architecture("shufflenet_g3_shallow").name == "shufflenet_g3_shallow"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("mobilenet", ""),
        ("mobilenet_v1_x0.5", "did you mean mobilenet_v1_x0_5? "),
        ("shufflenet_g3_x1", "did you mean shufflenet_g3_x1_5? "),
        ("shufflenet_g3_x0.5", "did you mean shufflenet_g3_x0_5? "),
        ("resnet50", "did you mean resnet_140m? "),
        ("", ""),
        ("x\x1b[2J", ""),
    ],
)
def test_unknown_names(name: str, suggestion: str) -> None:
    with pytest.raises(ValueError, match="unknown network") as raised:
        families.architecture(name)
    message = str(raised.value)
    assert suggestion in message
    assert message.isprintable()
    assert all(any(variant in message for variant in family.variants) for family in FAMILIES.values())


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("mobilenet_v1_x0_5", {"classes": 0}, "classes must be from 1 to 1,000,000, not 0"),
        ("mobilenet_v1_x0_5", {"classes": True}, "classes must be a whole number"),
        ("shufflenet_v2_x1_0", {"stem_stride": 3}, "stem_stride must be 1 or 2, not 3"),
        ("alexnet", {"stem_stride": 3}, "stem_stride must be 1, 2 or 4, not 3"),
        ("shufflenet_g5_x1_0", {}, "groups must be 1, 2, 3, 4 or 8, not 5"),
        ("shufflenet_g3_x17_0", {}, "scale must be above 0 and at most 16"),
    ],
)
def test_fields_out_of_range(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        families.architecture(name, **given)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("mobilenet_v1", {"scale": 0.3}, "scale must be 0.25, 0.5, 0.75 or 1.0, not 0.3"),
        ("mobilenet_v1", {"scale": "1"}, "scale must be a number"),
        ("resnet", {"budget": 39}, "budget must be 140, 38 or 13, not 39"),
        ("xception_like", {"budget": 13.0}, "budget must be a whole number"),
        ("squeezenet", {"width": 1}, "the fields of squeezenet has an unknown key 'width'"),
        ("graph", {"in_channels": 0}, "in_channels must be from 1"),
        ("mobilenet_v9", {}, "unknown family 'mobilenet_v9'; known are shufflenet_v1, .*graph"),
    ],
)
def test_stored_fields_are_checked(family: str, change: dict[str, Any], message: str) -> None:
    known = FAMILIES.get(family)
    graph = every_operator() if known is None else families.architecture(next(iter(known.variants))).graph()
    described = families.described(graph)
    with pytest.raises(ValueError, match=message):
        families.from_description(described["name"], family, {**described["fields"], **change})


def first_of(kind: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    return next(value for value in values if value["operator"] == kind)


WRONG_OPERATORS: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "none": (lambda o: o.clear(), "operators must be a list of 1 to 10,000"),
    "no-object": (lambda o: o.insert(0, 3), "operator 1: must be one of convolution, "),  # type: ignore[arg-type]
    "unknown-kind": (lambda o: o[0].update(operator="deconvolution"), "operator 1: must be one of .*'deconvolution'"),
    "unhashable-kind": (lambda o: o[0].update(operator=[]), r"operator 1: must be one of .*, not \[\]"),
    "missing-field": (lambda o: o[0].pop("stride"), "operator 1: a convolution lacks 'stride'"),
    "unknown-field": (lambda o: o[0].update(dilation=2), "a convolution has an unknown key 'dilation'"),
    "wrong-type": (lambda o: o[0].update(stride=2.0), "stride can't be 2.0"),
    "bool-number": (lambda o: o[0].update(groups=True), "groups can't be True"),
    "wrong-choice": (lambda o: first_of("pool", o).update(kind="median"), "kind can't be 'median'"),
    "unhashable-choice": (lambda o: first_of("pool", o).update(kind=[]), r"kind can't be \[\]"),
    "empty-name": (lambda o: o[0].update(name=""), "name must be letters, digits"),
    "dotted-name": (lambda o: o[0].update(name="a..b"), "name must be letters, digits"),
    "long-name": (lambda o: o[0].update(name="a" * 201), "name must be letters, digits"),
    "later-input": (lambda o: o[1].update(inputs=[2]), r"inputs must be numbers of operators before it, not \[2\]"),
    "negative-input": (lambda o: o[1].update(inputs=[-1]), "inputs must be numbers"),
    "no-input": (lambda o: o[1].update(inputs=[]), "reads 0 operators, not 1"),
    "two-inputs": (lambda o: o[1].update(inputs=[0, 1]), "reads 2 operators, not 1"),
    "other-channels": (lambda o: o[1].update(channels=5), "pool: 5 channels, but its inputs make 6"),
    "huge-channels": (lambda o: o[0].update(channels=10**9), "channels must be from 1 to 1,000,000"),
    "groups": (lambda o: o[0].update(groups=4), "3 and 6 channels do not divide into 4 groups"),
    "kernel": (lambda o: o[0].update(kernel_size=0), "kernel_size must be from 1"),
    "stride": (lambda o: o[0].update(stride=0), "stride must be from 1"),
    "padding": (lambda o: o[0].update(padding=9), "padding must be from 0 to 4, not 9"),
    "split": (lambda o: first_of("split", o).update(first=5), "first must be from 0 to 4, not 5"),
    "shuffle": (lambda o: first_of("shuffle", o).update(groups=5), "12 channels do not divide into 5 groups"),
    "vector": (lambda o: first_of("fully_connected", o).update(inputs=[3]), "reads planes in place of a vector"),
    "planes": (lambda o: first_of("scale", o).update(inputs=[3, 3]), "must read planes and a vector"),
    "same-name": (lambda o: o[1].update(name="a"), "two operators have the same name"),
    "same-tensor": (lambda o: first_of("convolution", o[16:]).update(batch_norm="bn"), "two tensors have the same"),
    "unread": (
        lambda o: o.append({**o[0], "name": "unread"}),
        "the last operator must be a fully connected layer|nothing reads",
    ),
    "no-classifier": (lambda o: o.__delitem__(slice(-3, None)), "the last operator must be a fully connected layer"),
}


@pytest.mark.parametrize("kind", WRONG_OPERATORS)
def test_wrong_operators(kind: str) -> None:
    change, message = WRONG_OPERATORS[kind]
    values = copy.deepcopy(families.described(every_operator())["fields"])
    change(values["operators"])
    with pytest.raises(ValueError, match=message):
        families.from_description("net", "graph", values)


def test_inputs_of_other_sizes() -> None:
    graph = Graph("net")
    x = graph.convolution("a", graph.input, 8, 3, stride=2)
    graph.global_average_pool("means", graph.add("add", graph.max_pool("pool", x), x, activation="linear"))
    with pytest.raises(ValueError, match="net: the inputs of add differ in size for pictures of 64 x 32 pixels"):
        stored(graph).sizes(32, 64)
