"""`shufflenet evaluate`: a model's errors on labelled pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import failing, needs_torch, refusing
from shufflenet.commands.terminal import log, progress_line


@click.command(short_help="Measure a model on class folders of pictures.")
@click.argument("model", shell_complete=completion.models)
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--by",
    type=click.Choice(["engine", "pytorch"]),
    default="engine",
    show_default=True,
    help="Runtime of the network.",
)
@click.option("--all", is_flag=True, help="Where DATA has no val/: measure on the training pictures too.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Text file of the classes, one a line: the label, or the class folder, a tab and the label.",
)
@click.option(
    "--unknown",
    type=click.Path(exists=True, path_type=Path),
    metavar="FOLDER",
    help="Pictures of other things: how well does the model tell them from its classes?",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for tables and images.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def evaluate(
    model: str,
    data: Path,
    by: Literal["engine", "pytorch"],
    all: bool,
    labels: Path | None,
    unknown: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure MODEL on the class folders of DATA/val, or of DATA itself: top-1 and top-5 error, errors of each class,
    and calibration.

    If DATA has no val/ and the model was trained on it, the part that training split off is measured.

    --unknown prints how many pictures of other things pass at which threshold of predict --unknown, and proposes one.

    --out writes evaluation.json, classes.csv, confusion.png and, if there are mistakes, mistakes.png with the most
    confident ones; with --unknown the curve as unknown.csv and unknown.png. The exit code is 1 if a picture could not
    be read.

    \b
    Examples:
      shufflenet evaluate runs/flowers/model.safetensors flowers/
      shufflenet evaluate model.safetensors holiday/val --out report/
      shufflenet evaluate model.safetensors flowers/ --by pytorch --json
    """
    from shufflenet import evaluation

    with refusing(ValueError, ImportError, OSError), needs_torch(), progress_line("evaluating") as progress:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)  # fails now rather than after the measurement
        result = evaluation.evaluate(model, data, by, all=all, labels=labels, unknown=unknown, progress=progress)
    if result.caution:
        log(f"{model}: {result.caution}")
    for failure in result.failures:
        log(failure)
    click.echo(json.dumps(result.summary(), indent=2, allow_nan=False) if as_json else evaluation.table(result))
    if out is not None:
        with failing(OSError):
            evaluation.write(result, out)
    sys.exit(1 if result.failures else 0)
