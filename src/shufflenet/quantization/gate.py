"""What 8 bits cost in accuracy, on the same pictures as the float model, and whether that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shufflenet.evaluation import Evaluation, evaluate
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import Quantized
from shufflenet.quantization.layer_costs import LayerCost

_NAMED = 3  # layers in the message of a refusal


class GateError(Exception):
    """8 bits lose too much; the message says how much, and which layers cost most."""


@dataclass(frozen=True)
class Loss:
    """Both models on the same pictures; accuracies are top-1, in percent."""

    pictures: int
    float_accuracy: float
    accuracy: float
    uncertainty: float  # of the difference, one standard deviation, in points
    evaluation: Evaluation  # of the quantized model

    @property
    def points(self) -> float:
        """What is lost."""
        return self.float_accuracy - self.accuracy

    def accuracy_record(self, data: Path) -> dict[str, Any]:
        """What a model file says of it."""
        return {
            "data": f"{data.name}, {self.pictures} validation pictures",
            "top1_error": round(self.evaluation.top1_error, 4),
            "top5_error": round(self.evaluation.top5_error, 4),
        }


def measure(
    model: Model, quantized: Quantized, data: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Loss:
    """Evaluates a float model and what it was quantized to, both on the engine.

    Raises:
        DataError: as `evaluate`.
        ValueError: the engine has no int8 kernel for the network.
    """
    before = evaluate(model, data, progress=progress)
    after = evaluate(replace(model, tensors={}, quantized=quantized), data, progress=progress)
    right_before, right = (each.top[:, 0] == each.targets for each in (before, after))
    changed = int(np.sum(right_before != right))
    return Loss(
        len(after.targets),
        100 - before.top1_error,
        100 - after.top1_error,
        100 * changed**0.5 / len(after.targets),
        after,
    )


def check(loss: Loss, most: float, costs: Sequence[LayerCost]) -> None:
    """Lets a loss of at most ``most`` points pass.

    Raises:
        GateError: it is larger.
    """
    if loss.points > most:
        worst = ", ".join(f"{cost.name} ({described(cost)})" for cost in most_costly(costs)[:_NAMED])
        raise GateError(
            f"8 bits lose {loss.points:.2f} points of top-1 accuracy on {loss.pictures:,} pictures "
            f"({loss.float_accuracy:.2f} to {loss.accuracy:.2f} %), {most:g} are allowed; alone cost most: {worst}"
        )


def most_costly(costs: Sequence[LayerCost]) -> list[LayerCost]:
    """Sorted by what changes if it alone is in 8 bits."""
    return sorted(costs, key=lambda cost: -cost.divergence)


def described(cost: LayerCost) -> str:
    """What an operator costs alone."""
    changed = f"{cost.changed:.1f} % of pictures get another class"
    return changed if cost.lost is None else f"{cost.lost:+.1f} points, {changed}"
