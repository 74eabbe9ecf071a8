"""Context managers around other projects' converters and runtimes: silence, and errors of one line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from shufflenet.exporters.target import ExportError

_MAX_REASON = 300  # characters


@contextmanager
def converting(project: str, action: str = "convert the network") -> Iterator[None]:
    """Runs the block `quiet`; any exception in it becomes an ExportError, "PROJECT can't ACTION: REASON"."""
    try:
        with quiet():
            yield
    except ExportError:
        raise
    except Exception as error:
        reason = (f"{type(error).__name__}: {error}".strip().splitlines() or [""])[0][:_MAX_REASON]
        raise ExportError(f"{project} can't {action}: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what the block prints to stdout and stderr, from Python and from C, and its warnings.

    The command line's results go to stdout, where converters print too.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    saved = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        with (
            open(os.devnull, "w") as text,
            redirect_stdout(text),
            redirect_stderr(text),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(nowhere)
