"""Fetches a file once: resumed after a cut, checked before it is used, kept in a cache folder."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from shufflenet import __version__
from shufflenet.model_file import ModelFileError

ATTEMPTS = 5  # in a row without a byte more
_WAIT_SECONDS = 0.5  # before the second attempt; doubled each time
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 16
_MAX_BYTES = 1 << 30


class DownloadError(ModelFileError):
    """A file can't be fetched. The message is one line, names the address and says why."""


class _CutError(Exception):
    """The connection ended early; what came is kept."""


def cache_folder() -> Path:
    """``shufflenet`` in the user's cache folder: XDG_CACHE_HOME, or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "shufflenet"


def fetch(address: str, path: Path, check: Callable[[Path], None]) -> Path:
    """Downloads ``address`` to ``path``, unless that is there already.

    What has come is kept under another name until it is whole and checked, and a later call goes on from there.

    Args:
        check: raises a ValueError if the file is not what it should be; then it is deleted.

    Raises:
        DownloadError: no network, no such address, another file than expected, or no room for it.
    """
    partial = path.with_name(path.name + ".part")
    try:
        if path.exists() and _passes(check, path):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        if _size(partial):
            _fetch_with_patience(address, partial)
            if not _passes(check, partial):  # what was kept belonged to another file
                partial.unlink()
        if not partial.exists():
            _fetch_with_patience(address, partial)
            try:
                check(partial)
            except ValueError as error:
                partial.unlink()
                raise DownloadError(f"{address}: downloaded, but refused and deleted: {error}") from None
        partial.replace(path)
    except OSError as error:
        raise DownloadError(f"{path}: can't be written ({error.strerror or error})") from None
    return path


def _passes(check: Callable[[Path], None], path: Path) -> bool:
    try:
        check(path)
    except ValueError:
        return False
    return True


def _fetch_with_patience(address: str, partial: Path) -> None:
    began_with = _size(partial)
    failures = 0
    while True:
        have = _size(partial)
        try:
            return _fetch_rest(address, partial)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and have:  # no byte is missing
                    return None
                reason = f"the server answers {error.code} {error.reason}"
                hopeless = error.code < 500
        except urllib.error.URLError as error:
            reason = f"no connection ({error.reason})"
            hopeless = have == began_with
        except (_CutError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = f"connection cut ({str(error) or type(error).__name__})"
            hopeless = False
        failures = 1 if _size(partial) > have else failures + 1
        if hopeless or failures >= ATTEMPTS:
            kept = _size(partial)
            after = f"; the first {kept:,} bytes are kept, the same command goes on from there" if kept else ""
            raise DownloadError(f"{address}: {reason}{after}")
        time.sleep(_WAIT_SECONDS * 2 ** (failures - 1))


def _fetch_rest(address: str, partial: Path) -> None:
    have = _size(partial)
    headers = {"User-Agent": f"shufflenet/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else 0
        with partial.open("ab" if resumed else "wb") as file, _progress(partial, have, total) as advance:
            while chunk := _read(response):
                have += len(chunk)
                if have > _MAX_BYTES:
                    raise DownloadError(f"{address}: more than {_MAX_BYTES:,} bytes, so it is no checkpoint")
                file.write(chunk)
                advance(len(chunk))
        if have < total:
            raise _CutError(f"{have:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from None


@contextmanager
def _progress(partial: Path, have: int, total: int) -> Iterator[Callable[[int], Any]]:
    """A bar on stderr, if that is a terminal."""
    if not total or not sys.stderr.isatty():
        yield lambda count: None
        return
    with click.progressbar(length=total, file=sys.stderr, label=partial.stem) as bar:
        bar.update(have)
        yield bar.update


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
