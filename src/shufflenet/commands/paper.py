"""`shufflenet paper`: the paper's tables, each with its published figures and this package's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from shufflenet.commands.errors import needs_torch, refusing
from shufflenet.commands.terminal import log, status_line

if TYPE_CHECKING:
    from shufflenet.paper.table import Table

_TABLES = [f"table{number}" for number in range(1, 9)]
_OWN_RESULTS = Path("runs/paper")


@click.command(short_help="Print the paper's tables, published figures beside ours.")
@click.argument("table", metavar="[TABLE]", type=click.Choice(_TABLES), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option(
    "--train", "data", metavar="DATA", type=click.Path(exists=True, path_type=Path),
    help="Train the networks of table2 to table5 on this folder first.",
)  # fmt: skip
@click.option("--measure", is_flag=True, help="Time the networks of table8 on this machine first.")
@click.option(
    "--runtimes", help="Runtimes to time beside the engine, separated by commas.  [default: all installed but PyTorch]"
)
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Turns of every runtime.")
@click.option(
    "--results", type=click.Path(file_okay=False, path_type=Path),
    help="Folder of our errors and times.  [default: the package's; with --train or --measure: runs/paper]",
)  # fmt: skip
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write all tables and plots to index.html in this folder.",
)
def paper(
    table: str | None, as_json: bool, data: Path | None, measure: bool, runtimes: str | None, rounds: int,
    results: Path | None, report: Path | None,
) -> None:  # fmt: skip
    """Print a TABLE of the paper (arXiv 1707.01083), table1 to table8, with the published figures and ours.

    Our errors come from short training on small pictures, our times from one machine; both come with the package.
    --train and --measure make them anew. Training that was interrupted continues, and finished runs are not repeated.

    \b
    Examples:
      shufflenet paper table1
      shufflenet paper table3 --train tiny-imagenet-200
      shufflenet paper table8 --measure --runtimes onnxruntime
      shufflenet paper --report out/ --results runs/paper
    """
    _check(table, as_json, data, measure, results, report)
    from shufflenet.paper import trained

    folder = results or (_OWN_RESULTS if data or measure else trained.KEPT)
    with refusing(ValueError, OSError, ImportError, RuntimeError):
        if data is not None and table is not None:
            _train(table, data, folder)
        if measure:
            _measure(folder, runtimes, rounds)
        if report is not None:
            click.echo(_write_report(folder, report))
        elif table is not None:
            found = _table(table, folder)
            click.echo(json.dumps(found.document(), indent=2, allow_nan=False) if as_json else found.text())


def _check(
    table: str | None, as_json: bool, data: Path | None, measure: bool, results: Path | None, report: Path | None
) -> None:
    """Raises click.UsageError if the options contradict each other."""
    if table is None and report is None:
        raise click.UsageError("give a table, such as table1, or --report DIRECTORY")
    if table is not None and report is not None:
        raise click.UsageError("--report writes all tables: leave the table out")
    if data is not None and table not in ("table2", "table3", "table4", "table5"):
        raise click.UsageError("--train goes with table2, table3, table4 or table5")
    if measure and table != "table8":
        raise click.UsageError("--measure goes with table8")
    context = click.get_current_context()
    for option in ("runtimes", "rounds"):
        if context.get_parameter_source(option) is not ParameterSource.DEFAULT and not measure:
            raise click.UsageError(f"--{option} goes with --measure")
    if as_json and table is None:
        raise click.UsageError("--json goes with a table")
    if results is not None and not (results.is_dir() or data or measure):
        raise click.UsageError(f"{results}: no such folder")


def _table(name: str, folder: Path) -> Table:
    """The table ``name``, such as "table2", with our figures from the results in ``folder``."""
    from shufflenet.paper import trained

    number = int(name.removeprefix("table"))
    if number == 8:
        from shufflenet.paper import times

        return times.table8(times.load(folder))
    from shufflenet.paper import tables

    return tables.TABLES[number](trained.load(folder))


def _train(table: str, data: Path, folder: Path) -> None:
    """Trains the networks of ``table`` on ``data``; exits with 128 + the signal's number if a signal stops it."""
    with needs_torch():
        from shufflenet.paper import small_scale, training
        from shufflenet.training.stop import Stopped
    try:
        training.train_networks(small_scale.NETWORKS[int(table.removeprefix("table"))], data, folder, log)
    except Stopped as stopped:
        sys.exit(128 + stopped.signal_number)


def _measure(folder: Path, runtimes: str | None, rounds: int) -> None:
    from shufflenet.bench import runtime
    from shufflenet.paper import times

    chosen = runtime.select(runtimes.split(",") if runtimes is not None else None)
    if runtimes is None:  # PyTorch is never the fastest, and slow to compile
        chosen = [row for row in chosen if "torch" not in row.imports]
    with needs_torch(), status_line() as status:
        times.measure(folder, chosen, rounds, status)


def _write_report(folder: Path, out: Path) -> Path:
    """Writes all tables and plots, with our figures from ``folder``, to a page in ``out``; returns the page's path."""
    from shufflenet import __version__
    from shufflenet.atomic_file import atomic_file
    from shufflenet.paper import plots, report, times, trained

    out.mkdir(parents=True, exist_ok=True)
    tables = [_table(name, folder) for name in _TABLES]
    text = report.page(tables, plots.plots(trained.load(folder), times.load(folder)), __version__)
    path = out / "index.html"
    with atomic_file(path) as file:
        file.write(text.encode())
    return path
