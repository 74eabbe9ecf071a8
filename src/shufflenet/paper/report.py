"""`shufflenet paper --report`: all tables and plots as one page of HTML without scripts or links to other files."""

from __future__ import annotations

import html
from collections.abc import Sequence

from shufflenet.paper.plots import Plot
from shufflenet.paper.table import Table

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; }
th { vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
td { white-space: nowrap; }
p.note { font-size: .875rem; opacity: .8; margin: .4rem 0; }
figure { margin: 1.5rem 1rem 0 0; display: inline-block; vertical-align: top; max-width: 100%; }
figure svg { max-width: 100%; height: auto; }
figcaption { font-size: .875rem; opacity: .8; }
"""


def page(tables: Sequence[Table], plots: Sequence[Plot], version: str) -> str:
    """The page's HTML, in light or dark as the browser prefers.

    Args:
        version: the package's, named in the introduction.
    """
    parts = [*map(_plot, plots), *map(_table, tables)]
    title = "ShuffleNet: the paper's tables, reproduced"
    intro = (
        f"The published figures of arXiv 1707.01083 and those of shufflenet {html.escape(version)} beside them. "
        "Errors are top-1 errors in percent; MACs are multiply-adds, which the paper calls FLOPs."
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            # Without an icon of its own a page makes the browser ask the server for one.
            f'<title>{title}</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>',
            f"<body><h1>{title}</h1><p>{intro}</p>",
            *parts,
            "</body></html>\n",
        ]
    )


def _plot(plot: Plot) -> str:
    label = html.escape(plot.text)
    svg = plot.svg().replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f'<figure id="{plot.name}"><div class="wide">{svg}</div><figcaption>{label}</figcaption></figure>'


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{html.escape(column.heading)}</th>' for column in table.columns)
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in cells) for cells in table.cells()]
    lines = [
        f'<section id="table{table.number}"><h2>{html.escape(table.heading)}</h2><div class="wide"><table>',
        f"<thead><tr>{heads}</tr></thead><tbody>",
        *(f"<tr>{row}</tr>" for row in rows),
        "</tbody></table></div>",
        *(f'<p class="note">{html.escape(note)}</p>' for note in table.notes),
        "</section>",
    ]
    return "\n".join(lines)
