"""Pictures that are alike: near in the angle between their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Similar:
    """A picture by its place among those that were compared, and the cosine of the angle, at most 1."""

    place: int
    similarity: float


def nearest(query: NDArray[np.float32], embeddings: Sequence[NDArray[np.float32]], count: int) -> list[Similar]:
    """The ``count`` embeddings that are most like ``query``, the nearest first.

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
    return [Similar(int(place), float(cosines[place])) for place in order]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors [..., features] with a length of 1; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-30)
    return scaled
