"""One callable for the engines of clusters: columns of pictures in, columns of labels out.

It needs none of these engines. Rows depend on the picture and the model alone, never on how pictures are parted.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from shufflenet import model_file
from shufflenet.batch.storage import fetched
from shufflenet.classifier import Classifier, checked_top_k
from shufflenet.files import printable
from shufflenet.model_file import ModelFileError
from shufflenet.models import DEFAULT_MODEL, load_model
from shufflenet.pictures.images import MAX_PIXELS, ImageError

# Names of the column of picture files: Ray Data's, Spark's, and those of data sets in Parquet.
BYTES_COLUMNS = ("bytes", "content", "image", "jpg", "data")


class Row(NamedTuple):
    """A picture's row in every output: its labels, best first, or why it has none."""

    path: str | None
    label: str | None  # the best
    score: float | None  # its probability
    labels: list[str]
    scores: list[float]
    error: str | None


class Classify:
    """Labels batches of pictures for Ray Data's ``map_batches``, Spark's ``mapInPandas`` and Dask's ``map_partitions``.

    A batch has a column of picture files as bytes (``bytes``, ``content``, ``image``, ``jpg`` or ``data``), or without
    one a column ``path`` of paths and URLs, and becomes the columns ``path, label, score, labels, scores, error``, a
    row for each picture in the same order. A picture that can't be read is a row whose ``error`` says why. Each call
    works on one picture at a time; a process loads the model when the first batch comes, once.

    Args:
        model: as for `Classifier`. Workers find it at the same path, and it must not change while they run.
        top_k: length of ``labels`` and ``scores``.
        max_pixels: larger pictures are refused before they are decoded.
        model_hash: that of the model where the job was started (`model_file.digest`); by default this machine's.

    Raises:
        model_file.ModelFileError: the model can't be used.
        TypeError, ValueError: ``top_k`` is no whole number, or below 1.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        top_k: SupportsIndex = 5,
        max_pixels: int = MAX_PIXELS,
        model_hash: str | None = None,
    ) -> None:
        self.model = os.fspath(model)
        self.top_k = checked_top_k(top_k)
        self.max_pixels = max_pixels
        self.model_hash = model_file.digest(load_model(self.model)) if model_hash is None else model_hash

    def __call__(self, batch: Any) -> Any:
        """Labels one batch: a mapping of arrays, a pandas DataFrame or a pyarrow Table; the result is of that kind.

        Raises:
            ModelFileError: this machine has another model at the path.
            ValueError: the batch has neither a column of bytes nor one of paths.
        """
        names = getattr(batch, "column_names", None) or list(batch)
        content = next((name for name in BYTES_COLUMNS if name in names), None)
        if content is None and "path" not in names:
            raise ValueError(f"a batch needs a column {', '.join(BYTES_COLUMNS)} or path; it has {', '.join(names)}")
        of_table = hasattr(batch, "column_names")

        def values(name: str) -> list[Any]:
            return batch[name].to_pylist() if of_table else list(batch[name])

        contents = values("path" if content is None else content)
        paths = values("path") if "path" in names else [None] * len(contents)
        rows = [self.row(path, content) for path, content in zip(paths, contents, strict=True)]
        if of_table:
            from shufflenet.batch.parts import table_of

            return table_of(rows)
        result = _columns(rows)
        return type(batch)(result, index=batch.index) if hasattr(batch, "index") else result

    def row(self, path: str | None, source: Any) -> Row:
        """Labels one picture; ``path`` is what its row is called.

        Args:
            source: the bytes of a picture file, a path or a URL; an error that came of reading it becomes the row's.
        """
        path, name = _text(path), ""
        try:
            if isinstance(source, ImageError):
                raise source
            if isinstance(source, str):
                name, source = source, fetched(source)
            else:
                source = _bytes(source)
            prediction = _classifier(self.model, self.model_hash).predict(
                source, self.top_k, max_pixels=self.max_pixels
            )
        except ImageError as error:
            reason = str(error)
            for start in (name, path, "<bytes>"):
                reason = reason.removeprefix(f"{printable(start)}: ") if start else reason
            return Row(path, None, None, [], [], reason)
        labels, scores = list(prediction.labels), list(prediction.probabilities)
        return Row(path, labels[0], scores[0], labels, scores, None)


@functools.lru_cache(maxsize=4)
def _classifier(model: str, model_hash: str) -> Classifier:
    """This process's classifier of a model, which all its tasks share."""
    classifier = Classifier(model)
    if model_file.digest(classifier.model) != model_hash:
        raise ModelFileError(f"{model}: another model here than where the job was started")
    return classifier


def _text(path: Any) -> str | None:
    """A path as a column of text can hold it: bytes that are no UTF-8 are escaped."""
    return None if path is None else str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _bytes(content: Any) -> bytes:
    """The bytes in a column's value, which may be Hugging Face's pair of bytes and path.

    Raises:
        ImageError: there are none.
    """
    if isinstance(content, dict):
        content = content.get("bytes")
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ImageError("no picture in this row")
    return bytes(content)


def _columns(rows: list[Row]) -> dict[str, Any]:
    """Rows as arrays [rows]; a row with an error has the score NaN."""
    columns: dict[str, Any] = {}
    for place, name in enumerate(Row._fields):
        columns[name] = column = np.empty(len(rows), dtype=np.float64 if name == "score" else object)
        for i, row in enumerate(rows):  # one by one: numpy would make a matrix of lists
            column[i] = np.nan if name == "score" and row.score is None else row[place]
    return columns
