"""The forms in which servers say what is in a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from shufflenet.classifier import Prediction

Form: TypeAlias = Callable[[Prediction], Any]


def document(prediction: Prediction) -> dict[str, Any]:
    """As `predict --json` prints it."""
    return prediction.document()


def hugging_face(prediction: Prediction) -> list[dict[str, Any]]:
    """As Hugging Face's image classification: labels with scores, best first."""
    columns = zip(prediction.labels, prediction.probabilities, strict=True)
    return [{"label": label, "score": probability} for label, probability in columns]


def torchserve(prediction: Prediction) -> dict[str, float]:
    """As TorchServe's image classifier: the probability of each label."""
    return dict(zip(prediction.labels, prediction.probabilities, strict=True))
