"""Files of embeddings: NumPy's with the paths beside it, or Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet.atomic_file import atomic_file
from shufflenet.install_hint import install_hint
from shufflenet.pictures.images import ImageError

Row = NDArray[np.float32] | ImageError  # the features of a picture, or why it can't be read
Writer = Callable[[Sequence[str], Sequence[Row], int], str]


def writer(out: Path) -> Writer:
    """The function that writes ``out``: from paths, rows and the number of features; it returns a sentence about it.

    Raises:
        ValueError: the name's suffix is another, its folder doesn't exist, or pyarrow is missing.
    """
    if not out.absolute().parent.is_dir():
        raise ValueError(f"{out}: the folder {out.parent} does not exist")
    if out.suffix == ".npy":
        return lambda paths, rows, features: _write_npy(out, paths, rows, features)
    if out.suffix != ".parquet":
        raise ValueError(f"{out}: a file of embeddings ends in .npy or .parquet")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ValueError(f"Parquet needs pyarrow: {install_hint('batch')}") from None
    return lambda paths, rows, features: _write_parquet(out, paths, rows, features)


def _write_npy(out: Path, paths: Sequence[str], rows: Sequence[Row], features: int) -> str:
    found = [(path, row) for path, row in zip(paths, rows, strict=True) if not isinstance(row, ImageError)]
    table = np.zeros((len(found), features), dtype=np.float32)
    for place, (_, row) in enumerate(found):
        table[place] = row
    names = out.with_suffix(".txt")
    with atomic_file(names) as file:
        file.write(b"".join(os.fsencode(path.replace("\n", " ")) + b"\n" for path, _ in found))
    with atomic_file(out) as file:
        np.save(file, table)
    return f"{out}: {len(found)} pictures of {features} features; their paths: {names}"


def _write_parquet(out: Path, paths: Sequence[str], rows: Sequence[Row], features: int) -> str:
    import pyarrow
    from pyarrow import parquet

    columns = {
        "path": pyarrow.array([path.encode("utf-8", "backslashreplace").decode() for path in paths]),
        "embedding": pyarrow.array(
            [None if isinstance(row, ImageError) else row.tolist() for row in rows],
            type=pyarrow.list_(pyarrow.float32(), features),
        ),
        "error": pyarrow.array(
            [str(row) if isinstance(row, ImageError) else None for row in rows], type=pyarrow.string()
        ),
    }
    with atomic_file(out) as file:
        parquet.write_table(pyarrow.table(columns), file)
    return f"{out}: {len(paths)} pictures of {features} features"
