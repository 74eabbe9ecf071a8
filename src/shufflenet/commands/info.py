"""`shufflenet info`: what a model file says about its model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import CannotStart, failing, needs_torch, refusing


@click.command(short_help="Print what a model is, or write its model card.")
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--card",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write a model card for the Hugging Face Hub: README.md, and pictures of mistakes with --data.",
)
@click.option(
    "--data", type=click.Path(exists=True, path_type=Path), help="Class folders that the card measures the model on."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def info(model: str, card: Path | None, data: Path | None, as_json: bool) -> None:
    """Print what MODEL is: network, input, labels, errors, where its weights come from, hash, and cautions.

    Its self-test is run: the engine must give the logits that the model file holds.

    \b
    Examples:
      shufflenet info runs/flowers
      shufflenet info shufflenet_g3_x0_5 --json
      shufflenet info runs/flowers --card card/ --data flowers/
    """
    from shufflenet import measured_card, model_info

    if data is not None and card is None:
        raise CannotStart("--data is what a card measures the model on: give --card too")
    with refusing(ValueError, ImportError, OSError):
        about = model_info.info(model)
    if card is not None:
        with failing(OSError, ValueError), needs_torch():
            click.echo(str(measured_card.write(model, about, card, data)))
        return
    click.echo(json.dumps(about, indent=2, allow_nan=False) if as_json else model_info.text(about))
