"""The confusion matrix as a picture: a row for each true class, a column for what it was taken for."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shufflenet.atomic_file import atomic_file
from shufflenet.files import printable

_PAPER, _INK, _FAINT = "#f4f3f0", "#22262b", "#7a7f86"
_RIGHT, _WRONG = (38, 128, 96), (178, 58, 46)  # of the diagonal and of the rest, at 100 %
_TITLE = 24  # pixels for the title of an axis
_MAX_WRITTEN = 25  # classes, up to which counts and labels are written


def draw(matrix: NDArray[np.int64], labels: list[str], out: str | os.PathLike[str]) -> None:
    """Draws ``matrix`` [classes, classes] to a PNG file; each row is coloured by its share of the row's pictures.

    Raises:
        OSError: ``out`` can't be written.
    """
    classes = len(matrix)
    written = classes <= _MAX_WRITTEN
    cell = 44 if written else max(2, min(12, 1600 // classes))
    font = ImageFont.load_default(size=14)
    names = [printable(label)[:24] for label in labels]
    margin = _TITLE + (round(max(font.getlength(name) for name in names)) + 20 if written else 16)
    side = cell * classes
    picture = Image.new("RGB", (margin + side + 20, margin + side + 20), _PAPER)
    picture.paste(_cells(matrix).resize((side, side), Image.Resampling.NEAREST), (margin, margin))
    paint = ImageDraw.Draw(picture)
    if written:
        _write_counts(paint, matrix, margin, cell, font)
        for index, name in enumerate(names):
            middle = margin + index * cell + cell / 2
            paint.text((margin - 8, middle), name, _INK, font, anchor="rm")
            _paste_upright(picture, name, (round(middle) - 10, _TITLE), margin - 8 - _TITLE, _INK, font)
    order = "" if written else " (in the order of class indices)"
    paint.text((margin, 14), f"taken for{order}", _FAINT, font, anchor="lm")
    _paste_upright(picture, f"true class{order}", (4, margin), side, _FAINT, font, at_end=True)
    with atomic_file(out) as file:
        picture.save(file, format="PNG")


def _paste_upright(
    picture: Image.Image,
    text: str,
    at: tuple[int, int],
    length: int,
    ink: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    at_end: bool = False,
) -> None:
    """Writes from below to above, into 20 x ``length`` pixels at ``at``; at their upper end if ``at_end``."""
    strip = Image.new("L", (length, 20))
    x, anchor = (length, "rm") if at_end else (0, "lm")
    ImageDraw.Draw(strip).text((x, 10), text, 255, font, anchor=anchor)
    picture.paste(ink, at, mask=strip.transpose(Image.Transpose.ROTATE_90))


def _cells(matrix: NDArray[np.int64]) -> Image.Image:
    """One pixel per cell."""
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    strength = np.sqrt(share)[:, :, None]  # rare confusions would be invisible on a linear scale
    colour = np.where(np.eye(len(matrix), dtype=bool)[:, :, None], np.array(_RIGHT), np.array(_WRONG))
    return Image.fromarray(np.rint(255 + (colour - 255) * strength).astype(np.uint8))


def _write_counts(
    paint: ImageDraw.ImageDraw,
    matrix: NDArray[np.int64],
    margin: int,
    cell: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    totals = np.maximum(matrix.sum(axis=1), 1)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        ink = "#ffffff" if matrix[row, column] > totals[row] * 0.4 else _INK
        at = (margin + column * cell + cell / 2, margin + row * cell + cell / 2)
        paint.text(at, str(matrix[row, column]), ink, font, anchor="mm")
