"""A folder of pictures as training data: one folder a class, decoded once and kept as uint8.

    DATA/train/<class>/*.jpg    the pictures to train on
    DATA/val/<class>/*.jpg      the pictures to measure on
    DATA/classes.tsv            optional: class folder <tab> the label to show
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet import images


class DataError(ValueError):
    """A data folder can't be used. The message names the folder or picture and says why."""


@dataclass(frozen=True)
class Split:
    """Pictures and classes of train/ or val/, not yet read."""

    paths: list[Path]
    targets: NDArray[np.int64]  # [len(paths)] class indices


@dataclass(frozen=True)
class Folder:
    """An image folder: the class folders sorted by name are the class indices."""

    root: Path
    classes: list[str]
    labels: list[str]
    train: Split
    val: Split


def open_folder(root: Path) -> Folder:
    """Lists the pictures of an image folder with train/ and val/.

    Raises:
        DataError: a split or a class has no pictures, or val/ has a class that train/ has not.
    """
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise DataError(f"{root}: no folder {split}/ in it; expected {split}/<class>/<pictures>")
    classes = sorted(entry.name for entry in (root / "train").iterdir() if entry.is_dir())
    if len(classes) < 2:
        raise DataError(f"{root / 'train'}: at least two class folders needed, found {len(classes)}")
    unknown = sorted(entry.name for entry in (root / "val").iterdir() if entry.is_dir() and entry.name not in classes)
    if unknown:
        raise DataError(f"{root / 'val'}: class folder {unknown[0]!r} is not in train/")
    return Folder(
        root=root,
        classes=classes,
        labels=_read_labels(root / "classes.tsv", classes),
        train=_list_split(root / "train", classes),
        val=_list_split(root / "val", classes),
    )


def load(split: Split, size: int, progress: Callable[[int], None] = lambda count: None) -> NDArray[np.uint8]:
    """Decodes a whole split to squares of ``size`` pixels: uint8 [N, size, size, 3].

    Raises:
        images.ImageError: a picture can't be read; the message names it.
    """
    pixels = np.empty((len(split.paths), size, size, 3), dtype=np.uint8)

    def read(index: int) -> None:
        picture = images.decode(split.paths[index])
        pixels[index] = np.asarray(images.resize_and_crop(picture, size, size))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for count, _ in enumerate(pool.map(read, range(len(split.paths))), start=1):
            progress(count)
    return pixels


def _list_split(folder: Path, classes: list[str]) -> Split:
    paths: list[Path] = []
    targets: list[int] = []
    for index, name in enumerate(classes):
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in images.SUFFIXES)
        if not found:
            raise DataError(f"{folder / name}: no pictures in it")
        paths += found
        targets += [index] * len(found)
    return Split(paths, np.array(targets, dtype=np.int64))


def _read_labels(path: Path, classes: list[str]) -> list[str]:
    if not path.exists():
        return classes
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    labels = {row[0]: row[-1] for row in rows}
    missing = [name for name in classes if name not in labels]
    if missing:
        raise DataError(f"{path}: no line for class folder {missing[0]!r}")
    return [labels[name] for name in classes]
