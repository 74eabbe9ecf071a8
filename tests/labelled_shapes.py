"""An image folder of coloured shapes, small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ["circle", "square", "triangle"]


def make(root: Path, train: int = 16, val: int = 6, side: int = 40) -> Path:
    """``train`` and ``val`` pictures of each class, around ``side`` pixels and not square; returns ``root``."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                _shape(name, random, side).save(folder / f"{index:03}.png")
    return root


def _shape(name: str, random: np.random.Generator, side: int) -> Image.Image:
    width, height = (int(v) for v in random.integers(side, 2 * side, 2))
    picture = Image.new("RGB", (width, height), _colour(random, 0, 100))
    draw, colours = ImageDraw.Draw(picture), list(_colour(random, 60, 120))
    colours[CLASSES.index(name)] = int(random.integers(180, 256))  # a hint: seconds are too few to learn form alone
    ink = (colours[0], colours[1], colours[2])
    length = int(side * random.uniform(0.5, 0.9))
    x, y = (int(random.integers(0, room - length)) for room in (width, height))
    if name == "circle":
        draw.ellipse((x, y, x + length, y + length), fill=ink)
    elif name == "square":
        draw.rectangle((x, y, x + length, y + length), fill=ink)
    else:
        draw.polygon([(x, y + length), (x + length, y + length), (x + length // 2, y)], fill=ink)
    return picture


def _colour(random: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in random.integers(low, high, 3))
    return red, green, blue
