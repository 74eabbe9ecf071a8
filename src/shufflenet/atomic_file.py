"""A file written whole or not at all: under a temporary name beside it, then renamed."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file that replaces ``path`` when the block ends; if the block fails, an earlier file stays whole.

    Raises:
        OSError: it can't be written; the error names ``path``.
    """
    target = Path(os.path.realpath(path))  # through a link, as plain writing would
    if target.exists() and not target.is_file():  # a device or a pipe, which no file may replace
        with target.open("wb") as file:
            yield file
        return
    temporary = temporary_beside(target)
    try:
        with naming(path, temporary):
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """Writes ``document`` as indented JSON to ``path``, whole or not at all.

    Raises:
        OSError: it can't be written; the error names ``path``.
    """
    with atomic_file(path) as file:
        file.write(f"{json.dumps(document, indent=1, allow_nan=False)}\n".encode())


@contextmanager
def naming(path: str | os.PathLike[str], temporary: Path) -> Iterator[None]:
    """Makes errors of writing ``temporary`` in the block name ``path``, the file that it will become."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not str(error.filename or temporary).startswith(str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def temporary_beside(path: Path) -> Path:
    """A name that nothing has yet, in the same folder, hidden, ending in .tmp."""
    return path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.tmp")  # 50 characters take at most 200 bytes
