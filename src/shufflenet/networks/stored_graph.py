"""A network of no family, as JSON: its operators one by one, each with its fields and the numbers of what it reads.

Operator 0 is the picture; the first operator of the list is number 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from shufflenet.json_object import check_keys
from shufflenet.networks.graph import (
    AdaptiveAveragePool,
    Add,
    Concat,
    Convolution,
    FullyConnected,
    Graph,
    Node,
    Pad,
    Pool,
    Scale,
    Shuffle,
    Split,
    WindowPool,
)

_MOST_OPERATORS = 10_000
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")  # a PyTorch module's
_MOST_LETTERS = 200

_OPERATORS: Mapping[str, type[Node]] = {
    "convolution": Convolution,
    "pool": Pool,
    "window_pool": WindowPool,
    "pad": Pad,
    "adaptive_average_pool": AdaptiveAveragePool,
    "fully_connected": FullyConnected,
    "add": Add,
    "scale": Scale,
    "concat": Concat,
    "split": Split,
    "shuffle": Shuffle,
}
_NAMES = {operator: name for name, operator in _OPERATORS.items()}


def described(graph: Graph) -> dict[str, Any]:
    """What `graph` makes the same graph of."""
    numbers = {node: number for number, node in enumerate(graph.nodes)}
    operators = []
    for node in graph.nodes[1:]:
        if type(node) not in _NAMES:
            raise ValueError(f"{node.name}: a {type(node).__name__} can't be stored")
        values = {each.name: getattr(node, each.name) for each in fields(node)}
        operators.append({"operator": _NAMES[type(node)], **values, "inputs": [numbers[read] for read in node.inputs]})
    return {"in_channels": graph.in_channels, "operators": operators}


def graph(name: str, values: Mapping[str, Any]) -> Graph:
    """The graph that `described` described. Nothing about ``values`` is taken for granted.

    Raises:
        ValueError: they describe no network; the message says which operator is wrong.
    """
    check_keys("the fields of a graph", values, ("in_channels", "operators"))
    in_channels, operators = values["in_channels"], values["operators"]
    if type(in_channels) is not int or not 1 <= in_channels <= 1_000_000:
        raise ValueError(f"in_channels must be from 1 to 1,000,000, not {in_channels!r}")
    if not isinstance(operators, list) or not 1 <= len(operators) <= _MOST_OPERATORS:
        raise ValueError(f"operators must be a list of 1 to {_MOST_OPERATORS:,} operators")
    result = Graph(name, in_channels)
    for number, operator in enumerate(operators, 1):
        try:
            result.append(_node(operator, result.nodes))
        except ValueError as error:
            raise ValueError(f"operator {number}: {error}") from None
    _check_whole(result)
    return result


def _node(values: Any, before: list[Node]) -> Node:
    kind = values.get("operator") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in _OPERATORS:
        raise ValueError(f"must be one of {', '.join(_OPERATORS)}, not {kind!r}")
    types = _types(_OPERATORS[kind])
    check_keys(f"a {kind}", values, ["operator", *types])
    for key, type_ in types.items():
        if key != "inputs" and not _has_type(values[key], type_):
            raise ValueError(f"{key} can't be {values[key]!r}")
    names = [("name", values["name"])] + [("batch_norm", name) for name in [values.get("batch_norm")] if name]
    for key, text in names:
        if len(text) > _MOST_LETTERS or not _NAME.fullmatch(text):
            raise ValueError(f"{key} must be letters, digits and underscores, parted by dots, not {text!r}")
    inputs = values["inputs"]
    if not isinstance(inputs, list) or not all(type(n) is int and 0 <= n < len(before) for n in inputs):
        raise ValueError(f"inputs must be numbers of operators before it, not {inputs!r}")
    others = {key: values[key] for key in types if key != "inputs"}
    return _OPERATORS[kind](**others, inputs=tuple(before[n] for n in inputs))


def _types(operator: type[Node]) -> dict[str, Any]:
    hints = get_type_hints(operator)
    return {each.name: hints[each.name] for each in fields(operator)}


def _has_type(value: Any, type_: Any) -> bool:
    if get_origin(type_) is Literal:
        return value in get_args(type_)
    return type(value) is type_


def _check_whole(graph: Graph) -> None:
    if not graph.nodes[-1].flat:
        raise ValueError("the last operator must be a fully connected layer or an average pool: it gives the logits")
    if len({node.name for node in graph.nodes}) < len(graph.nodes):
        raise ValueError("two operators have the same name")
    if sum(len(node.tensor_shapes()) for node in graph.nodes) > len(graph.tensor_shapes()):
        raise ValueError("two tensors have the same name")
    readers = graph.readers()
    for node in graph.nodes[:-1]:
        if not readers[node]:
            raise ValueError(f"nothing reads {node.name}")


def with_classes(graph: Graph, classes: int) -> Graph:
    """A graph that ends with a fully connected layer, with ``classes`` outputs.

    Raises:
        ValueError: it ends with another operator.
    """
    *others, last = graph.nodes
    if not isinstance(last, FullyConnected):
        raise ValueError(f"{graph.name} doesn't end with a fully connected layer, so its classes can't be others")
    result = Graph(graph.name, graph.in_channels)
    result.input = graph.input
    result.nodes = [*others]
    result.append(replace(last, channels=classes))
    return result
