"""Writes the README's benchmark table and its plot from results: python benchmarks/update_readme.py RESULTS.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from between_comments import rewrite

from shufflenet.bench import plot, report
from shufflenet.bench.run import Results

ROOT = Path(__file__).resolve().parent.parent


def section(results: Results, source: Path, picture: Path) -> str:
    return "\n".join(
        [
            f"![Median times of all runtimes]({picture.relative_to(ROOT).as_posix()})",
            "",
            f"{report.caption(results)} From [{source.name}]({source.relative_to(ROOT).as_posix()}).",
            "",
            report.markdown(results),
        ]
    )


def main(source: Path) -> None:
    results = Results.from_document(json.loads(source.read_text(encoding="utf-8")))
    picture = source.with_suffix(".png")
    rewrite(ROOT / "README.md", {"benchmark": section(results, source, picture)})
    plot.plot(results, picture)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
