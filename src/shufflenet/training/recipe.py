"""Training recipes as data, and the schedules that follow from one. No PyTorch is needed here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any


@dataclass(frozen=True)
class Recipe:
    """All that decides a run besides data, architecture and what it starts from.

    Raises:
        ValueError: if a field is out of range; the message names it.
    """

    name: Annotated[str, "what the run calls it"]
    epochs: Annotated[int, "passes over the pictures; 0: only the last layer is trained"]
    batch_size: Annotated[int, "over all processes; fewer for small data"] = 128
    learning_rate: Annotated[float, "the highest, for a batch of 1024; scaled linearly to batch_size (section 4)"] = 0.5
    warmup_epochs: Annotated[float, "epochs in which the learning rate rises"] = 0.0
    momentum: Annotated[float, "of the optimizer"] = 0.9
    weight_decay: Annotated[float, "none on batch norm and biases"] = 4e-5
    label_smoothing: Annotated[float, "the share of the answer that goes to all classes alike"] = 0.1
    min_crop_area: Annotated[
        float, "the smallest share of the picture in random crops, of aspect 3/4 to 4/3; 1: whole pictures"
    ] = 0.25
    flip: Annotated[bool, "half of the pictures are mirrored, left to right"] = True
    vertical_flip: Annotated[bool, "half of the pictures stand upside down"] = False
    rotate: Annotated[float, "the largest angle by which pictures are turned, in degrees"] = 0.0
    colour: Annotated[float, "by which share brightness, contrast and saturation vary, up and down"] = 0.0
    progressive: Annotated[tuple[float, ...], "for equal parts of the run: the input size over the final one"] = (1.0,)
    ema_epochs: Annotated[float, "epochs over which weights are averaged for the result; 0: no average"] = 0.0
    mixup: Annotated[float, "alpha of the Beta distribution (1710.09412); 0: none"] = 0.0
    cutmix: Annotated[float, "alpha of the Beta distribution (1905.04899); 0: none; with mixup a batch takes one"] = 0.0
    teacher_weight: Annotated[float, "the share of the teacher's answers in the loss, if there is a teacher"] = 0.5
    temperature: Annotated[float, "by which both networks' logits are divided there (1503.02531)"] = 2.0
    class_weights: Annotated[bool, "rarer classes count more, so that each class counts the same"] = False
    freeze: Annotated[str, "the last part that keeps its weights: none, stem, stage2, stage3 or stage4"] = "none"
    start_share: Annotated[float, "the share in the result of the weights that the run starts from (2109.01903)"] = 0.0
    bf16: Annotated[bool, "matrix products in bfloat16"] = False
    quantize: Annotated[bool, "train in 8 bits, from a float model that is quantized first"] = False
    batch_norm_pictures: Annotated[int, "for the last pass, which estimates batch norm's statistics anew"] = 20_000
    seed: Annotated[int, "of every random choice"] = 0

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "epochs": (0, 100_000),
            "batch_size": (2, 65_536),
            "learning_rate": (0, 1000),
            "momentum": (0, 0.999),
            "weight_decay": (0, 1),
            "min_crop_area": (0.01, 1),
            "rotate": (0, 180),
            "colour": (0, 1),
            "label_smoothing": (0, 0.999),
            "mixup": (0, 100),
            "cutmix": (0, 100),
            "teacher_weight": (0, 1),
            "temperature": (0.01, 100),
            "start_share": (0, 1),
            "batch_norm_pictures": (1, 2**31),
            "warmup_epochs": (0, 1000),
            "ema_epochs": (0, 1000),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from {low:g} to {high:g}, not {getattr(self, name)}")
        if not self.progressive or not all(0.1 <= share <= 4 for share in self.progressive):
            raise ValueError(f"progressive must be shares from 0.1 to 4, not {list(self.progressive)}")
        if self.freeze not in FREEZABLE:
            raise ValueError(f"freeze must be one of {', '.join(FREEZABLE)}, not {self.freeze!r}")

    def scaled_to(self, pictures: int) -> Recipe:
        """This recipe with a smaller batch, a power of two, if an epoch would have less than about 16 steps."""
        batch = self.batch_size
        while batch > 8 and batch * 16 > pictures:
            batch //= 2
        return replace(self, batch_size=max(2, min(batch, pictures)))

    def input_size(self, epoch: int, final: int) -> int:
        """The input's side in this epoch, in pixels: a multiple of 8 unless it is the final size."""
        part = min(epoch * len(self.progressive) // self.epochs, len(self.progressive) - 1)
        share = self.progressive[part]
        return final if share == 1 else max(32, round(final * share / 8) * 8)

    def learning_rate_at(self, epoch: float) -> float:
        """The optimizer's learning rate ``epoch`` epochs into the run: linear warm-up, then linear to zero."""
        peak = self.learning_rate * self.batch_size / 1024
        warmup = min(self.warmup_epochs, self.epochs / 4)
        warm = min(1.0, epoch / warmup) if warmup else 1.0
        return peak * min(warm, (self.epochs - epoch) / (self.epochs - warmup))


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe that an earlier version of the package wrote as JSON, with defaults for newer fields."""
    new: dict[str, Any] = json.loads(json.dumps(asdict(Recipe("", 1)), allow_nan=False))
    return {**new, **stored}


NEAREST = "nearest"  # no recipe, since nothing is trained; see `training/nearest.py`

FREEZABLE = ("none", "stem", "stage2", "stage3", "stage4")

# The paper trains for 240 epochs of ImageNet (3e5 steps of 1024). "Slightly less aggressive scale augmentation" has
# no figures there: a quarter of the picture at least, where its predecessors took 0.08. Label smoothing, warm-up and
# the weights' average are later habits, which the paper does not name.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper", epochs=240, warmup_epochs=5, ema_epochs=1),
        Recipe(
            "short",
            epochs=16,
            learning_rate=1.0,
            warmup_epochs=1,
            weight_decay=3e-4,  # in few epochs the paper's would do nothing
            min_crop_area=0.35,
            # The last ones below the final size: crops show things larger than whole pictures do (1906.06423).
            progressive=(0.625, 0.75, 0.75, 0.875),
            ema_epochs=0.5,
        ),
        Recipe(
            "finetune",
            epochs=40,
            learning_rate=1.0,
            warmup_epochs=2,
            min_crop_area=0.12,
            progressive=(0.6, 0.7, 0.8),  # all below the final size, as above
            ema_epochs=2,
        ),
        # The last layer alone, which takes minutes. In epochs, if there are some, whole pictures of the final size, for
        # which the ranges were found, and small steps from where they begin.
        Recipe(
            "quantize",
            epochs=0,
            learning_rate=0.01,  # batch norm is folded, and bounds no step
            min_crop_area=1,
            weight_decay=0,
            ema_epochs=0.5,
            quantize=True,
        ),
    )
}
