"""The range that an activation's 8 bits cover, for each channel.

What lies beyond is clipped, what lies within is rounded; all ways but the largest value trade one error for the other.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from shufflenet.networks.quantized import MOST, Activation

Way = Literal["percentile", "error", "largest"]
WAYS: tuple[Way, ...] = get_args(Way)

# Values behind a ReLU have the zero point 0, signed ones one of each channel; those that a convolution pads have the
# same in all channels, since padding is made of it.
Kind = Literal["positive", "signed", "padded"]

PERCENTILE = 99.99
_SHARES = torch.linspace(0.3, 1.0, 22)  # of the largest value, tried for the least error
_SAMPLES = 8192  # values of a channel that errors are measured on
_LEAST = 1e-8  # below it a channel counts as always zero


def activation(values: Tensor, way: Way, kind: Kind) -> Activation:
    """Scale and zero point of each channel.

    Args:
        values: what the float network makes of the calibration pictures, [N, C] or [N, C, H, W].
    """
    flat = values.reshape(*values.shape[:2], -1).movedim(1, 0).flatten(1)  # [C, N*H*W]
    low, high = _bounds(flat, way, signed=kind != "positive")
    if kind == "padded":
        high = torch.maximum(high, -low)
        low = -high * (MOST // 2 + 1) / (MOST - MOST // 2 - 1)
    scale = (high - low).double() / MOST
    used = scale > _LEAST
    scale[~used] = scale[used].median() if used.any() else 1.0  # any will do
    zero_point = torch.round(-low.double() / scale).clamp(0, MOST)
    return Activation(scale.numpy().astype(np.float32), zero_point.numpy().astype(np.uint8))


def _bounds(flat: Tensor, way: Way, *, signed: bool) -> tuple[Tensor, Tensor]:
    """The lowest and highest value that are kept of each channel, [C] each; 0 is always between them."""
    high = flat.amax(dim=1).clamp(min=0)
    low = flat.amin(dim=1).clamp(max=0) if signed else torch.zeros_like(high)
    if way == "percentile":
        beyond = max(1, int(flat.shape[1] * (1 - PERCENTILE / 100)))
        within = flat.topk(beyond, dim=1).values[:, -1].clamp(min=0)
        high = torch.where(within > 0, within, high)
        if signed:
            within = flat.topk(beyond, dim=1, largest=False).values[:, -1].clamp(max=0)
            low = torch.where(within < 0, within, low)
    elif way == "error":
        sample = flat[:, torch.linspace(0, flat.shape[1] - 1, min(_SAMPLES, flat.shape[1])).long()]
        errors = torch.stack([_error(sample, low * share, high * share) for share in _SHARES])
        share = _SHARES[errors.argmin(dim=0)]
        low, high = low * share, high * share
    return low, high


def _error(sample: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The mean squared error of each channel if its values from low to high are kept."""
    scale = ((high - low) / MOST).clamp(min=_LEAST)[:, None]
    zero_point = torch.round(-low[:, None] / scale)
    kept = (torch.round(sample / scale) + zero_point).clamp(0, MOST) - zero_point
    return (kept * scale - sample).square().mean(dim=1)
