"""What pictures a job has, and which of them make a part: a file of the result, written whole or not at all.

Parts follow from the list of the pictures alone, so that every run of a job, on however many workers, makes the same.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shufflenet.batch.shards import SHARD_SUFFIXES, is_shard, pictures_in
from shufflenet.batch.storage import fetched, is_url, listed
from shufflenet.files import regular_file, walk, why_unreadable
from shufflenet.pictures.images import SUFFIXES, ImageError
from shufflenet.threads import map_in_order

# Pictures of a part: few enough to do again after a stop, and no more than 10,000 parts if that can be.
_FEWEST, _MOST, _PARTS = 500, 10_000, 10_000
_FETCHING = 16  # threads that wait for a service while a picture is classified


class SourceError(ValueError):
    """A source can't be listed. The message is one line, names it and says why."""


@dataclass(frozen=True)
class Part:
    """The pictures of one file of the result: some of a list, or all of a shard.

    Args:
        name: the file's: where the pictures are in the whole, and a hash of their names and lengths.
    """

    name: str
    pictures: tuple[str, ...] = ()
    shard: str = ""

    def read(self) -> Iterator[tuple[str, str | bytes | ImageError]]:
        """Each picture's name, and its path, its bytes, or why it can't be read.

        Raises:
            OSError: a shard can't be read, which may be different the next time.
        """
        if self.shard:
            yield from pictures_in(self.shard)
        elif any(map(is_url, self.pictures)):
            yield from zip(self.pictures, map_in_order(_fetched, self.pictures, _FETCHING), strict=True)
        else:
            yield from zip(self.pictures, self.pictures, strict=True)


def plan(sources: Iterable[str]) -> list[Part]:
    """The parts of a job, in order.

    Args:
        sources: each a picture, a shard (`shards.SHARD_SUFFIXES`), a folder of both, a text file with one of these a
            line, a glob; on disk or behind a URL.

    Raises:
        SourceError: one is not there, can't be listed, or holds neither pictures nor shards.
    """
    pictures: dict[str, int] = {}  # with sizes in bytes, 0 if not known; one that is named twice comes once
    shards: dict[str, int] = {}
    for source in sources:
        for path, size in _files(source):
            (shards if is_shard(path) else pictures)[path] = size
    names = list(pictures)
    count = min(_MOST, max(_FEWEST, -(-len(names) // _PARTS)))
    parts = []
    for number, first in enumerate(range(0, len(names), count)):
        of_part = names[first : first + count]
        digest = _digest((name, pictures[name]) for name in of_part)
        parts.append(Part(f"part-{number:06}-{digest}.parquet", tuple(of_part)))
    for shard, size in shards.items():
        stem = re.sub(r"[^\w.-]", "_", os.path.basename(shard), flags=re.ASCII)[:100]
        parts.append(Part(f"shard-{stem}-{_digest([(shard, size)])}.parquet", shard=shard))
    return parts


def _fetched(picture: str) -> str | bytes | ImageError:
    try:
        return fetched(picture)
    except ImageError as error:
        return error


def _files(source: str) -> Iterator[tuple[str, int]]:
    """The pictures and shards of a source with their sizes."""
    try:
        if is_url(source):
            found = [(path, size) for path, size in listed(source) if _is_input(path)]
        elif os.path.isdir(source):
            found = list(_below(source))
        elif not os.path.lexists(source) and glob.has_magic(source):
            found = [file for path in sorted(glob.glob(source, recursive=True)) for file in _files(path)]
        elif _is_input(source):
            found = [(source, os.stat(source).st_size)]
        else:
            found = list(_listed_in(Path(source)))
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        reason = why_unreadable(error) if isinstance(error, OSError) else str(error).removeprefix(f"{source}: ")
        raise SourceError(f"{source}: {reason}") from None
    if not found:
        raise SourceError(f"{source}: no pictures, and no shards ({', '.join(SHARD_SUFFIXES)})")
    yield from found


def _below(folder: str) -> Iterator[tuple[str, int]]:
    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename}: {why_unreadable(error)}")

    for parent, folders, files in walk(folder, refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (os.path.join(parent, name) for name in files):
            if _is_input(path):
                yield path, os.stat(path).st_size if os.path.exists(path) else 0  # a dead link fails when it is read


def _listed_in(file: Path) -> Iterator[tuple[str, int]]:
    """The lines of a text file; each is a picture whatever its name, unless it is that of a shard."""
    regular_file(file, "list")
    content = file.read_bytes()
    if b"\0" in content:
        raise ValueError("neither a picture nor a shard by its name, and no text with a path on each line")
    for line in content.splitlines():
        if path := os.fsdecode(line).strip():
            yield path, 0


def _is_input(path: str) -> bool:
    name = os.path.basename(path)
    return not name.startswith(".") and (is_shard(name) or os.path.splitext(name)[1].lower() in SUFFIXES)


def _digest(files: Iterable[tuple[str, int]]) -> str:
    digest = hashlib.sha256()
    for name, size in files:
        digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
