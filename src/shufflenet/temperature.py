"""Temperature scaling: one number by which logits are divided, so that probabilities are as often right as they say.

Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), section 4.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RANGE = (0.02, 50.0)
_HALVINGS = 60


def fit(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The temperature with the lowest cross-entropy, from 0.02 to 50.

    Args:
        logits: [N, classes] of pictures that the network was not trained on.
        targets: [N] their classes.
    """
    low, high = (float(np.log(1 / end)) for end in reversed(_RANGE))
    for _ in range(_HALVINGS):  # cross-entropy is convex in 1 / temperature
        middle = (low + high) / 2
        low, high = (low, middle) if _slope(logits, targets, float(np.exp(middle))) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def _slope(logits: NDArray[np.float64], targets: NDArray[np.int64], factor: float) -> float:
    """How cross-entropy changes with the factor of the logits."""
    scaled = logits * factor
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    expected = (powers * logits).sum(axis=1) / powers.sum(axis=1)
    return float((expected - logits[np.arange(len(targets)), targets]).mean())
