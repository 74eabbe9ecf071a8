"""Pictures in shards: .tar files, compressed or not, and Parquet files with a column of bytes."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from shufflenet.batch.classify import BYTES_COLUMNS
from shufflenet.batch.storage import MOST_BYTES, file_system, is_url
from shufflenet.files import printable
from shufflenet.pictures.images import SUFFIXES, ImageError

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".parquet")

_KEY_COLUMNS = ("path", "url", "key", "__key__", "id")  # what a row of Parquet is called, the first that it has
_ROWS = 16  # of Parquet, read at a time


def is_shard(path: str) -> bool:
    """Whether a file's name is that of a shard."""
    return path.lower().endswith(SHARD_SUFFIXES)


def pictures_in(shard: str) -> Iterator[tuple[str, bytes | ImageError]]:
    """Each picture of a shard in its order: its name, and its bytes or why it has none.

    A member of a .tar is called ``SHARD/MEMBER``. A row of Parquet is called what its column ``path``, ``url``, ``key``
    or ``id`` says, or else ``SHARD/NUMBER``. A shard that is damaged gives what comes before the damage, and
    then itself with the reason.

    Raises:
        OSError: it can't be read, which may be different the next time.
    """
    import pyarrow

    with _opened(shard) as file:
        try:
            yield from _rows(shard, file) if shard.lower().endswith(".parquet") else _members(shard, file)
        except (tarfile.TarError, EOFError, pyarrow.ArrowInvalid, ValueError) as error:
            yield shard, ImageError(f"{printable(shard)}: damaged shard, pictures may be missing ({error})")


def _opened(shard: str) -> AbstractContextManager[Any]:
    if is_url(shard):
        files, name = file_system(shard)
        opened: AbstractContextManager[Any] = files.open(name, "rb")
        return opened
    return open(shard, "rb")


def _members(shard: str, file: Any) -> Iterator[tuple[str, bytes | ImageError]]:
    with tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            suffix = os.path.splitext(member.name)[1].lower()
            if not member.isfile() or suffix not in SUFFIXES or os.path.basename(member.name).startswith("."):
                continue
            name = f"{shard}/{member.name}"
            if member.size > MOST_BYTES:
                yield name, ImageError(f"{printable(name)}: {member.size:,} bytes, too large")
                continue
            content = tar.extractfile(member)
            yield name, content.read() if content else b""


def _rows(shard: str, file: Any) -> Iterator[tuple[str, bytes | ImageError]]:
    from pyarrow import parquet

    table = parquet.ParquetFile(file)
    names = table.schema_arrow.names
    content = next((name for name in BYTES_COLUMNS if name in names), None)
    if content is None:
        raise ValueError(f"no column {', '.join(BYTES_COLUMNS)}; it has {', '.join(names)}")
    key = next((name for name in _KEY_COLUMNS if name in names), None)
    row = 0
    for batch in table.iter_batches(_ROWS, columns=[content] if key is None else [content, key]):
        keys = [None] * len(batch) if key is None else batch.column(key).to_pylist()
        for name, value in zip(keys, batch.column(content).to_pylist(), strict=True):
            name = f"{shard}/{row}" if name is None else str(name)
            value = value.get("bytes") if isinstance(value, dict) else value
            yield name, value if isinstance(value, bytes) else ImageError(f"{printable(name)}: no picture in this row")
            row += 1
