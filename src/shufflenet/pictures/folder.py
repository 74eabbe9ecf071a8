"""The pictures in a folder and its subfolders, as `predict`, `embed` and `similar` take them."""

from __future__ import annotations

import os

from shufflenet.files import printable, walk
from shufflenet.pictures.images import SUFFIXES, ImageError


def find_pictures(folder: str | os.PathLike[str]) -> list[str]:
    """The paths of the pictures in ``folder`` and its subfolders, sorted: files whose names end as pictures' do.

        classifier.predict(shufflenet.find_pictures("holiday"))

    Each begins with ``folder`` as it is given. What macOS keeps beside a picture as ``._NAME`` is left out.

    Raises:
        ImageError: it is no folder, it or a folder in it can't be read, or it holds no pictures.
    """
    found, problems = pictures_and_problems(os.fsdecode(folder))
    if problems:
        raise ImageError(printable(problems[0]))
    return found


def pictures_and_problems(folder: str) -> tuple[list[str], list[str]]:
    """The paths that `find_pictures` gives, and a message for each folder that can't be read or if there are none."""
    found: list[str] = []
    problems: list[str] = []

    def refuse(error: OSError) -> None:
        problems.append(f"{error.filename}: {error.strerror}")

    for parent, _, files in walk(folder, refuse):
        # macOS keeps a file's attributes in a file named ._ and its name, which is no picture.
        names = [name for name in files if not name.startswith("._")]
        found += [os.path.join(parent, name) for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
    if not found and not problems:
        problems.append(f"{folder}: no pictures in this folder")
    return sorted(found), problems
