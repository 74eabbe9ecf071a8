"""Folders with all that is below them, linked ones too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator


def walk(
    folder: str | os.PathLike[str], onerror: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, in the order of names, following links, but none that leads back to a folder that it lies in."""
    above: dict[str, frozenset[str]] = {os.fspath(folder): frozenset()}  # of what is still to come
    for parent, folders, files in os.walk(os.fspath(folder), followlinks=True, onerror=onerror):
        real, outer = os.path.realpath(parent), above.pop(parent)
        if real in outer:
            folders.clear()
            continue
        folders.sort()
        above.update((os.path.join(parent, name), outer | {real}) for name in folders)
        yield parent, folders, sorted(files)
