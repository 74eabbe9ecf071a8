"""`shufflenet doctor`: problems of a data folder, found before training on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from shufflenet.commands.errors import refusing
from shufflenet.commands.terminal import progress_line


@click.command(short_help="Look for broken, duplicate and suspicious pictures.")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the list of problems as JSON.")
def doctor(data: Path, as_json: bool) -> None:
    """Look for problems of a data folder or .zip before training on it. The exit code is 1 if there are any.

    Prints which folders it takes for train, val and classes, and which it leaves out. Then lists pictures that are
    unreadable, tiny, very long, of a single colour or have the wrong suffix, duplicates, pictures that are in both
    train/ and val/, classes with few pictures, and classes whose mirror images look like another class.

    \b
    Examples:
      shufflenet doctor flowers/
      shufflenet doctor pets.zip --json
    """
    from shufflenet.files import printable
    from shufflenet.pictures import doctor as doctors

    with refusing(OSError), progress_line("examining") as progress:
        result = doctors.examine(data, progress)
    if as_json:
        click.echo(json.dumps([vars(problem) for problem in result.problems], indent=2, allow_nan=False))
    else:
        if result.layout:
            click.echo(result.layout)
        for problem in result.problems:
            click.echo(f"{problem.kind:14} {printable(problem.name)}: {printable(problem.text)}")
        click.echo(result.summary())
    sys.exit(1 if result.problems else 0)
