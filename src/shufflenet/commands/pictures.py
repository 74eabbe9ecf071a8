"""Expansion of path arguments to pictures: files, folders, globs, or - for a list on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator

import click

_GLOB_CHARACTERS = frozenset("*?[")
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")  # first bytes of the formats likeliest to be piped in


def named_pictures(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """(paths, problems): the pictures that ``arguments`` name, and a message for each argument or folder without any.

    Raises:
        click.UsageError: stdin is asked for, but is closed or holds a picture rather than a list.
    """
    from shufflenet.pictures.folder import pictures_and_problems

    found: list[str] = []
    problems: list[str] = []
    for path in _read_stdin(arguments, problems):
        if os.path.lexists(path) or not _GLOB_CHARACTERS.intersection(path):
            matches = [path]  # a file that does not exist fails when it is read
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                problems.append(f"{path}: nothing matches")
        pictures: dict[str, None] = {}  # an ordered set: "**" finds a folder and its pictures, which must come once
        for match in matches:
            inside, troubles = pictures_and_problems(match) if os.path.isdir(match) else ([match], [])
            pictures.update(dict.fromkeys(inside))
            problems += troubles
        found += pictures
    return found, problems


def _read_stdin(arguments: Iterable[str], problems: list[str]) -> Iterator[str]:
    for argument in arguments:
        if argument != "-":
            yield argument
            continue
        if sys.stdin is None:
            raise click.UsageError("- reads a list from stdin, which is closed.")
        text = sys.stdin.buffer.read()
        if text.startswith(_PICTURES):
            raise click.UsageError("- takes a list of paths, one a line, not a picture itself.")
        # `find -print0` ends names with a zero byte, since they may hold line breaks.
        names = [name for name in (text.split(b"\0") if b"\0" in text else text.splitlines()) if name]
        if not names:
            problems.append("-: no paths in the list")
        yield from map(os.fsdecode, names)
