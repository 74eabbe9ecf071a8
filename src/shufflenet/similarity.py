"""Pictures that are alike: near in the angle between their embeddings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from shufflenet.classifier import Classifier, checked_top_k
from shufflenet.models import DEFAULT_MODEL
from shufflenet.pictures.folder import find_pictures
from shufflenet.pictures.images import ImageError, Source


class Similar(NamedTuple):
    """A picture by its path, and how like the asked one it is: the cosine of the angle between features, at most 1."""

    source: str
    similarity: float


def similar(
    picture: Source,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    top_k: SupportsIndex = 10,
    *,
    on_error: Callable[[ImageError], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Similar]:
    """The pictures that are most like one, the most alike first: pairs of path and similarity.

        for path, similarity in shufflenet.similar("cat.jpg", "holiday"): ...

    The mean of the searched pictures' features is subtracted first, so that pictures in general have about 0; figures
    of different folders are not comparable.

    Args:
        picture: a path, bytes of a picture file, a PIL image or an array. Its own path is not among what is found.
        paths: a folder, of which `find_pictures` finds the pictures, or the paths of pictures.
        model: what `Classifier` takes.
        top_k: so many at most.
        on_error: told each of ``paths`` that can't be read, which is left out; None: the first is raised.
        progress: told pictures done and pictures in all.

    Raises:
        ImageError: a picture or the folder can't be read, or the folder holds no pictures.
        ModelFileError: the model can't be used.
        TypeError: ``top_k`` is no whole number.
        ValueError: there are no other pictures, ``top_k`` is below 1, or the network has no last layer to read from.
    """
    top_k = checked_top_k(top_k)
    named = find_pictures(paths) if isinstance(paths, str | os.PathLike) else map(os.fsdecode, paths)
    own = os.path.realpath(picture) if isinstance(picture, str | os.PathLike) else None
    others = [path for path in named if os.path.realpath(path) != own]
    if not others:
        raise ValueError("no other pictures to compare with")
    classifier = Classifier(model)
    asked = classifier.embed([picture])[0]
    read, rows = [], []
    for done, (path, row) in enumerate(zip(others, classifier.embed(others, errors="yield"), strict=True), start=1):
        if not isinstance(row, ImageError):
            read.append(path)
            rows.append(row)
        elif on_error is None:
            raise row
        else:
            on_error(row)
        progress(done, len(others))
    return [Similar(read[place], cosine) for place, cosine in nearest(asked, rows, top_k)]


def nearest(
    query: NDArray[np.float32], embeddings: Sequence[NDArray[np.float32]], count: int
) -> list[tuple[int, float]]:
    """The places of the ``count`` embeddings that are most like ``query``, the nearest first, and their cosines.

    Args:
        query: [features].
        embeddings: [features] each. Their mean is subtracted first: features are positive, so that without it all
            pictures would look alike.
    """
    if not embeddings:
        return []
    table = np.stack([*embeddings]).astype(np.float64)
    mean = table.mean(axis=0) if len(table) > 1 else np.zeros_like(query)
    rows = _unit(table - mean)
    cosines = rows @ _unit(query.astype(np.float64) - mean)
    order = np.argsort(-cosines, kind="stable")[:count]
    return [(int(place), float(cosines[place])) for place in order]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors [..., features] with a length of 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-30)
    return scaled
