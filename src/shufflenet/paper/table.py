"""Tables with named columns, rows of values and notes, printed as text, Markdown or JSON."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

_NOTHING = "-"
_GAP = "  "
_LINE = 110  # characters of a note


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str  # of the column's value in a row
    title: str
    source: str = ""  # whose figures they are, "paper" or "ours", where a table has both
    form: str = ""  # format specification of the values, such as ",.1f"
    deviation: str = ""  # key of the standard deviation, which is written behind the value; "": there is none

    @property
    def heading(self) -> str:
        """The source and the title."""
        return f"{self.source}: {self.title}" if self.source else self.title

    def write(self, row: dict[str, Any]) -> str:
        """The row's value as text, "-" if it has none."""
        value, deviation = row.get(self.key), row.get(self.deviation)
        if value is None:
            return _NOTHING
        text = format(value, self.form)
        if not text.strip("-0."):  # -0.0
            text = text.replace("-", "+" if self.form.startswith("+") else "")
        return text if deviation is None else f"{text} ± {deviation:.2f}"


@dataclass
class Table:
    """Table ``number`` of the paper. A row holds values by the columns' keys, and lacks those that are unknown."""

    number: int
    title: str
    columns: list[Column]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """The texts of all rows, a list per row in the order of the columns."""
        return [[column.write(row) for column in self.columns] for row in self.rows]

    def text(self) -> str:
        """The table for a terminal: the first column is aligned left, the others right."""
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
        """The table and its notes in Markdown, without the heading."""
        heads = [column.heading for column in self.columns]
        marks = ["---", *["---:"] * (len(heads) - 1)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (heads, marks, *self.cells())]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    @property
    def heading(self) -> str:
        """The number and the title."""
        return f"Table {self.number}: {self.title}"

    def document(self) -> dict[str, Any]:
        """The table for JSON; missing values are null."""
        keys = [key for column in self.columns for key in (column.key, column.deviation) if key]
        return {
            "table": self.number,
            "title": self.title,
            "columns": {column.key: column.heading for column in self.columns},
            "rows": [{key: row.get(key) for key in keys} for row in self.rows],
            "notes": self.notes,
        }
