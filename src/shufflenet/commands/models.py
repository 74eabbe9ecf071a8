"""`shufflenet models`: the models that there are, by the name that every command takes."""

from __future__ import annotations

import json

import click


@click.command(short_help="List the models that there are.")
@click.option("--ms", "timed", is_flag=True, help="Run each network too: milliseconds on this machine, one thread.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def models(timed: bool, as_json: bool) -> None:
    """List the models that come with the package, and the public ones that are downloaded when they are first used.

    Errors are those on the validation pictures of what a model was trained on, as its authors say.

    \b
    Examples:
      shufflenet models
      shufflenet models --ms
      shufflenet predict holiday/ --model pytorchcv:shufflenet_g3_w1
    """
    from shufflenet import model_list

    rows = model_list.rows(timed)
    click.echo(json.dumps(rows, indent=2, allow_nan=False) if as_json else model_list.table(rows))
