"""Pictures where they are stored: on disk, or behind a URL such as s3://bucket/cat.jpg, which fsspec reads."""

from __future__ import annotations

import re
from typing import Any

from shufflenet.files import printable, why_unreadable
from shufflenet.pictures.images import MAX_PIXELS, ImageError

MOST_BYTES = 4 * MAX_PIXELS  # of a picture file


def is_url(path: str) -> bool:
    """Whether ``path`` begins as s3://, gs://, https:// and the like do."""
    return re.match(r"[a-z][a-z0-9+.-]+://", path) is not None


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        ValueError: no package for such URLs is installed.
    """
    import fsspec

    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except ImportError as error:  # the message names the package, such as s3fs
        raise ValueError(f"{url}: {error}") from None
    return found


def fetched(path: str) -> str | bytes:
    """A path as it is, for `images.decode` to read; the bytes behind a URL.

    Raises:
        ImageError: the URL can't be read.
    """
    if not is_url(path):
        return path
    try:
        files, name = file_system(path)
        with files.open(name, "rb") as file:
            content: bytes = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ImageError(f"{printable(path)}: {why_unreadable(error)}") from None
    except Exception as error:  # each service has errors of its own
        raise ImageError(f"{printable(path)}: can't be read ({error})") from None
    if len(content) > MOST_BYTES:
        raise ImageError(f"{printable(path)}: more than {MOST_BYTES:,} bytes, too large")
    return content


def listed(url: str) -> list[tuple[str, int]]:
    """The files that ``url`` names, as URLs with their sizes in bytes: all below a folder, a glob's, or one.

    Raises:
        OSError: it can't be listed, or is not there.
        ValueError: no package for such URLs is installed.
    """
    files, name = file_system(url)
    if any(character in name for character in "*?["):
        found = files.glob(name, detail=True)
    else:
        found = files.find(name, detail=True)  # of a file: itself
    return sorted((files.unstrip_protocol(path), int(info.get("size") or 0)) for path, info in found.items()
                  if info.get("type") != "directory")  # fmt: skip
