"""The ways to build a network of one state dict that are tried where its logits are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from shufflenet.importers.convention import Convention, Shuffling

_STEMS = ((2, True), (1, True), (1, False), (2, False))  # stride, and whether a max pool is behind it
_SHUFFLES: tuple[Shuffling, ...] = ("paper", "inverse", "none")
# Units as public code has them: the paper's; Megvii's; pytorchcv's; ZCls's; kuangliu's; jaxony's.
_UNITS: tuple[Mapping[str, bool], ...] = (
    {},
    {"shuffle_last": True},
    {"branch_first": True},
    {"shuffle_last": True, "concat_relu": False},
    {"depthwise_relu": True, "branch_first": True, "first_unit_shuffles": False},
    {"stem_relu": False},
)


def alternatives(convention: Convention, stated: Mapping[str, Any]) -> list[Convention]:
    """``convention`` first, then each other stem, shuffle and kind of unit that agrees with what is stated of them."""
    found = [convention]
    for unit, (stem_stride, max_pool), shuffle in product(_UNITS, _STEMS, _SHUFFLES):
        fields: dict[str, Any] = {"stem_stride": stem_stride, "max_pool": max_pool, "shuffle": shuffle, **unit}
        if all(fields.get(key, value) == value for key, value in stated.items()):
            other = replace(convention, **fields)
            if other not in found:
                found.append(other)
    return found
