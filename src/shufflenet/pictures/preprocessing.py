"""Preprocessing: from a picture of any size to the network's input, float32 [3, S, S]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.pictures.resize import central_square

_LEVELS: NDArray[np.float32] = np.tile(np.arange(256, dtype=np.float32), (3, 1))  # red, green and blue as they are


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the network's input; a model file stores it.

    The shorter side is resized to ``resize`` pixels, the central ``size`` x ``size`` square is kept, and
    every channel becomes (value / 255 - mean) / std.

    Raises:
        ValueError: if a field is out of range; the message names it.
    """

    size: int = 224
    resize: int = 256
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 32 <= self.size <= 4096:
            raise ValueError(f"size must be from 32 to 4096 pixels, not {self.size!r}")
        if type(self.resize) is not int or not self.size <= self.resize <= 8192:
            raise ValueError(f"resize must be from size ({self.size}) to 8192 pixels, not {self.resize!r}")
        for field, low, high in (("mean", -1e3, 1e3), ("std", 1e-6, 1e3)):
            values = getattr(self, field)
            if not (
                isinstance(values, tuple)
                and len(values) == 3
                and all(type(v) in (int, float) and low <= v <= high for v in values)
            ):
                raise ValueError(
                    f"{field} must be three numbers (red, green, blue) in {low:g}..{high:g}, not {values!r}"
                )
            object.__setattr__(self, field, tuple(map(float, values)))

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The normalisation as two numbers for each channel, [3] each: v from 0 to 255 becomes v * scale + shift."""
        mean, std = np.asarray(self.mean, dtype=np.float32), np.asarray(self.std, dtype=np.float32)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def preprocess(picture: Image.Image, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Turns an RGB picture of any size into the network's input, float32 [3, S, S].

    Raises:
        ValueError: ``picture`` is not RGB.
    """
    scale, shift = preprocessing.scale_and_shift()
    levels = _LEVELS * scale[:, None] + shift[:, None]
    return central_square(picture, preprocessing.size, preprocessing.resize, levels.astype(np.float32))


def resize_and_crop(picture: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Returns the S x S pixels that `preprocess` normalises: the central square of the resized picture.

    Raises:
        ValueError: ``picture`` is not RGB.
    """
    size, resize = preprocessing.size, preprocessing.resize
    if picture.size == (size, size) and size == resize:
        return picture
    pixels = central_square(picture, size, resize, _LEVELS)
    return Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8))
