"""Names of classes: which ones a model file can hold, and a text file of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from shufflenet.files import printable, why_unreadable

_MAX_FILE_BYTES = 16 << 20


def checked_names(kind: Literal["class", "label"], names: Any, classes: int) -> list[str]:
    """Returns ``names`` if a model file of ``classes`` classes can hold them.

    Raises:
        ValueError: they are not strings, or too few or many; or one is empty, has several lines, or is there twice.
    """
    plural = "labels" if kind == "label" else "classes"
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{plural} must be a list of strings")
    if len(names) != classes:
        raise ValueError(f"{len(names)} {plural if kind == 'label' else 'class names'} for {classes} classes")
    seen: set[str] = set()
    for name in names:
        if not name.strip() or any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 or ord(c) == 127 for c in name):
            raise ValueError(f"{kind} {name!r} is empty or not one line of text")
        if name in seen:
            raise ValueError(f"{kind} {name!r} stands for two classes")
        seen.add(name)
    return names


def numbered_labels(classes: int) -> list[str]:
    """The labels of a network whose classes nobody named: "class 0" and so on."""
    return [f"class {index}" for index in range(classes)]


def imagenet_names() -> tuple[list[str], list[str]]:
    """The 1,000 classes of ImageNet's challenge (ILSVRC 2012) in its order: class folders and labels.

    The folders are WordNet 3.0's numbers of the synsets, the labels their words. "Crane" stands there for the bird and
    for the machine, so these two labels say which.
    """
    return _columns((resources.files("shufflenet") / "imagenet.tsv").read_text("utf-8").splitlines())


def read_names(path: Path, classes: int) -> tuple[list[str], list[str]]:
    """Reads class folders and labels from a file of `read_labels`, where a line may begin with the folder and a tab.

    Raises:
        ValueError: the file can't be read, or does not name ``classes`` classes; the message names it.
    """
    folders, labels = _columns(read_labels(path))
    try:
        return checked_names("class", folders, classes), checked_names("label", labels, classes)
    except ValueError as error:
        raise ValueError(f"{printable(str(path))}: {error}") from None


def _columns(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """The first and the last column of each line, between tabs."""
    rows = [line.split("\t") for line in lines]
    return [row[0] for row in rows], [row[-1] for row in rows]


def read_labels(path: Path) -> list[str]:
    """Reads a UTF-8 text of one label a line, in the order of the network's outputs; drops empty lines at the end.

    Raises:
        ValueError: the file can't be read, or is no such text; the message names it.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        reason = why_unreadable(error)
    except ValueError:
        reason = "not a list of classes: text in UTF-8, one class a line"
    raise ValueError(f"{printable(str(path))}: {reason}")
