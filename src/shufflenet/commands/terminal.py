"""What is shown on stderr while a command works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_MANY = 20  # pictures, from which on a progress bar is shown


def log(message: str) -> None:
    """One line, also on what is no terminal."""
    from shufflenet.files import printable

    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # a progress bar may stand on the line
    click.echo(clear + printable(message), err=True)


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Tells what is under way, on one line, if that is a terminal; the line is empty again at the end."""

    def show(what: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{what}\x1b[K", err=True, nl=False)

    try:
        yield show
    finally:
        show("")


@contextmanager
def progress_line(what: str) -> Iterator[Callable[[int, int], None]]:
    """Likewise how far something is."""
    with status_line() as show:
        yield lambda done, of: show(f"{what} {done:,} of {of:,}")


@contextmanager
def progress_bar(length: int) -> Iterator[Any]:
    """A bar, if that is a terminal and the results don't go to the same one."""
    if length < _MANY or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, file=sys.stderr, label="classifying") as bar:
        yield lambda: bar.update(1)
