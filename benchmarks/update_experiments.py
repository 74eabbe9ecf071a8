"""Writes the tables and plots of docs/experiments.md from results: python benchmarks/update_experiments.py

Chromium, where it is installed, takes the screenshot of the report.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from between_comments import rewrite

from shufflenet.paper import plots, tables, times, trained

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = DOCS / "experiments.md"


def blocks() -> dict[str, str]:
    """The text for each pair of comments, by name; writes the plots on the way."""
    results, measured = trained.load(trained.KEPT), times.load(trained.KEPT)
    found = {f"table{number}": build(results).markdown() for number, build in tables.TABLES.items()}
    found["table8"] = times.table8(measured).markdown()
    for plot in plots.plots(results, measured):
        name = f"experiments-{plot.name}.png"
        (DOCS / name).write_bytes(plot.png())
        found[plot.name] = f"![{plot.text}]({name})"
    return found


def write_page(found: dict[str, str]) -> None:
    names = re.findall(r"<!-- ([a-z0-9-]+) -->", PAGE.read_text(encoding="utf-8"))
    rewrite(PAGE, {name: found.get(name, "Not measured yet.") for name in names})


def take_screenshot() -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no screenshot: Chromium is not installed", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "shufflenet", "paper", "--report", folder], check=True)
        page = Path(folder, "index.html").as_uri()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,1500"]
        picture = DOCS / "experiments-report.png"
        command = [browser, *options, f"--user-data-dir={folder}", f"--screenshot={picture}", page]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)  # it misses services of a desktop there


if __name__ == "__main__":
    write_page(blocks())
    take_screenshot()
