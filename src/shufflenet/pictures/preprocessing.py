"""Preprocessing: from a picture of any size to the network's input, float32 [3, S, S]."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet.pictures.resize import resize_central


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
        if not _is_number(self.size, whole=True) or not 32 <= self.size <= 4096:
            raise ValueError(f"size must be from 32 to 4096 pixels, not {self.size!r}")
        if not _is_number(self.resize, whole=True) or not self.size <= self.resize <= 8192:
            raise ValueError(f"resize must be from size ({self.size}) to 8192 pixels, not {self.resize!r}")
        for side in ("size", "resize"):
            object.__setattr__(self, side, int(getattr(self, side)))
        for field, low, high in (("mean", -1e3, 1e3), ("std", 1e-6, 1e3)):
            values = getattr(self, field)
            if not (
                isinstance(values, tuple)
                and len(values) == 3
                and all(_is_number(v) and low <= v <= high for v in values)
            ):
                raise ValueError(
                    f"{field} must be three numbers (red, green, blue) in {low:g}..{high:g}, not {values!r}"
                )
            object.__setattr__(self, field, tuple(map(float, values)))

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The normalisation as two numbers for each channel, [3] each: v from 0 to 255 becomes v * scale + shift."""
        mean, std = np.asarray(self.mean, dtype=np.float32), np.asarray(self.std, dtype=np.float32)
        return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def _is_number(value: object, whole: bool = False) -> bool:
    """Whether it is a number, which may be NumPy's, but no truth value."""
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool)


def preprocess(
    picture: Image.Image, preprocessing: Preprocessing, shape: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Turns an RGB picture of any size into the network's input.

    Args:
        shape: height and width of the input, (S, S) by default. For another one: the same share of as much of the
            picture as has the input's proportions.

    Returns:
        float32 [3, *shape]

    Raises:
        ValueError: ``picture`` is not RGB.
    """
    size = preprocessing.size
    scale, shift = preprocessing.scale_and_shift()
    return resize_central(picture, size, preprocessing.resize, shape or (size, size), scale, shift)


def resize_and_crop(picture: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Returns the S x S pixels that `preprocess` normalises: the central square of the resized picture.

    Raises:
        ValueError: ``picture`` is not RGB.
    """
    size, resize = preprocessing.size, preprocessing.resize
    if picture.size == (size, size) and size == resize:
        return picture
    as_they_are = np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    pixels = resize_central(picture, size, resize, (size, size), *as_they_are)
    return Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8))
