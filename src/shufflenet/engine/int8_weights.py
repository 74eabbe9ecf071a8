"""The weights and constants of a quantized network in the order of quads (engine/quads.py)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine.quads import LANES
from shufflenet.engine.steps import Floats, Indices
from shufflenet.networks.quantized import Requantised

Weights = NDArray[np.int8]
_Number = TypeVar("_Number", bound=np.generic)


def arranged(values: NDArray[_Number], order: Indices) -> NDArray[_Number]:
    """One of ``values`` for each of ``order``, which numbers them along the first axis; 0 for -1."""
    result = values[np.maximum(order, 0)]
    result[order < 0] = 0
    return result


def outputs_of(constants: Requantised, order: Indices) -> Floats:
    """struct int8_output of engine/int8_steps.h for each of ``order``: [len(order), 5]."""
    nothing = np.zeros_like(constants.multiplier)
    fields = (
        constants.multiplier, constants.residual_multiplier, constants.offset, constants.gain, constants.zero,
    )  # fmt: skip
    return arranged(np.stack([nothing if each is None else each for each in fields], axis=1), order)


def by_quads(weight: Weights, groups: int, places: Indices) -> tuple[Indices, Weights]:
    """The quads that each group of a convolution reads, and its weights for their lanes, zero where none is its.

    Args:
        weight: [M, inputs of a group, taps].
        places: LANES * quad + lane of each input, [C].

    Returns:
        quads [groups, K], of which the first may stand in for missing ones; weights [M, K * taps, LANES].
    """
    outputs, inputs, taps = weight.shape
    of_groups = [np.unique(some // LANES) for some in places.reshape(groups, inputs)]
    k = max(map(len, of_groups))
    quads = np.stack([np.concatenate([some, np.full(k - len(some), some[0])]) for some in of_groups])
    result = np.zeros((outputs, k, taps, LANES), np.int8)
    for g, some in enumerate(of_groups):
        lanes = places[g * inputs : (g + 1) * inputs]
        own = slice(g * (outputs // groups), (g + 1) * (outputs // groups))
        result[own, np.searchsorted(some, lanes // LANES), :, lanes % LANES] = weight[own].transpose(1, 0, 2)
    return quads, result.reshape(outputs, k * taps, LANES)


def per_window(places: Indices, windows: int) -> Indices:
    """The places of each channel's windows, whose quads lie one after the other: [C * windows]."""
    quads, lanes = np.divmod(places, LANES)
    return (LANES * (quads[:, None] * windows + np.arange(windows)) + lanes[:, None]).ravel()
