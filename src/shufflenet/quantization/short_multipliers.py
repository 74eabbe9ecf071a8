"""Scales whose quotients, the multipliers from sums to activations, have few bits in their mantissa.

A product of such a multiplier and a sum below 2^18 is exact in float32. Whether a runtime adds the bias to the sum or
to the product, fuses the two or not, it then finds the same bytes as the engine.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shufflenet.networks.quantized import MOST, Activation

Reals = NDArray[np.float64]

# Their sum is the mantissa of a float32, so that a scale of sums, which is the product of both, is exact too.
BITS = 6  # of a multiplier
SCALE_BITS = 18  # of an activation's scale
_LEAST_MULTIPLIER = 2**-11  # sums that make bytes are below 2^18 then, and exact with `BITS` more
_FARTHEST = 2  # that a zero point may move, for a multiplier that divides it


def short(values: ArrayLike, bits: int) -> Reals:
    """The least numbers that are not below ``values`` and have ``bits`` bits in their mantissa."""
    mantissa, exponent = np.frexp(values)
    rounded: Reals = np.ldexp(np.ceil(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def unit_of_sums(least: Reals, made: Activation, real: bool = False) -> Reals:
    """Scales of a layer's sums, at least ``least``, with which multipliers are short; all [M].

    Args:
        made: of the bytes that the sums become.
        real: a function comes first, which is of real values: the multipliers are the scales of the sums.
    """
    scale = made.scale.astype(np.float64)
    least = np.maximum(least, scale * _LEAST_MULTIPLIER)
    return short(least, BITS) if real else scale * short(least / scale, BITS)


def with_whole_zero(made: Activation, least: Reals, movable: bool) -> tuple[Activation, Reals]:
    """An activation with zero points that are whole numbers of a layer's sums, and the scales of these.

    Other runtimes have one zero point for all channels, so that those of single channels have to be part of the biases.

    Args:
        least: what the scales of the sums must be at least, [M].
        movable: zero points may be others, with as much larger scales. Otherwise a zero point is no whole number where
            one of the sums is more than one of the bytes.
    """
    scale, zero_point, unit = made.scale.astype(np.float64), made.zero_point.copy(), unit_of_sums(least, made)
    for channel in np.flatnonzero(zero_point):
        before = int(zero_point[channel])
        near, enough = {before}, scale[channel]
        if movable:
            near |= set(range(max(1, before - _FARTHEST), min(MOST - 1, before + _FARTHEST) + 1))
            enough = max(enough, float(short(least[channel], SCALE_BITS)))
        found = [each for zero in near if (each := _with_zero(zero, before, enough, least[channel]))]
        if found:
            # Both the scale of the sums and that of the activation ought to be small.
            scale[channel], unit[channel], zero_point[channel] = min(found, key=lambda each: each[0] * each[1])
    return Activation(scale.astype(np.float32), zero_point), unit


def _with_zero(zero: int, before: int, scale: float, least: float) -> tuple[float, float, int] | None:
    """The scale that holds the range of another zero point, the least scale of its sums, and this zero point.

    None: it can't be a whole number of sums.
    """
    if zero != before:
        grown = scale * max(before / zero, (MOST - before) / (MOST - zero))
        scale = float(short(grown, SCALE_BITS))
    least_multiplier = max(least / scale, _LEAST_MULTIPLIER)
    exponent = math.frexp(least_multiplier)[1] - BITS
    for mantissa in range(1 << (BITS - 1), (1 << BITS) + 1):
        multiplier = math.ldexp(mantissa, exponent)
        if multiplier >= least_multiplier and (zero / multiplier).is_integer():
            return scale, multiplier * scale, zero
    return None
