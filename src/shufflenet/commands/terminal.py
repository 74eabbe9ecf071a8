"""What is shown on stderr while a command works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_MANY = 20  # pictures, from which on a progress bar is shown


def _on_terminal() -> bool:
    return sys.stderr.isatty()


def complain(message: str) -> None:
    """One line, also on what is no terminal."""
    from shufflenet.images import printable

    clear = "\r\x1b[K" if _on_terminal() else ""  # a progress bar may stand on the line
    click.echo(clear + printable(message), err=True)


def tell(what: str) -> None:
    """What is under way, on one line, if that is a terminal."""
    if _on_terminal():
        click.echo(f"\r{what}\x1b[K", err=True, nl=False)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Tells how far something is, on one line, if that is a terminal."""

    def show(done: int, of: int) -> None:
        if _on_terminal():
            click.echo(f"\r{what} {done:,} of {of:,}", err=True, nl=False)

    try:
        yield show
    finally:
        if _on_terminal():
            click.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def progress_bar(length: int) -> Iterator[Any]:
    """A bar, if that is a terminal and the results don't go to the same one."""
    if length < _MANY or not _on_terminal() or sys.stdout.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, file=sys.stderr, label="classifying") as bar:
        yield lambda: bar.update(1)
