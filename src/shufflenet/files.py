"""Files and folders that a user names: what each is, what it holds, and how messages speak of it."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Callable, Iterator


class NotAFileError(ValueError):
    """The path leads to a folder, a pipe or a device. The message says to which, but lacks the path."""


def regular_file(path: str | os.PathLike[str], kind: str) -> os.stat_result:
    """Returns the status of the file ``path``; ``kind`` is what it should be, for the message.

    Raises:
        NotAFileError: a folder, a pipe or a device.
        OSError: there is none, or it can't be looked at.
    """
    try:
        status = os.stat(path)
    except ValueError:  # a null byte in the name
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    if stat.S_ISDIR(status.st_mode):
        raise NotAFileError(f"a folder, not a {kind}")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise NotAFileError("not a regular file")
    return status


def why_unreadable(error: OSError) -> str:
    """The reason in a few words, without the path, as all messages give it."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"can't be read ({error.strerror or error})"


def printable(text: str) -> str:
    """``text`` in one line that any terminal can show: control characters and undecodable bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def walk(
    folder: str | os.PathLike[str], onerror: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walks as `os.walk` does, but in the order of names, and through links to folders.

    A link that leads back to a folder in which it lies is left out.
    """
    enclosing: dict[str, frozenset[str]] = {os.fspath(folder): frozenset()}  # real paths, for each folder to come
    for parent, folders, files in os.walk(os.fspath(folder), followlinks=True, onerror=onerror):
        real, outer = os.path.realpath(parent), enclosing.pop(parent)
        if real in outer:
            folders.clear()
            continue
        folders.sort()
        enclosing.update((os.path.join(parent, name), outer | {real}) for name in folders)
        yield parent, folders, sorted(files)


class Archive:
    """A .zip that threads, and processes forked meanwhile, read members of.

    Raises:
        zipfile.BadZipFile, NotImplementedError, OSError, ValueError: it can't be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self.zip = zipfile.ZipFile(self._path)

    def read(self, name: str, count: int | None = None) -> bytes:
        """Reads the member ``name``, or its first ``count`` bytes, as `read_member` does."""
        if self._process != os.getpid():  # the parent's place in the file moves, and its threads' lock stays closed
            self._open()
        return read_member(self.zip, name, count)


def files_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a .zip that are files. Members without a name, which nothing can ask for, are left out."""
    return [member for member in archive.infolist() if member.filename and not member.is_dir()]


def read_member(archive: zipfile.ZipFile, name: str, count: int | None = None) -> bytes:
    """Reads one member of a .zip, or its first ``count`` bytes, in no more memory than the archive says that it takes.

    Raises:
        NotImplementedError: packed by bzip2 or LZMA, which Python unpacks whole before it looks at the size.
        Exception: whatever else ``archive.read`` raises.
    """
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("neither stored nor deflated")
    if count is None:
        return archive.read(name)
    with archive.open(name) as member:
        return member.read(count)
