"""What a step minimises, against the formulas written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")
import torch
from torch import Tensor

from shufflenet.training.loss import Loss, Targets
from shufflenet.training.recipe import RECIPES

LOGITS, ANSWERS = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
TARGET, OTHER = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 2, 0, 1, 1, 0])
WEIGHTS = torch.tensor([3.0, 1.0, 0.5])  # one for each class


def loss(share: float, answers: Tensor | None = None, **recipe: Any) -> float:
    loss_of = Loss(replace(RECIPES["paper"], **recipe), WEIGHTS)
    return float(loss_of(LOGITS, Targets(TARGET, OTHER, share), answers))


def entropy(classes: Tensor, smoothing: float) -> float:
    wanted = (1 - smoothing) * torch.nn.functional.one_hot(classes, 3) + smoothing / 3
    return float((-(wanted * LOGITS.log_softmax(1)).sum(1) * WEIGHTS[classes]).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels_smoothed_and_weighted_by_class(smoothing: float) -> None:
    assert loss(1, label_smoothing=smoothing) == pytest.approx(entropy(TARGET, smoothing), rel=1e-5)
    mixed = 0.7 * entropy(TARGET, smoothing) + 0.3 * entropy(OTHER, smoothing)
    assert loss(0.7, label_smoothing=smoothing) == pytest.approx(mixed, rel=1e-5)


def test_a_teacher_takes_its_part() -> None:
    """Hinton's distillation, 1503.02531: the divergence at a temperature, times its square."""
    soft = (ANSWERS / 2).softmax(1)
    divergence = float((soft * (soft.log() - (LOGITS / 2).log_softmax(1))).sum(1).mean())
    expected = 0.75 * entropy(TARGET, 0.1) + 0.25 * 4 * divergence
    assert loss(1, ANSWERS, teacher_weight=0.25, temperature=2) == pytest.approx(expected, rel=1e-5)
