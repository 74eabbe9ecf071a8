"""Whether the mirror images of a class look like another class, as those of arrows and letters do.

A small classifier learns some pictures of each class in grey: ridge regression on how strongly patches of 7 x 7 pixels,
taken from the pictures, answer anywhere in a picture (Coates and Ng, 2011). It is then asked about pictures that it has
not learned and about their mirror images. Where left and right are alike, a picture is as likely to be taken for its
class and its mirror image for another one as the other way round, so that a sign test tells which classes differ.

Letters: N pictures, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 24  # pixels of the small pictures
MOST = 12_000  # pictures in all
PER_CLASS = 60

_PATCH = 7
_STRIDE = 2
_PATCHES = 64
_FLAT = 300.0  # a patch's sum of squares, in grey levels, below which it is nearly of one grey
_FOLDS = 3
_PENALTY = 0.1
_LIKELY = 0.001  # how often data without such classes may be suspected
_LEAST = 1 / 3  # of a class's pictures


@dataclass(frozen=True)
class Mirrored:
    """A class of whose ``pictures`` some look like another class when they are mirrored."""

    index: int
    other: int
    taken: int  # its pictures that are taken for its own class, and mirrored for the other
    pictures: int


def small(picture: Image.Image) -> NDArray[np.uint8]:
    """The central square in grey, uint8 [SIDE, SIDE]."""
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    resized = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    return np.asarray(resized.convert("L"))


def chosen(targets: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The numbers of some pictures of every class that `mirrored` is to be asked about, in ascending order."""
    most = min(PER_CLASS, MOST // classes)
    order = np.random.default_rng(0).permutation(len(targets))
    return np.sort(np.concatenate([order[targets[order] == index][:most] for index in range(classes)]))


def mirrored(pictures: NDArray[np.uint8], targets: NDArray[np.int64], classes: int) -> Iterator[Mirrored]:
    """Yields the classes whose mirror images look like another class.

    Args:
        pictures: [N, SIDE, SIDE], as `small` makes them.
        targets: [N] their classes, 0 to ``classes`` - 1.
    """
    if np.bincount(targets).max() < _FOLDS:  # of so few nothing is learned, and no count of them is unlikely
        return
    random = np.random.default_rng(0)
    patches = _strong_patches(pictures[random.permutation(len(pictures))[:400]], random)
    if not len(patches):
        return
    plain, turned = _answers(pictures, patches), _answers(pictures[:, :, ::-1], patches)
    both = np.concatenate([plain, turned])
    mean, scale = both.mean(axis=0), both.std(axis=0) + 1e-6
    said, said_mirrored = _taken_for((plain - mean) / scale, (turned - mean) / scale, targets, classes, random)
    for index in range(classes):
        own = targets == index
        pairs = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(pairs, (said[own], said_mirrored[own]), 1)
        there, back, count = pairs[index], pairs[:, index], int(own.sum())
        for other in np.argsort(-there, kind="stable")[:2].tolist():
            often = there[other] >= max(1, _LEAST * count)
            if other != index and often and _tail(there[other], back[other]) < _LIKELY / classes**2:
                yield Mirrored(index, other, int(there[other]), count)


def _patches_of(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Every second patch, without its mean and scaled to a length of about 1: [N, places, _PATCH * _PATCH]."""
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (_PATCH, _PATCH), axis=(1, 2))
    windows = windows[:, ::_STRIDE, ::_STRIDE].reshape(len(pictures), -1, _PATCH * _PATCH).astype(np.float32)
    windows -= windows.mean(axis=2, keepdims=True)
    scaled: NDArray[np.float32] = windows / np.sqrt((windows * windows).sum(axis=2, keepdims=True) + 4 * _FLAT)
    return scaled


def _strong_patches(pictures: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.float32]:
    """Up to _PATCHES of the patches that are not nearly of one grey, and their mirror images: [..., _PATCH * _PATCH].

    Without the mirror images a picture would answer to its own patches better than its mirror image does.
    """
    patches = _patches_of(pictures).reshape(-1, _PATCH * _PATCH)
    strong = np.flatnonzero((patches * patches).sum(axis=1) > 0.5)
    taken = patches[random.permutation(strong)[:_PATCHES]].reshape(-1, _PATCH, _PATCH)
    return np.concatenate([taken, taken[:, :, ::-1]]).reshape(-1, _PATCH * _PATCH)


def _answers(pictures: NDArray[np.uint8], patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """How strongly each patch answers, light on dark and dark on light alike: the highest and the mean, [N, ...]."""
    parts = []
    for start in range(0, len(pictures), 64):
        answers = np.abs(_patches_of(pictures[start : start + 64]) @ patches.T)
        parts.append(np.concatenate([answers.max(axis=1), answers.mean(axis=1)], axis=1))
    return np.concatenate(parts)


def _taken_for(
    plain: NDArray[np.float32],
    turned: NDArray[np.float32],
    targets: NDArray[np.int64],
    classes: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class that each picture and its mirror image is taken for by a classifier that has not learned it: [N]."""
    order = random.permutation(len(targets))
    fold = np.empty(len(targets), dtype=np.int64)
    for index in range(classes):
        own = order[targets[order] == index]
        fold[own] = np.arange(len(own)) % _FOLDS
    said, said_mirrored = np.empty_like(targets), np.empty_like(targets)
    for part in range(_FOLDS):
        learned, asked = fold != part, fold == part
        x = np.concatenate([plain[learned], np.ones((learned.sum(), 1), dtype=np.float32)], axis=1).astype(np.float64)
        penalty = _PENALTY * len(x) * np.eye(x.shape[1])
        penalty[-1, -1] = 1e-6
        weights = np.linalg.solve(x.T @ x + penalty, x.T @ np.eye(classes)[targets[learned]])
        said[asked] = (plain[asked] @ weights[:-1] + weights[-1]).argmax(axis=1)
        said_mirrored[asked] = (turned[asked] @ weights[:-1] + weights[-1]).argmax(axis=1)
    return said, said_mirrored


def _tail(heads: int, tails: int) -> float:
    """The chance of so many heads or more, if a coin falls on either side alike."""
    tosses = int(heads + tails)
    return float(sum(math.comb(tosses, count) for count in range(int(heads), tosses + 1)) / 2**tosses)
