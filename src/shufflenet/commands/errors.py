"""Context managers that turn exceptions into one line on stderr and an exit code.

Exit code 2 means that the command could not start, 1 that it started and then failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import click


class CannotStart(click.ClickException):
    """Exit code 2: the command has done nothing yet. The message says what to correct first."""

    exit_code = 2


def refusing(*errors: type[Exception]) -> AbstractContextManager[None]:
    """Ends the command with exit code 2 if one of ``errors`` is raised inside, printing its message, no traceback."""
    return _ending(CannotStart, errors)


def failing(*errors: type[Exception]) -> AbstractContextManager[None]:
    """Ends the command with exit code 1 if one of ``errors`` is raised inside: after work has begun."""
    return _ending(click.ClickException, errors)


@contextmanager
def _ending(exit_with: type[click.ClickException], errors: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        from shufflenet.files import printable

        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        raise exit_with(printable(message)) from error


@contextmanager
def needs_torch() -> Iterator[None]:
    """Ends the command with exit code 2 and the line that installs PyTorch if an import inside finds none."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from shufflenet.install_hint import install_hint

        raise CannotStart(f"PyTorch is needed for this: {install_hint('train')}") from None
