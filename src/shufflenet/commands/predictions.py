"""Printers of predictions: as aligned columns, as JSON lines, or as CSV."""

from __future__ import annotations

import csv
import io
import json
import statistics
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shufflenet.classifier import Prediction

_WIDEST = 48  # characters of a picture's name in the table


class Table:
    """Aligned columns; the label comes last, since it may be long."""

    def __init__(self, sources: list[str], isa: str, threads: int) -> None:
        from shufflenet.files import printable

        self.printable = printable
        self.width = min(_WIDEST, max((len(printable(source)) for source in sources), default=0))
        self.engine = f"{isa}, {threads} thread{'s' if threads > 1 else ''} each"
        self.times: list[tuple[float, float, float]] = []

    def show(self, prediction: Prediction) -> None:
        if not self.times:
            click.echo(f"{'picture':{self.width}}  decode ms  preprocess ms  network ms      %  label")
        times = (prediction.decode_ms, prediction.preprocess_ms, prediction.network_ms)
        self.times.append(times)
        lead = f"{self.name(prediction.source):{self.width}}  {times[0]:9.2f}  {times[1]:13.2f}  {times[2]:10.2f}"
        for label, probability in zip(prediction.labels, prediction.probabilities, strict=True):
            click.echo(f"{lead}  {100 * probability:5.1f}  {self.printable(label)}")
            lead = " " * (self.width + 38)

    def name(self, source: str) -> str:
        """The source, or the end of one that is too long, which tells pictures of a folder apart."""
        text = self.printable(source)
        return text if len(text) <= self.width else f"…{text[len(text) - self.width + 1 :]}"

    def fail(self, source: str, error: str) -> None:
        """Nothing: stderr has the message."""

    def close(self) -> None:
        if self.times:
            decode, preprocess, network = (statistics.median(column) for column in zip(*self.times, strict=True))
            click.echo(
                f"{len(self.times)} picture{'s' if len(self.times) > 1 else ''}, median: decode {decode:.2f} ms, "
                f"preprocess {preprocess:.2f} ms, network {network:.2f} ms ({self.engine})"
            )


class JsonLines:
    """One JSON object per picture and line."""

    def show(self, prediction: Prediction) -> None:
        click.echo(json.dumps(prediction.document(), allow_nan=False))

    def fail(self, source: str, error: str) -> None:
        click.echo(json.dumps({"source": source, "error": error}, allow_nan=False))

    def close(self) -> None:
        pass


class Csv:
    """One line of comma-separated values per picture and label, below a line of column names."""

    def __init__(self) -> None:
        columns = ("rank", "class_index", "label", "probability", "decode_ms", "preprocess_ms", "network_ms", "error")
        self.write("source", *columns)

    def write(self, *values: object) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        # Written as bytes, so that a file name that is not valid UTF-8 comes out unchanged.
        click.echo(line.getvalue().encode("utf-8", "surrogateescape"), nl=False)

    def show(self, prediction: Prediction) -> None:
        times = [f"{ms:.3f}" for ms in (prediction.decode_ms, prediction.preprocess_ms, prediction.network_ms)]
        columns = zip(prediction.class_indices, prediction.labels, prediction.probabilities, strict=True)
        for rank, (index, label, probability) in enumerate(columns, start=1):
            self.write(prediction.source, rank, index, label, f"{probability:.6f}", *times, "")

    def fail(self, source: str, error: str) -> None:
        self.write(source, *[""] * 7, error)

    def close(self) -> None:
        pass
