"""A file that a user names, before it is read: is it one, and if not, why, in the words that all messages use."""

from __future__ import annotations

import errno
import os
import stat


class NotAFileError(ValueError):
    """The path is of something else; the message lacks the path."""


def regular_file(path: str | os.PathLike[str], kind: str) -> os.stat_result:
    """The status of the file ``path``, which should be a ``kind``.

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
    """In a few words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"can't be read ({error.strerror or error})"
