"""The texts of a network's classes, from a text file."""

from __future__ import annotations

from pathlib import Path

from shufflenet.model_file import ModelFileError
from shufflenet.pictures.images import printable

_MAX_BYTES = 16 << 20


def read(path: Path) -> list[str]:
    """One class a line, UTF-8, in the order of the network's outputs; empty lines at the end don't count.

    Raises:
        ModelFileError: the file can't be read, or is no text.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        reason = f"can't be read ({error.strerror or error})"
    except ValueError:
        reason = "not a list of classes: text in UTF-8, one class a line"
    raise ModelFileError(f"{printable(str(path))}: {reason}")
