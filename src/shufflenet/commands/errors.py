"""What ends a command: one line on stderr, and exit code 2 if it could not start, 1 if it had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


class CannotStart(click.ClickException):
    """Nothing was done; the message says what has to be put right first."""

    exit_code = 2


@contextmanager
def refusing(*errors: type[Exception]) -> Iterator[None]:
    """Errors of the package speak to the user already: one line, without a traceback."""
    try:
        yield
    except errors as error:
        raise CannotStart(_message(error)) from error


@contextmanager
def failing(*errors: type[Exception]) -> Iterator[None]:
    """Likewise for what has begun, or has come to its end but can't be written."""
    try:
        yield
    except errors as error:
        raise click.ClickException(_message(error)) from error


def _message(error: Exception) -> str:
    from shufflenet.images import printable

    if isinstance(error, OSError) and error.filename:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(str(error))


@contextmanager
def needs_torch() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CannotStart("PyTorch is needed for this: pip install 'shufflenet[train]'") from None
