"""Writes the README's benchmark table and its plot from results: python benchmarks/update_readme.py RESULTS.json"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from shufflenet.bench import plot, report
from shufflenet.bench.run import Results

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"


def section(results: Results, source: Path, picture: Path) -> str:
    """What stands between the two comments."""
    return "\n".join(
        [
            BEGIN,
            "",
            f"![Median times of all runtimes]({picture.relative_to(ROOT).as_posix()})",
            "",
            f"{report.caption(results)} From [{source.name}]({source.relative_to(ROOT).as_posix()}).",
            "",
            report.markdown(results),
            "",
            END,
        ]
    )


def main(source: Path) -> None:
    results = Results.from_document(json.loads(source.read_text(encoding="utf-8")))
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"README.md has no lines {BEGIN} and {END} to write the table between")
    picture = source.with_suffix(".png")
    plot.plot(results, picture)
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(before + section(results, source, picture) + after, encoding="utf-8")
    os.replace(temporary, readme)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
