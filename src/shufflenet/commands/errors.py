"""What keeps a command from starting: one line on stderr and exit code 2."""

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
        from shufflenet.images import printable

        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        raise CannotStart(printable(message)) from error


@contextmanager
def needs_torch() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CannotStart("PyTorch is needed for this: pip install 'shufflenet[train]'") from None
