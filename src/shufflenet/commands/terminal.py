"""Messages and progress on stderr. Progress is shown only on a terminal, on its last line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_MANY = 20  # pictures; fewer take too short a time for a progress bar


def log(message: str) -> None:
    """Prints one line to stderr, in place of a progress bar or status line if one is shown."""
    from shufflenet.files import printable

    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    click.echo(clear + printable(message), err=True)


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yields a function that shows its argument on the terminal's last line; the line is cleared at the end."""

    def show(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)

    try:
        yield show
    finally:
        show("")


@contextmanager
def progress_line(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of (done, total) that shows "WHAT done of total" on the terminal's last line."""
    with status_line() as show:
        yield lambda done, total: show(f"{what} {done:,} of {total:,}")


@contextmanager
def progress_bar(length: int) -> Iterator[Any]:
    """Yields a function to call once per picture. No bar is drawn where results go to the same terminal."""
    if length < _MANY or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, file=sys.stderr, label="classifying") as bar:
        yield lambda: bar.update(1)
