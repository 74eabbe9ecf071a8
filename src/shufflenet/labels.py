"""Names of classes: which ones a model file can hold, and a text file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from shufflenet.files import printable

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
        reason = f"can't be read ({error.strerror or error})"
    except ValueError:
        reason = "not a list of classes: text in UTF-8, one class a line"
    raise ValueError(f"{printable(str(path))}: {reason}")
