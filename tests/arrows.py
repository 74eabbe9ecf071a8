"""An image folder of arrows that point left or right, which are each other's mirror images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def make(root: Path, train: int, val: int, side: int = 32) -> Path:
    """``train`` and ``val`` pictures of each class, of ``side`` pixels; returns ``root``."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name in ("left", "right"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture = _arrow(random, side)
                if name == "left":
                    picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                picture.save(folder / f"{index:03}.png")
    return root


def _arrow(random: np.random.Generator, side: int) -> Image.Image:
    """An arrow to the right, of any place, length, colour and ground."""
    ground, ink = (tuple(int(v) for v in random.integers(low, low + 100, 3)) for low in random.permutation([0, 155]))
    picture = Image.new("RGB", (side, side), ground)
    length, head = side * random.uniform(0.5, 0.8), side * random.uniform(0.12, 0.2)
    x = random.uniform(0.05 * side, 0.95 * side - length)
    y = random.uniform(head + 1, side - head - 1)
    draw = ImageDraw.Draw(picture)
    draw.line((x, y, x + length, y), fill=ink, width=max(2, side // 12))
    draw.polygon([(x + length, y), (x + length - head, y - head), (x + length - head, y + head)], fill=ink)
    return picture
