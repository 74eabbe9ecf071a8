"""Examines a folder of pictures before a network learns from it, and names every doubtful one."""

from __future__ import annotations

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import printable
from shufflenet.pictures import images, mirror
from shufflenet.pictures.dataset import DataError, Dataset, Picture, open_dataset, pictures_below
from shufflenet.threads import map_in_order

TINY_SIDE = 32  # pixels; the smallest input of a network
MAX_ASPECT = 4.0  # beyond it a central square shows a quarter of the picture or less
FEW = 20  # training pictures of a class

_FLAT = 3  # of 255: brighter and darker by less is one colour
_SUFFIXES = (
    (b"\xff\xd8\xff", (".jpg", ".jpeg", ".jpe", ".jfif")),
    (b"\x89PNG", (".png",)),
    (b"GIF8", (".gif",)),
    (b"BM", (".bmp",)),
    (b"RIFF", (".webp",)),
    (b"II", (".tif", ".tiff")),
    (b"MM", (".tif", ".tiff")),
    (b"P", (".ppm", ".pgm", ".pbm", ".pnm")),
)
_BLOCK = 512  # pictures between two reports of progress

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Problem:
    """One thing to look at: ``kind`` in a word or two, the picture or class folder, and what is wrong with it."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True)
class _Look:
    """The result of examining one picture."""

    problems: list[Problem]
    content: bytes | None  # a hash of its pixels; None: it can't be read
    small: NDArray[np.uint8] | None = None  # as `mirror.small` makes it


@dataclass(frozen=True)
class Examination:
    """The result of examining a whole dataset; ``layout`` is what was taken for train, val and classes."""

    pictures: int
    classes: int
    problems: list[Problem]
    layout: str = ""

    def summary(self) -> str:
        count = len(self.problems)
        found = f"{count:,} problem{'s' if count > 1 else ''}" if count else "no problem"
        classes = f" of {self.classes} classes" if self.classes else ""
        return f"{self.pictures:,} pictures{classes}: {found} found"


def examine(root: Path, progress: Progress = lambda done, of: None) -> Examination:
    """Reads every picture of a dataset (see `open_dataset`) and lists the problems.

    The kinds: unreadable, tiny, one colour, long, wrong suffix, duplicate, in both splits, few pictures, mirror image
    for a class that looks like another one when it is mirrored, and data for folders that are not classes to learn,
    whose pictures are read all the same.
    """
    problems: list[Problem] = []
    dataset: Dataset | None = None
    try:
        dataset = open_dataset(root)
        pictures = dataset.train.pictures + dataset.val.pictures
    except DataError as error:
        name, _, text = str(error).partition(": ")
        problems.append(Problem("data", name, text))
        try:
            pictures = pictures_below(root)
        except DataError:
            return Examination(0, 0, problems)
    same: dict[bytes, list[int]] = defaultdict(list)
    asked = set() if dataset is None else set(mirror.chosen(dataset.train.targets, len(dataset.classes)).tolist())
    small: dict[int, NDArray[np.uint8]] = {}
    for index, look in enumerate(_looks(pictures, progress)):
        problems += look.problems
        if look.content is not None:
            same[look.content].append(index)
        if look.small is not None and index in asked:
            small[index] = look.small
    problems += _duplicates(dataset, pictures, [indices for indices in same.values() if len(indices) > 1])
    if dataset is not None:
        problems += _few(dataset)
        problems += _mirrored(dataset, small)
    if dataset is None:
        return Examination(len(pictures), 0, problems)
    return Examination(len(pictures), len(dataset.classes), problems, dataset.describe())


def _looks(pictures: list[Picture], progress: Progress) -> Iterator[_Look]:
    for done, look in enumerate(map_in_order(_look, pictures), start=1):
        yield look
        if done % _BLOCK == 0 or done == len(pictures):
            progress(done, len(pictures))


def _look(picture: Picture) -> _Look:
    try:
        decoded = picture.decode()
        beginning = picture.beginning()
    except images.ImageError as error:
        why = str(error).rpartition(f"{printable(picture.name)}: ")[2]
        return _Look([Problem("unreadable", picture.name, why)], None)
    problems = []
    width, height = decoded.size
    pixels = np.asarray(decoded)
    if min(width, height) < TINY_SIDE:
        problems.append(Problem("tiny", picture.name, f"{width} x {height} pixels"))
    if max(width, height) > MAX_ASPECT * min(width, height):
        problems.append(Problem("long", picture.name, f"{width} x {height} pixels: training sees its middle only"))
    if int(np.ptp(pixels.reshape(-1, 3), axis=0).max()) < _FLAT:
        problems.append(Problem("one colour", picture.name, "nothing is on it"))
    expected = next((suffixes for start, suffixes in _SUFFIXES if beginning.startswith(start)), ())
    if expected and not picture.name.lower().endswith(expected):
        problems.append(Problem("wrong suffix", picture.name, f"its content is that of a {expected[0]} file"))
    content = hashlib.sha256(f"{width} {height} ".encode() + pixels.tobytes()).digest()
    return _Look(problems, content, mirror.small(decoded))


def _duplicates(dataset: Dataset | None, pictures: list[Picture], groups: list[list[int]]) -> Iterator[Problem]:
    """Yields a problem for each picture whose pixels an earlier one has, whatever their files."""
    train, targets = len(pictures), [0] * len(pictures)
    if dataset is not None:
        train, targets = len(dataset.train), [*dataset.train.targets.tolist(), *dataset.val.targets.tolist()]
    for first, *others in groups:
        for index in others:
            what = f"the same picture as {pictures[first].name}"
            if dataset is not None and targets[first] != targets[index]:
                what += f", which is in class {dataset.classes[targets[first]]!r}"
            yield Problem("in both splits" if first < train <= index else "duplicate", pictures[index].name, what)


def _few(dataset: Dataset) -> Iterator[Problem]:
    counts = np.bincount(dataset.train.targets, minlength=len(dataset.classes)).tolist()
    usual = statistics.median(counts)
    for name, count in zip(dataset.classes, counts, strict=True):
        if count < FEW or count < usual / 10:
            least = f"at least {FEW} are needed to learn from" if count < FEW else f"others have about {usual:.0f}"
            yield Problem("few pictures", name, f"{count} to train on; {least}")


def _mirrored(dataset: Dataset, small: dict[int, NDArray[np.uint8]]) -> Iterator[Problem]:
    """Yields a problem for each class whose mirror images look like another one; ``small``: by training picture."""
    if not small:
        return
    targets = dataset.train.targets[list(small)]
    for found in mirror.mirrored(np.stack(list(small.values())), targets, len(dataset.classes)):
        text = f"mirrored, {found.taken} of {found.pictures} pictures look like class {dataset.classes[found.other]!r}"
        yield Problem("mirror image", dataset.classes[found.index], f"{text}: train with --no-flip")
