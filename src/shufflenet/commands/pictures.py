"""Expansion of path arguments to pictures: files, folders, globs, or - for a list on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator

import click

from shufflenet.files import walk

_GLOB_CHARACTERS = frozenset("*?[")
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")  # first bytes of the formats likeliest to be piped in


def find_pictures(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """(paths, problems): the pictures that ``arguments`` name, and a message for each argument or folder without any.

    Raises:
        click.UsageError: stdin is asked for, but is closed or holds a picture rather than a list.
    """
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
            pictures.update(dict.fromkeys(_in_folder(match, problems) if os.path.isdir(match) else [match]))
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


def _in_folder(folder: str, problems: list[str]) -> list[str]:
    from shufflenet.pictures.images import SUFFIXES

    found: list[str] = []
    unreadable: list[str] = []

    def refuse(error: OSError) -> None:
        unreadable.append(f"{error.filename}: {error.strerror}")

    for parent, _, files in walk(folder, refuse):
        # macOS keeps a file's attributes in a file named ._ and its name, which is no picture.
        names = [name for name in files if not name.startswith("._")]
        found += [os.path.join(parent, name) for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
    problems += unreadable
    if not found and not unreadable:
        problems.append(f"{folder}: no pictures in this folder")
    return found
