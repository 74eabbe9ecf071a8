"""Random crops and flips, mixup and cutmix of whole batches.

Every choice of a step is drawn from (seed, step) for the batch over all processes, and each process makes its own
rows of it. So neither a stop nor another number of workers or processes changes what the network sees.

Letters: N pictures of the whole batch, S pixels of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training.pixels import Pixels
from shufflenet.training.recipe import Recipe

_MAX_LOG_ASPECT = float(np.log(4 / 3))


@dataclass(frozen=True)
class Choices:
    """The random choices of one step."""

    area: NDArray[np.float64]  # [N] the crop's, as a share of the picture's central square
    log_aspect: NDArray[np.float64]  # [N] the logarithm of the crop's width over its height
    place: NDArray[np.float64]  # [N, 2] the crop's, 0 to 1: from the leftmost and topmost place to the last
    flip: NDArray[np.bool_]  # [N] mirrored, left to right
    vertical_flip: NDArray[np.bool_]  # [N] upside down
    partner: NDArray[np.int64]  # [N] the row that each is mixed with
    share: float  # the own picture's part of a mixture; 1: nothing is mixed
    box: tuple[float, float, float, float] | None  # cutmix: left, top, right, bottom of the partner's part, 0 to 1


def choose(recipe: Recipe, step: int) -> Choices:
    """Draws the choices of a step, for all pictures of its batch."""
    random = np.random.default_rng((recipe.seed, 1, step))
    count = recipe.batch_size
    area = random.uniform(recipe.min_crop_area, 1, count)
    log_aspect = random.uniform(-_MAX_LOG_ASPECT, _MAX_LOG_ASPECT, count)
    place = random.uniform(0, 1, (count, 2))
    flip = (random.integers(0, 2, count) == 1) & recipe.flip
    partner = random.permutation(count)
    share, box = 1.0, None
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(recipe, kind)]
    if kinds:
        kind = kinds[int(random.integers(len(kinds)))]
        alpha = getattr(recipe, kind)
        share = float(random.beta(alpha, alpha))
        if kind == "cutmix":
            half = np.sqrt(1 - share) / 2
            x, y = random.uniform(0, 1, 2)
            box = (max(0.0, x - half), max(0.0, y - half), min(1.0, x + half), min(1.0, y + half))
    vertical_flip = (random.integers(0, 2, count) == 1) & recipe.vertical_flip  # last: it changes no other choice
    return Choices(area, log_aspect, place, flip, vertical_flip, partner, share, box)


def make_input(
    pixels: Pixels, batch: NDArray[np.int64], rows: range, choices: Choices, size: int, preprocessing: Preprocessing
) -> tuple[Tensor, float]:
    """Some rows of a batch as the network's input: float32 [len(rows), 3, S, S], and the share of their own classes.

    Args:
        batch: [N] the numbers of the whole batch's pictures.
        rows: the rows that this process makes.
        size: S.
    """
    own = list(rows)
    if choices.share == 1:
        return normalise(_crops(pixels, batch, own, choices, size), preprocessing), 1.0
    partners = choices.partner[own].tolist()
    needed = sorted({*own, *partners})
    x = normalise(_crops(pixels, batch, needed, choices, size), preprocessing)
    where = {row: place for place, row in enumerate(needed)}
    first, second = (x[[where[row] for row in those]] for those in (own, partners))
    if choices.box is None:
        return first.lerp_(second, 1 - choices.share), choices.share
    left, top, right, bottom = (round(size * edge) for edge in choices.box)
    first[:, :, top:bottom, left:right] = second[:, :, top:bottom, left:right]
    return first, 1 - (bottom - top) * (right - left) / size**2


def normalise(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Pixels as the network's input: uint8 [N, S, S, 3] -> float32 [N, 3, S, S]."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    scale, shift = map(torch.from_numpy, preprocessing.scale_and_shift())
    return x.mul_(scale.view(1, 3, 1, 1)).add_(shift.view(1, 3, 1, 1))


def centre(pixels: Pixels, indices: NDArray[np.int64], size: int, keep: float) -> NDArray[np.uint8]:
    """The central squares of some pictures, with ``keep`` of the shorter side: uint8 [len(indices), S, S, 3]."""
    result = np.empty((len(indices), size, size, 3), dtype=np.uint8)
    for place, index in enumerate(indices.tolist()):
        picture = pixels[index]
        height, width = picture.shape[:2]
        side = min(height, width) * keep
        left, top = (width - side) / 2, (height - side) / 2
        result[place] = _resized(picture, size, (left, top, left + side, top + side))
    return result


def _crops(pixels: Pixels, batch: NDArray[np.int64], rows: list[int], choices: Choices, size: int) -> NDArray[np.uint8]:
    """The crops of some rows of a batch, flipped where it was chosen: uint8 [len(rows), S, S, 3]."""
    result = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    for place, row in enumerate(rows):
        picture = pixels[int(batch[row])]
        height, width = picture.shape[:2]
        # The area is a share of the central square, so that a long picture is not shown at a smaller scale.
        side, stretch = min(height, width) * choices.area[row] ** 0.5, np.exp(choices.log_aspect[row] / 2)
        across, down = min(float(side * stretch), width), min(float(side / stretch), height)
        left, top = choices.place[row] * (width - across, height - down)
        cropped = _resized(picture, size, (left, top, min(left + across, width), min(top + down, height)))
        cropped = cropped[:, ::-1] if choices.flip[row] else cropped
        result[place] = cropped[::-1] if choices.vertical_flip[row] else cropped
    return result


def _resized(picture: NDArray[np.uint8], size: int, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """The picture within ``box``, uint8 [S, S, 3]; resized as by `preprocess`, and faster than by PyTorch."""
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=box))
