"""JPEG files for timing: crops of a few photos with added noise, so that sizes and contents differ."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

FILE_BYTES = 100_000
_SIDES = (420, 800)  # pixels of the longer side
_QUALITY = 90
_SPREAD = 1.4  # files have FILE_BYTES / _SPREAD to FILE_BYTES * _SPREAD bytes
_TRIES = 6


def make_pictures(photos: Path, folder: Path, count: int) -> list[str]:
    """Writes ``count`` JPEG files of about 100 KB to ``folder``, the same ones each time, and returns their paths.

    Args:
        photos: folder of .jpg files to cut crops from.

    Raises:
        ValueError: there are no .jpg files in ``photos``.
    """
    if not photos.is_dir():
        raise ValueError(f"{photos}: no such folder; --photos names one with .jpg files to make pictures from")
    sources = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*.jpg"))]
    if not sources:
        raise ValueError(f"{photos}: no .jpg files in this folder to make pictures from")
    random = np.random.default_rng(0)
    strengths = [8.0] * len(sources)  # each photo's noise; the strength that fitted its last crop is tried first
    paths = []
    for index in range(count):
        path = folder / f"{index:05}.jpg"
        source = index % len(sources)
        strengths[source] = _write(sources[source], path, strengths[source], random)
        paths.append(str(path))
    return paths


def _write(photo: Image.Image, path: Path, strength: float, random: np.random.Generator) -> float:
    """Writes a random crop; adjusts the noise until the file size fits, and returns the noise's standard deviation."""
    share = random.uniform(0.5, 1)
    width, height = (side * share for side in photo.size)
    left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
    scale = random.uniform(*_SIDES) / max(width, height)
    size = (round(width * scale), round(height * scale))
    crop = photo.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    pixels = np.asarray(crop, dtype=np.float32)
    noise = random.standard_normal((size[1], size[0], 1), dtype=np.float32)
    for _ in range(_TRIES):
        noisy = (pixels + strength * noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(path, quality=_QUALITY)
        ratio = path.stat().st_size / FILE_BYTES
        if max(ratio, 1 / ratio) <= _SPREAD:
            break
        strength = min(60.0, max(0.5, strength / math.pow(ratio, 1.5)))
    return strength
