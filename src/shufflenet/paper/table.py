"""A table that is printed as text, Markdown or JSON: named columns, rows of values, notes."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

_NOTHING = "-"
_GAP = "  "
_LINE = 110  # characters of a note


@dataclass(frozen=True)
class Column:
    """``key``: of the values in the rows; ``source``: whose figures they are, where there is more than one.

    ``deviation``: key of a value that is written behind the first.
    """

    key: str
    title: str
    source: str = ""
    form: str = ""  # how `format` writes the values
    deviation: str = ""

    @property
    def heading(self) -> str:
        return f"{self.source}: {self.title}" if self.source else self.title

    def write(self, row: dict[str, Any]) -> str:
        value, deviation = row.get(self.key), row.get(self.deviation)
        if value is None:
            return _NOTHING
        text = format(value, self.form)
        if not text.strip("-0."):  # -0.0
            text = text.replace("-", "+" if self.form.startswith("+") else "")
        return text if deviation is None else f"{text} ± {deviation:.2f}"


@dataclass
class Table:
    """Table ``number`` of the paper; a row lacks the keys that it has no value of."""

    number: int
    title: str
    columns: list[Column]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        return [[column.write(row) for column in self.columns] for row in self.rows]

    def text(self) -> str:
        """For a terminal; the first column holds names."""
        heads = [[column.source for column in self.columns], [column.title for column in self.columns]]
        lines = [*heads, *self.cells()] if any(heads[0]) else [heads[1], *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        printed = [
            _GAP.join([f"{line[0]:{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        notes = [textwrap.fill(note, _LINE, subsequent_indent="  ") for note in self.notes]
        return "\n".join([f"{self.heading}\n", *(line.rstrip() for line in printed), "", *notes]).rstrip()

    def markdown(self) -> str:
        """Without the heading."""
        heads = [column.heading for column in self.columns]
        marks = ["---", *["---:"] * (len(heads) - 1)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (heads, marks, *self.cells())]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    @property
    def heading(self) -> str:
        return f"Table {self.number}: {self.title}"

    def document(self) -> dict[str, Any]:
        """As JSON; values that are missing are null."""
        keys = [key for column in self.columns for key in (column.key, column.deviation) if key]
        return {
            "table": self.number,
            "title": self.title,
            "columns": {column.key: column.heading for column in self.columns},
            "rows": [{key: row.get(key) for key in keys} for row in self.rows],
            "notes": self.notes,
        }
