"""Writes the speed tables of README.md and docs/speed.md: python benchmarks/update_readme.py RESULTS.json

The README gets a short table of RESULTS and its plot, RESULTS.png. docs/speed.md gets a full table between each pair of
comments that name a file of benchmarks/results.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from between_comments import rewrite

from shufflenet.bench import plot, report
from shufflenet.bench.run import Results, Row, same_case
from shufflenet.bench.runtime import OURS
from shufflenet.bench.web import report as web_report
from shufflenet.bench.web.run import WebResults

ROOT = Path(__file__).resolve().parent.parent


def main(source: Path) -> None:
    picture = source.with_suffix(".png")
    results = load(source)
    plot.plot(results, picture)
    rewrite(ROOT / "README.md", {"benchmark": readme_section(results, source, picture)})
    page = ROOT / "docs" / "speed.md"
    names = re.findall(r"<!-- ([a-z0-9-]+) -->", page.read_text(encoding="utf-8"))
    sources = {name: ROOT / "benchmarks" / "results" / f"{name}.json" for name in names}
    rewrite(page, {name: section(file) for name, file in sources.items()})


def section(source: Path) -> str:
    """What docs/speed.md shows of a file."""
    document = json.loads(source.read_text(encoding="utf-8"))
    if "browser" in document:
        return browser_section(WebResults.from_document(document), source)
    return full_section(Results.from_document(document), source)


def load(source: Path) -> Results:
    return Results.from_document(json.loads(source.read_text(encoding="utf-8")))


def readme_section(results: Results, source: Path, picture: Path) -> str:
    """The plot, the short table and where they come from."""
    return "\n".join(
        [
            f"![Median times of all runtimes]({picture.relative_to(ROOT).as_posix()})",
            "",
            short_table(results),
            "",
            f"{report.caption(results)} From [{source.name}]({source.relative_to(ROOT).as_posix()}).",
        ]
    )


def full_section(results: Results, source: Path) -> str:
    """A table with a column for every runtime, for a page in docs/."""
    link = f"../{source.relative_to(ROOT).as_posix()}"
    return f"{report.markdown(results)}\n\n{report.caption(results)} From [{source.name}]({link})."


def browser_section(results: WebResults, source: Path) -> str:
    """The times of web runtimes, and what a browser loads of each."""
    link = f"../{source.relative_to(ROOT).as_posix()}"
    times = f"{web_report.markdown(results)}\n\n{web_report.caption(results)} From [{source.name}]({link})."
    return f"{times}\n\n{web_report.downloads(results)}"


def short_table(results: Results) -> str:
    """A line for each case: our time, its share of the core's peak, and the fastest other runtime."""
    lines = [
        "| network | million multiply-adds | ms | share of peak | fastest other runtime | its ms | ratio |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for ours in (row for row in results.rows if row.runtime == OURS):
        share, other = results.share_of_peak(ours), fastest_other(results, ours)
        ratio = None if other is None else results.ratio_to_ours(other)
        cells = [
            ours.model,
            f"{ours.macs / 1e6:,.1f}",
            f"**{milliseconds(ours)}**",
            "-" if share is None else f"{100 * share:.0f} %",
            "-" if other is None else other.runtime,
            milliseconds(other),
            "-" if ratio is None else f"{ratio:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fastest_other(results: Results, ours: Row) -> Row | None:
    others = [row for row in results.rows if same_case(row, ours) and row.runtime != OURS and row.ms is not None]
    return min(others, key=lambda row: row.ms or 0.0, default=None)


def milliseconds(row: Row | None) -> str:
    return "-" if row is None or row.ms is None else f"{row.ms:.3g}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
