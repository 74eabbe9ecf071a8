"""Weights as whole numbers: to the nearest, or so that the layer's outputs change least on the calibration pictures.

The second rounds one weight after the other and makes up for its error with those that are still to come (Frantar et
al., GPTQ, 2210.17323). Before that it fits the real weights to inputs that earlier layers have already changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DAMPING = 0.01  # at least, of an input's mean square, added to all: keeps weights of rarely used inputs where they are
_LEAST_SCALE = 1e-12


def least_scale(weights: Tensor, most: int) -> Tensor:
    """The scale of each output [..., M] with which weights [..., M, K] are at most ``most``."""
    return (weights.abs().amax(dim=-1) / most).clamp(min=_LEAST_SCALE)


def nearest(weights: Tensor, scale: Tensor, most: int) -> Tensor:
    """Whole numbers from -most to most; ``scale``: of each output, [..., M]."""
    return torch.round(weights / scale[..., None]).clamp(-most, most)


def fitted(weights: Tensor, wanted: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Real weights whose sums over ``inputs`` are nearest to those of ``weights`` over ``wanted``, up to a constant.

    Args:
        weights: [G, M, K] float64, G groups.
        wanted: [G, K, S] what the float network's layer reads at S places.
        inputs: [G, K, S] what the quantized network's layer reads there, in the same unit.

    Returns:
        the weights, and the damped second moments of ``inputs`` for `in_turn`, [G, K, K].
    """
    wanted, inputs = (x - x.mean(dim=2, keepdim=True) for x in (wanted.double(), inputs.double()))
    moments = inputs @ inputs.transpose(1, 2) / inputs.shape[2]
    # With few places to each input a fit would follow their noise.
    share = max(_DAMPING, moments.shape[1] / inputs.shape[2])
    damping = share * moments.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-6
    damped = moments + damping[:, None, None] * torch.eye(moments.shape[1], dtype=moments.dtype)
    lacking = weights @ ((wanted - inputs) @ inputs.transpose(1, 2) / inputs.shape[2])
    return weights + torch.linalg.solve(damped, lacking.transpose(1, 2)).transpose(1, 2), damped


def in_turn(weights: Tensor, scale: Tensor, moments: Tensor, most: int) -> Tensor:
    """As `nearest`, but the inputs with the largest moments first, each time changing the weights that are left."""
    order = moments.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True)  # [G, K]
    columns = order[:, None, :]
    moments = moments.gather(1, order[:, :, None].expand_as(moments)).gather(2, columns.expand_as(moments))
    share = torch.linalg.cholesky(torch.linalg.inv(moments), upper=True)  # [G, K, K]
    left = weights.gather(2, columns.expand_as(weights))
    whole = torch.empty_like(left)
    for k in range(left.shape[2]):
        whole[:, :, k] = torch.round(left[:, :, k] / scale).clamp(-most, most)
        error = (left[:, :, k] - whole[:, :, k] * scale) / share[:, k, k, None]
        left[:, :, k + 1 :] -= error[:, :, None] * share[:, k, None, k + 1 :]
    back = order.argsort(dim=1)[:, None, :]
    return whole.gather(2, back.expand_as(whole))
