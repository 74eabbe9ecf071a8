"""Random crops, flips, rotations and colours; mixup and cutmix of whole batches.

Every choice of a step is drawn from (seed, step) for the batch over all processes, and each process makes its own
rows of it. So neither a stop nor another number of workers or processes changes what the network sees.

Letters: N pictures of the whole batch, S pixels of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from shufflenet.pictures.preprocessing import Preprocessing
from shufflenet.training.pixels import Pixels
from shufflenet.training.recipe import Recipe

_MAX_LOG_ASPECT = float(np.log(4 / 3))


@dataclass(frozen=True)
class Choices:
    """The random choices of one step."""

    whole: bool  # pictures as validation shows them, in the place of crops
    area: NDArray[np.float64]  # [N] the crop's, as a share of the picture's central square
    log_aspect: NDArray[np.float64]  # [N] the logarithm of the crop's width over its height
    place: NDArray[np.float64]  # [N, 2] the crop's, 0 to 1: from the leftmost and topmost place to the last
    flip: NDArray[np.bool_]  # [N] mirrored, left to right
    vertical_flip: NDArray[np.bool_]  # [N] upside down
    angle: NDArray[np.float64]  # [N] by which each is turned, in degrees, counter-clockwise
    colour: NDArray[np.float64]  # [N, 3] factors of brightness, contrast and saturation
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
    # What is drawn last changes no other choice.
    vertical_flip = (random.integers(0, 2, count) == 1) & recipe.vertical_flip
    angle = random.uniform(-1, 1, count) * recipe.rotate
    colour = 1 + random.uniform(-1, 1, (count, 3)) * recipe.colour
    whole = recipe.min_crop_area == 1
    return Choices(whole, area, log_aspect, place, flip, vertical_flip, angle, colour, partner, share, box)


def make_input(
    pixels: Pixels, batch: NDArray[np.int64], rows: range, choices: Choices, size: int, preprocessing: Preprocessing
) -> tuple[Tensor, float]:
    """Some rows of a batch as the network's input: float32 [len(rows), 3, S, S], and the share of their own classes.

    Args:
        batch: [N] the numbers of the whole batch's pictures.
        rows: the rows that this process makes.
        size: S.
    """
    own, keep = list(rows), preprocessing.size / preprocessing.resize
    if choices.share == 1:
        return normalise(_crops(pixels, batch, own, choices, size, keep), preprocessing), 1.0
    partners = choices.partner[own].tolist()
    needed = sorted({*own, *partners})
    x = normalise(_crops(pixels, batch, needed, choices, size, keep), preprocessing)
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
        result[place] = _resized(picture, size, _centre_box(width, height, keep))
    return result


def _centre_box(width: int, height: int, keep: float) -> tuple[float, float, float, float]:
    side = min(height, width) * keep
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _crops(
    pixels: Pixels, batch: NDArray[np.int64], rows: list[int], choices: Choices, size: int, keep: float
) -> NDArray[np.uint8]:
    """The crops of some rows of a batch, turned, flipped and coloured as chosen: uint8 [len(rows), S, S, 3].

    Args:
        keep: the share of the shorter side that validation shows.
    """
    result = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    for place, row in enumerate(rows):
        picture = pixels[int(batch[row])]
        height, width = picture.shape[:2]
        if choices.whole:
            box = _centre_box(width, height, keep)
        else:
            # The area is a share of the central square, so that a long picture is not shown at a smaller scale.
            side, stretch = min(height, width) * choices.area[row] ** 0.5, np.exp(choices.log_aspect[row] / 2)
            across, down = min(float(side * stretch), width), min(float(side / stretch), height)
            left, top = choices.place[row] * (width - across, height - down)
            box = (left, top, min(left + across, width), min(top + down, height))
        angle = float(choices.angle[row])
        cropped = _turned(picture, size, box, angle) if angle else _resized(picture, size, box)
        if (choices.colour[row] != 1).any():
            cropped = _coloured(cropped, choices.colour[row].tolist())
        cropped = cropped[:, ::-1] if choices.flip[row] else cropped
        result[place] = cropped[::-1] if choices.vertical_flip[row] else cropped
    return result


def _resized(picture: NDArray[np.uint8], size: int, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """The picture within ``box``, uint8 [S, S, 3]; resized as by `preprocess`, and faster than by PyTorch."""
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=box))


def _turned(
    picture: NDArray[np.uint8], size: int, box: tuple[float, float, float, float], angle: float
) -> NDArray[np.uint8]:
    """What ``box`` shows when it is turned around its centre, uint8 [S, S, 3]; beyond the picture its edge goes on."""
    height, width = picture.shape[:2]
    grown = abs(np.cos(np.radians(angle))) + abs(np.sin(np.radians(angle)))  # the box around the turned one
    middle, half = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), ((box[2] - box[0]) / 2, (box[3] - box[1]) / 2)
    left, right = max(0.0, middle[0] - grown * half[0]), min(float(width), middle[0] + grown * half[0])
    top, bottom = max(0.0, middle[1] - grown * half[1]), min(float(height), middle[1] + grown * half[1])
    # Pixels of the result from the centre to each edge of what the picture has.
    before_x, after_x = (max(1, round(size / 2 * part / half[0])) for part in (middle[0] - left, right - middle[0]))
    before_y, after_y = (max(1, round(size / 2 * part / half[1])) for part in (middle[1] - top, bottom - middle[1]))
    whole = Image.fromarray(picture).resize(
        (before_x + after_x, before_y + after_y), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
    )
    side = int(np.ceil(size * grown / 2)) + 1  # from the centre
    padding = [
        (max(0, side - before), max(0, side - after)) for before, after in ((before_y, after_y), (before_x, after_x))
    ]
    padded = np.pad(np.asarray(whole), (*padding, (0, 0)), mode="edge")
    x, y = before_x + padding[1][0], before_y + padding[0][0]
    turned = Image.fromarray(padded).rotate(angle, Image.Resampling.BILINEAR, center=(x, y))
    edge_x, edge_y = x - size // 2, y - size // 2
    return np.asarray(turned.crop((edge_x, edge_y, edge_x + size, edge_y + size)))


def _coloured(picture: NDArray[np.uint8], factors: list[float]) -> NDArray[np.uint8]:
    """The picture with other brightness, contrast and saturation, uint8 [S, S, 3]."""
    image = Image.fromarray(picture)
    for enhance, factor in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
    ):
        image = enhance(image).enhance(factor)
    return np.asarray(image)
