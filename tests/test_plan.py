"""Python writes the plan as engine/plan.h describes it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from random_network import random_network
from shufflenet.engine import steps
from shufflenet.engine.layout import ROW_TAIL
from shufflenet.engine.plan import make_plan
from shufflenet.networks.graph import Activation, Add, Concat, Node, Shuffle, never_negative
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1

ENGINE = Path(__file__).parent.parent / "engine"
HEADER = re.sub(r"//.*", "", (ENGINE / "plan.h").read_text(encoding="utf-8"))


def fields_of(struct: str) -> tuple[str, ...]:
    """The names of a struct's uint32_t fields, in order."""
    body = re.search(rf"struct plan_{struct} {{(.*?)(?:union|\n}};)", HEADER, re.DOTALL)
    assert body, struct
    lines = re.findall(r"uint32_t ([\w, ]+);", body[1])
    return tuple(name for line in lines for name in line.split(", "))


def enum_of(name: str) -> dict[str, int]:
    body = re.search(rf"enum plan_{name} {{(.*?)}};", HEADER, re.DOTALL)
    assert body, name
    return {key.lower(): int(value) for key, value in re.findall(r"PLAN_(\w+) = (\d+),", body[1])}


def test_constants() -> None:
    magic, version = re.search(r"PLAN_MAGIC = (\w+), PLAN_VERSION = (\d+)", HEADER).groups()  # type: ignore[union-attr]
    assert (int(magic, 16), int(version)) == (steps.MAGIC, steps.VERSION)
    assert f"ROW_ALIGNMENT = {ROW_TAIL + 1}," in HEADER
    assert f"MAX_GROUP_STEPS = {steps.MOST_GROUP_STEPS}," in (ENGINE / "kernels.h").read_text(encoding="utf-8")
    assert re.search(r"define PLAN_NO_TABLE UINT32_MAX", HEADER)
    assert re.search(r"define PLAN_WHOLE UINT32_MAX", HEADER)
    assert steps.NO_TABLE == steps.WHOLE == 2**32 - 1


def test_enums() -> None:
    assert enum_of("kind") == steps.KIND_NUMBERS
    assert enum_of("activation") == steps.ACTIVATIONS
    assert enum_of("dtype") == steps.DTYPES
    assert enum_of("pooling") == {kind.replace("max", "maximum"): number for kind, number in steps.POOLINGS.items()}


def test_fields_of_every_kind() -> None:
    structs = {kind: "int8_pool" if kind.startswith("int8") else "pool" for kind in steps.KINDS if "_pool" in kind}
    for kind in ("adaptive_average_pool", "window_pool", "int8_adaptive_average_pool"):
        structs[kind] = kind
    for kind, fields in steps.KINDS.items():
        assert fields_of(structs.get(kind, kind)) == fields
    assert fields_of("header") == steps.HEADER
    assert fields_of("step") == steps.COMMON_FIELDS
    union = re.search(r"union {(.*?)} as;", HEADER, re.DOTALL)
    assert union
    members = re.findall(r"struct plan_(\w+) (\w+);", union[1])
    assert {name for _, name in members} == {structs.get(kind, kind) for kind in steps.KINDS}
    assert all(struct == name for struct, name in members)


def test_half_precision_is_declared_where_it_is_exact() -> None:
    """One other weight, and the block is of single precision."""
    _, model = random_network(ShuffleNetV1(3, 0.25, classes=10))
    weight = model.tensors["fc.weight"]
    weight[:] = weight.astype(np.float16)
    halves = make_plan(model, 32, 32)
    for value in (np.float32(0.1), np.float32(65536), np.float32(np.nan), np.float32(2**-25)):
        kept = weight[3, 4]
        weight[3, 4] = value
        assert len(make_plan(model, 32, 32)) == len(halves) + 2 * weight.size
        weight[3, 4] = kept
    weight[3, 4] = np.float32(2**-24)
    assert len(make_plan(model, 32, 32)) == len(halves)


def test_a_step_has_its_fields() -> None:
    with pytest.raises(AssertionError):
        steps.Steps().add("scale", "scale", channels=3, pixels=4)


@pytest.mark.parametrize(("activation", "expected"), [("relu", True), ("linear", False)])
def test_never_negative_looks_once_at_each_operator_of_deep_graphs(activation: Activation, expected: bool) -> None:
    node: Node = Add("sum", (), 6, activation)
    for number in range(3000):
        node = Shuffle(f"shuffle{number}", (node,), 6, 2)
    for number in range(60):  # 2^60 ways to the sum
        node = Concat(f"twice{number}", (node, node), 2 * node.channels)
    assert never_negative(node) is expected
