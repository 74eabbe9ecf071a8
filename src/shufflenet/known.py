"""How sure a network is that a picture shows one of its classes at all.

The score is the logarithm of the sum of the logits' exponentials (the energy of Liu et al., arXiv 2010.03759). To all
logits alike one may add a linear function of the features: no probability changes, but the score does. So `calibrate`
writes into the last layer what makes the score good and its threshold 0, and every runtime that computes the logits
has it.

Letters: N pictures, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet import temperature
from shufflenet.probabilities import softmax

KEPT = 0.95  # of the validation pictures are above the threshold
_SHARE = 0.25  # of the features' mean direction in the score, by spread; more lets sharpness alone decide


@dataclass(frozen=True)
class Calibrated:
    """The last layer, float32: ``weight`` [K, F] and ``bias`` [K]; and what its logits were divided by."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    temperature: float

    def errors(self, features: NDArray[np.float32], targets: NDArray[np.int64]) -> tuple[float, float]:
        """Top-1 and top-5 error in percent of pictures by their features, [N, F]."""
        order = np.argsort(-(features @ self.weight.T + self.bias), axis=1, kind="stable")
        hits = order[:, :5] == targets[:, None]
        return 100 * float(np.mean(~hits[:, 0])), 100 * float(np.mean(~hits.any(axis=1)))


def calibrate(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    mean: NDArray[np.float64] | None,
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
) -> Calibrated:
    """The same classifier with calibrated probabilities, whose score is above 0 for `KEPT` of the pictures.

    Args:
        weight, bias: [K, F] and [K].
        mean: [F] of the training pictures' features, where the network was trained on them: features are then larger
            in their direction than those of other things, which counts a little. None: energy alone.
        features: [N, F] of pictures that the network was not trained on.
        targets: [N] their classes.
    """
    x = features.astype(np.float64)
    scale = temperature.fit(x @ weight.T + bias, targets)
    weight, bias = weight / scale, bias / scale
    energies = energy(x @ weight.T + bias)
    if mean is not None:
        along = x @ mean
        share = _SHARE * energies.std() / max(float(along.std()), 1e-12)
        weight, energies = weight + share * mean, energies + share * along
    bias = bias - np.quantile(energies, 1 - KEPT)
    # In half precision, which the engine reads in half the time; see `training.result.round_fully_connected`.
    half = weight.astype(np.float16)
    stored = half.astype(np.float32) if np.isfinite(half).all() else weight.astype(np.float32)
    return Calibrated(stored, bias.astype(np.float32), scale)


def energy(logits: NDArray[Any]) -> NDArray[np.float64]:
    """log(sum(exp(logits))): [..., K] -> [...]."""
    highest = logits.max(axis=-1).astype(np.float64)
    total: NDArray[np.float64] = highest + np.log(np.exp(logits - highest[..., None]).sum(axis=-1))
    return total


def confidence(logits: NDArray[Any], training: Mapping[str, Any]) -> NDArray[np.float64]:
    """How sure the network is that a picture is of its classes, 0 to 1: [..., K] -> [...].

    Of a model that `calibrate` made, 1 / (1 + exp(-score)), whose threshold is 0.5; of others the highest probability.
    """
    if not is_calibrated(training):
        highest: NDArray[np.float64] = softmax(logits).max(axis=-1)
        return highest
    return 1 / (1 + np.exp(-np.clip(energy(logits), -500, 500)))


def is_calibrated(training: Mapping[str, Any]) -> bool:
    """Whether the model file with this record of training says that its score's threshold is 0."""
    return isinstance(record := training.get("unknown"), dict) and record.get("score") == "energy"


def record(calibrated: Calibrated) -> dict[str, Any]:
    """For the model file's ``training``."""
    return {"score": "energy", "threshold": 0.0, "kept": KEPT, "temperature": round(calibrated.temperature, 6)}
