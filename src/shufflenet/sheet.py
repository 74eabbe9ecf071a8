"""The contact sheet: one picture of many pictures, each with its best labels and their probabilities as bars."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from shufflenet.atomic_file import atomic_file
from shufflenet.classifier import Prediction
from shufflenet.files import printable
from shufflenet.pictures.images import MAX_PIXELS, ImageError, Source, decode

MAX_PICTURES = 1000  # keeps the sheet's memory below half a gigabyte

_PAPER, _MAT, _INK, _FAINT = "#f4f3f0", "#e4e2dd", "#22262b", "#7a7f86"
_CARD, _BAR, _BEST_BAR = "#ffffff", "#dde6ee", "#a9d5c4"
_LABELS = 3

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class _Tile:
    """The sizes of one card, in pixels: smaller ones for more pictures."""

    def __init__(self, pictures: int, labels: int) -> None:
        self.width = next(
            width for limit, width in ((1, 560), (6, 400), (30, 320), (120, 240), (10**9, 180)) if pictures <= limit
        )
        self.picture_height = self.width * 3 // 4
        self.text = max(11, self.width // 22)
        self.row = round(self.text * 1.75)
        self.gap = max(8, self.width // 22)
        self.height = self.picture_height + self.row * (1 + labels) + self.gap * 3 // 2
        self.font: Font = ImageFont.load_default(size=self.text)
        self.small_font: Font = ImageFont.load_default(size=max(10, self.text - 2))


def contact_sheet(
    pictures: Sequence[tuple[Source, Prediction] | Prediction],
    out: str | os.PathLike[str],
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Draws pictures and what was said about them to the PNG file ``out``.

    Args:
        pictures: pictures with their predictions; or predictions alone, whose ``source`` is the picture's path.
        max_pixels: larger pictures are left blank.

    Raises:
        ValueError: there are no pictures or more than `MAX_PICTURES`.
        OSError: ``out`` can't be written.
    """
    if not 1 <= len(pictures) <= MAX_PICTURES:
        raise ValueError(f"a sheet holds 1 to {MAX_PICTURES} pictures, not {len(pictures)}")
    pairs = [(each.source, each) if isinstance(each, Prediction) else each for each in pictures]
    tile = _Tile(len(pairs), labels=min(_LABELS, max(len(prediction.labels) for _, prediction in pairs)))
    columns = _columns(len(pairs), tile)
    rows = math.ceil(len(pairs) / columns)
    step_x, step_y = tile.width + tile.gap, tile.height + tile.gap
    sheet = Image.new("RGB", (columns * step_x + tile.gap, rows * step_y + tile.gap), _PAPER)
    for index, (source, prediction) in enumerate(pairs):
        row, column = divmod(index, columns)
        sheet.paste(_card(source, prediction, tile, max_pixels), (tile.gap + column * step_x, tile.gap + row * step_y))
    with atomic_file(out) as file:
        sheet.save(file, format="PNG")


def _columns(pictures: int, tile: _Tile) -> int:
    """The number of columns that makes the sheet about 4:3 and fills its rows evenly."""
    wanted = math.ceil(math.sqrt(pictures * tile.height / tile.width * 4 / 3))
    rows = math.ceil(pictures / min(wanted, pictures))
    return math.ceil(pictures / rows)


def _card(source: Source, prediction: Prediction, tile: _Tile, max_pixels: int) -> Image.Image:
    card = Image.new("RGB", (tile.width, tile.height), _CARD)
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, tile.width - 1, tile.picture_height - 1), fill=_MAT)
    try:
        picture = _fit(decode(source, max_pixels, tile.picture_height), tile.width, tile.picture_height)
    except ImageError:  # it was there when it was classified
        draw.text((tile.width / 2, tile.picture_height / 2), "picture is gone", _FAINT, tile.font, anchor="mm")
    else:
        card.paste(picture, ((tile.width - picture.width) // 2, (tile.picture_height - picture.height) // 2))

    left, right = tile.gap, tile.width - tile.gap
    middle = tile.picture_height + tile.gap // 2 + tile.row / 2
    name = _shorten(os.path.basename(prediction.source), right - left, tile.small_font)
    draw.text((left, middle), name, _FAINT, tile.small_font, anchor="lm")
    for place in range(min(_LABELS, len(prediction.labels))):
        middle += tile.row
        _bar(draw, (left, right, middle), prediction, place, tile)
    return card


def _bar(
    draw: ImageDraw.ImageDraw, at: tuple[int, int, float], prediction: Prediction, place: int, tile: _Tile
) -> None:
    """A label on its bar, whose length is the probability, and the percentage at the right."""
    left, right, middle = at
    probability = prediction.probabilities[place]
    half = tile.row * 0.43
    length = round((right - left) * probability)
    if length:
        box = (left, round(middle - half), left + length - 1, round(middle + half))
        draw.rectangle(box, fill=_BAR if place else _BEST_BAR)
    percent = f"{100 * probability:.0f} %"
    inset = tile.text // 3
    draw.text((right - inset, middle), percent, _INK, tile.font, anchor="rm")
    room = right - left - 3 * inset - tile.font.getlength(percent)
    draw.text((left + inset, middle), _shorten(prediction.labels[place], room, tile.font), _INK, tile.font, anchor="lm")


def _fit(picture: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _shorten(text: str, room: float, font: Font) -> str:
    """Cuts the text to ``room`` pixels, with an ellipsis for what is left out."""
    text = printable(text)  # Pillow can't draw the odd bytes of a file name
    if font.getlength(text) <= room:
        return text
    low, high = 0, min(len(text), 500)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip(" ,") + "…") <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(" ,") + "…"
