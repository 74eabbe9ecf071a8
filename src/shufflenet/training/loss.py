"""What a training step minimises: cross entropy with the labels, and the divergence from a teacher's answers.

Letters: N pictures of this process's part of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from shufflenet.training.recipe import Recipe


@dataclass(frozen=True)
class Targets:
    """The labels of a batch in which every picture may be mixed with another one (mixup, cutmix)."""

    classes: Tensor  # int64 [N]
    partner_classes: Tensor  # int64 [N], of the picture that each is mixed with
    share: float  # the own class's part of the label, 0 to 1; the rest is the partner's


@dataclass(frozen=True)
class Loss:
    """The mean loss over a batch.

    Args:
        class_weights: float32 [classes], the weight of each class's pictures in the cross entropy.
    """

    recipe: Recipe
    class_weights: Tensor

    def __call__(self, logits: Tensor, targets: Targets, answers: Tensor | None = None) -> Tensor:
        """Logits and the teacher's answers, float32 [N, classes] both -> a scalar.

        With a teacher the cross entropy and the divergence are mixed by `Recipe.teacher_weight` (distillation,
        arXiv 1503.02531: the gradient shrinks with the temperature's square, by which the divergence is multiplied).
        """
        loss = self._cross_entropy(logits, targets.classes)
        if targets.share < 1:
            loss = targets.share * loss + (1 - targets.share) * self._cross_entropy(logits, targets.partner_classes)
        if answers is not None:
            temperature = self.recipe.temperature
            teacher = (answers / temperature).log_softmax(dim=1)
            student = (logits / temperature).log_softmax(dim=1)
            divergence = nn.functional.kl_div(student, teacher, log_target=True, reduction="batchmean")
            loss = loss.lerp(divergence * temperature**2, self.recipe.teacher_weight)
        return loss

    def _cross_entropy(self, logits: Tensor, classes: Tensor) -> Tensor:
        each = nn.functional.cross_entropy(
            logits, classes, label_smoothing=self.recipe.label_smoothing, reduction="none"
        )
        return (each * self.class_weights[classes]).mean()
