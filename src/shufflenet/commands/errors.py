"""What ends a command: one line on stderr, and exit code 2 if it could not start, 1 if it had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import click


class CannotStart(click.ClickException):
    """Nothing was done; the message says what has to be put right first."""

    exit_code = 2


def refusing(*errors: type[Exception]) -> AbstractContextManager[None]:
    """Errors of the package speak to the user already: one line, without a traceback."""
    return _ending(CannotStart, errors)


def failing(*errors: type[Exception]) -> AbstractContextManager[None]:
    """Likewise for what has begun, or has come to its end but can't be written."""
    return _ending(click.ClickException, errors)


@contextmanager
def _ending(how: type[click.ClickException], errors: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        from shufflenet.files import printable

        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        raise how(printable(message)) from error


@contextmanager
def needs_torch() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CannotStart("PyTorch is needed for this: pip install 'shufflenet[train]'") from None
