"""The folder of a job's result: Parquet files that each say by which model they were made."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow
from pyarrow import parquet

from shufflenet import __version__, model_file
from shufflenet.atomic_file import atomic_file, temporary_beside
from shufflenet.batch.classify import Row
from shufflenet.batch.storage import file_system, is_url
from shufflenet.models import load_model
from shufflenet.threads import map_in_order

SCHEMA = pyarrow.schema(
    [
        ("path", pyarrow.string()),
        ("label", pyarrow.string()),
        ("score", pyarrow.float64()),
        ("labels", pyarrow.list_(pyarrow.string())),
        ("scores", pyarrow.list_(pyarrow.float64())),
        ("error", pyarrow.string()),
    ]
)
_KEY = b"shufflenet"  # of a file's metadata
_READING = 16  # threads that read the ends of files


class PartsError(ValueError):
    """A folder can't take a job's parts. The message is one line, names the folder and says why."""


@dataclass(frozen=True)
class Job:
    """What decides a row beside its picture; ``model_hash`` is that of `model_file.digest`."""

    model: str
    model_hash: str
    preprocessing: dict[str, Any]
    top_k: int
    max_pixels: int

    @classmethod
    def of(cls, model: str, top_k: int, max_pixels: int) -> Job:
        """Raises ModelFileError: the model can't be used."""
        loaded = load_model(model)
        return cls(model, model_file.digest(loaded), asdict(loaded.preprocessing), top_k, max_pixels)

    def difference(self, written: dict[str, Any]) -> str | None:
        """What a part that says ``written`` of its job was made by, if not by this one."""
        if written.get("model_hash") != self.model_hash:
            return f"another model, {written.get('model')} ({str(written.get('model_hash'))[:12]})"
        for key in ("top_k", "max_pixels"):
            if written.get(key) != getattr(self, key):
                return f"--{key.replace('_', '-')} {written.get(key)}"
        return None


@dataclass(frozen=True)
class Written:
    """A part that is there: how many pictures it has, and how many of them could not be read."""

    pictures: int
    errors: int


def table_of(rows: Iterable[Row]) -> pyarrow.Table:
    """Rows as a table of `SCHEMA`."""
    return pyarrow.Table.from_pylist([row._asdict() for row in rows], schema=SCHEMA)


def part_bytes(rows: list[Row], job: Job) -> bytes:
    """A Parquet file of a part's rows."""
    said = {
        "version": __version__,
        **asdict(job),
        "pictures": len(rows),
        "errors": sum(row.error is not None for row in rows),
    }
    table = table_of(rows).replace_schema_metadata({_KEY: json.dumps(said, allow_nan=False)})
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


class Folder:
    """Where parts are written: a folder on disk, or a URL that fsspec writes to."""

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/")
        self._files, self._name = (
            file_system(self.path) if is_url(path) else (fsspec.filesystem("file"), os.path.abspath(self.path))
        )

    def parts_of(self, job: Job, names: Iterable[str]) -> dict[str, Written]:
        """The parts that are there, of those that ``job`` will have; makes the folder if there is none.

        Raises:
            PartsError: it has Parquet files of another model, of other options or of other pictures.
            OSError: it can't be read or made.
        """
        self._files.makedirs(self._name, exist_ok=True)
        self._files.invalidate_cache()
        found = [path.rsplit("/", 1)[-1] for path in self._files.ls(self._name, detail=False)]
        found = sorted(name for name in found if name.endswith(".parquet") and not name.startswith("."))
        parts = {
            name: said for name, said in zip(found, map_in_order(self._said, found, _READING), strict=True) if said
        }
        for name, said in parts.items():
            if difference := job.difference(said):
                raise PartsError(f"{self.path}: {name} was made by {difference}; name another folder")
        if others := sorted(set(found) - set(names)):
            raise PartsError(
                f"{self.path}: has {len(others)} files that are not of these pictures, such as {others[0]}; pictures "
                "may have come or gone since; name another folder, or remove these files"
            )
        return {name: Written(said["pictures"], said["errors"]) for name, said in parts.items()}

    def write(self, name: str, content: bytes) -> None:
        """Writes a part, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        path = f"{self._name}/{name}"
        if not is_url(self.path):
            with atomic_file(path) as file:
                file.write(content)
            return
        temporary = f"{self._name}/{temporary_beside(Path(name)).name}"
        self._files.pipe_file(temporary, content)
        self._files.mv(temporary, path)

    def _said(self, name: str) -> dict[str, Any] | None:
        """What a part says of itself; None: it is damaged, so it is made again."""
        with self._files.open(f"{self._name}/{name}", "rb") as file:
            try:
                metadata = parquet.read_schema(file).metadata or {}
                said = json.loads(metadata.get(_KEY, b"{}"))
            except (pyarrow.ArrowInvalid, ValueError):
                return None
        return said if isinstance(said, dict) and {"pictures", "errors"} <= said.keys() else {}
