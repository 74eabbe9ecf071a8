"""The report is one page of well-formed HTML that fetches nothing and opens in a browser without errors."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from shufflenet.bench.run import Results, Row
from shufflenet.bench.runtime import FLOAT32, OURS
from shufflenet.cli import commands
from shufflenet.paper import plots, report, tables
from shufflenet.paper.table import Column, Table
from shufflenet.paper.trained import Trained
from test_paper_training import made_up

pytestmark = pytest.mark.slow

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def made_up_times() -> Results:
    rows = [
        Row(name, OURS, FLOAT32, 1, 1, 224, 224, 10**6, ms, 0.0)
        for name, ms in (("shufflenet_g3_x0_5", 1.5), ("alexnet", 20.0), ("shufflenet_g8_x0_25", 0.5))
    ]
    return Results({"processor": "p", "shufflenet": "1"}, {}, 50.0, rows)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the package's own results, written by the command."""
    out = tmp_path_factory.mktemp("report") / "new"
    result = CliRunner().invoke(commands, ["paper", "--report", str(out)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out / 'index.html'}\n"
    return out / "index.html"


def opened(page: Path, profile: Path) -> tuple[str, str]:
    """(document, console): the page's HTML after a browser has loaded it, and the browser's console messages."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--enable-logging=stderr",
        "--virtual-time-budget=2000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_page_in_a_browser(page: Path, tmp_path: Path) -> None:
    document, console = opened(page, tmp_path)
    assert not console
    assert re.findall(r'<section id="(table\d)">', document) == [f"table{number}" for number in range(1, 9)]
    assert document.count("<table>") == 8
    assert document.count("<svg") >= 3


def test_the_browser_would_complain(tmp_path: Path) -> None:
    """A broken page leaves a message in the console, so the test above can fail."""
    (tmp_path / "page.html").write_text("<!DOCTYPE html><p>text</p><script>nothing.here()</script>")
    _, console = opened(tmp_path / "page.html", tmp_path / "profile")
    assert "nothing is not defined" in console


def test_page_fetches_nothing_and_runs_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", text)
    assert "@import" not in text
    # CSS and SVG refer to parts of the page only.
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_page_is_well_formed(page: Path) -> None:
    """The page parses as XML once HTML's void elements are closed."""
    text = page.read_text(encoding="utf-8").removeprefix("<!DOCTYPE html>")
    root = ElementTree.fromstring(re.sub(r"<(meta|link)( [^>]*)>", r"<\1\2/>", text))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)), "plots that share a page must not share ids"


def test_all_plots() -> None:
    drawn = plots.plots(made_up(), made_up_times())
    assert [plot.name for plot in drawn] == ["error-by-macs", "error-by-ms", "error-by-groups", "gain-of-shuffle"]
    svgs = [plot.svg() for plot in drawn]
    for svg in svgs:
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "currentColor" in svg
    assert drawn[0].png().startswith(b"\x89PNG")
    again = plots.plots(made_up(), made_up_times())
    assert again[0].svg() == svgs[0], "the same figures give the same text"


def test_without_results_there_is_no_plot_of_times() -> None:
    assert [plot.name for plot in plots.plots(Trained({}, []), None)] == [
        "error-by-macs",
        "error-by-groups",
        "gain-of-shuffle",
    ]


def test_text_is_escaped() -> None:
    table = Table(1, "a < b", [Column("name", "network & more")], [{"name": "<script>"}], ["x > y"])
    text = report.page([table], [], "0")
    for escaped in ("a &lt; b", "network &amp; more", "&lt;script&gt;", "x &gt; y"):
        assert escaped in text


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(commands, ["paper", "--report", str(tmp_path / "file" / "out")])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_every_published_table_has_columns_and_rows() -> None:
    for number, build in tables.TABLES.items():
        table = build(made_up())
        assert table.number == number
        assert all(len(cells) == len(table.columns) for cells in table.cells())
        assert all(cells[0] for cells in table.cells())
