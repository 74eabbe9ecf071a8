"""Folders with all that is below them, linked ones too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator


def walk(
    folder: str | os.PathLike[str], onerror: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, following links, but into each folder once: a link may lead back."""
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=onerror):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield os.fspath(parent), folders, files
