"""The last layer fitted to whole pictures, with the rest of the network as it is.

Training shows enlarged parts of pictures, in which a network finds other features than in whole ones; fitting the last
layer to what it finds there makes up for part of that (Touvron et al., 1906.06423). It costs one look at each picture.

Letters: N pictures, F features, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A picture's answer is half its label and half what the network says of it: it knows the pictures that it was trained
# on better than others, and would be believed too much.
_OWN = 0.5
_PULL = 300.0  # of the weights to where they were, as if from so many pictures: with few the layer stays as it is
_STEPS = 30
_ROWS = 8192  # at once


def fit(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    class_weights: NDArray[np.float64],
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weight [K, F] and bias [K] with the least cross entropy, near those that are given.

    Args:
        features: [N, F] of training pictures.
        targets: [N] their classes.
        class_weights: [K], how much a picture of each class counts.
        tell: told steps done, and of how many; raises to end the fit.
    """
    count = len(features)
    mean, spread = features.mean(axis=0, dtype=np.float64), max(float(features.std()), 1e-12)
    x = torch.from_numpy(features) - torch.from_numpy(mean.astype(np.float32))
    x /= spread
    begin = [torch.from_numpy(part.astype(np.float32)) for part in (weight * spread, bias + weight @ mean)]
    counts = torch.from_numpy((class_weights[targets] / class_weights[targets].sum()).astype(np.float32))
    classes = torch.from_numpy(targets)
    wanted = torch.addmm(begin[1], x, begin[0].T).softmax(dim=1).mul_(_OWN)
    wanted[torch.arange(count), classes] += 1 - _OWN
    change = torch.zeros(weight.shape), torch.zeros(bias.shape)
    steps = itertools.count()
    for part in change:
        part.grad = torch.zeros_like(part)

    def loss() -> float:
        """The loss at ``change``, and its gradient there."""
        tell(min(next(steps), _STEPS), _STEPS)
        total = _PULL / count * float(change[0].square().sum())
        gradients = [2 * _PULL / count * change[0], torch.zeros_like(change[1])]
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            layer = begin[0] + change[0], begin[1] + change[1]
            answers = torch.addmm(layer[1], x[rows], layer[0].T).log_softmax(dim=1)
            total -= float(counts[rows] @ (wanted[rows] * answers).sum(dim=1))
            slope = (answers.exp() - wanted[rows]) * counts[rows, None]
            gradients[0] += slope.T @ x[rows]
            gradients[1] += slope.sum(dim=0)
        for part, gradient in zip(change, gradients, strict=True):
            part.grad = gradient
        return total

    optimizer = torch.optim.LBFGS(
        change, max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe", tolerance_change=1e-9
    )
    optimizer.step(loss)  # type: ignore[no-untyped-call]
    fitted = weight + _real(change[0]) / spread
    return fitted, bias + _real(change[1]) - (fitted - weight) @ mean


def _real(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.double().numpy()
    return array
