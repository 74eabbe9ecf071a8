"""`shufflenet import`: converts a public checkpoint to a model file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shufflenet.commands.errors import refusing


@click.command("import", short_help="Make a model file from a public checkpoint.")
@click.argument("source", metavar="[SOURCE[:NETWORK]]", default="")
@click.option("--file", type=click.Path(path_type=Path), help="Read this checkpoint instead of downloading one.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Model file.  [default: NETWORK.safetensors]"
)
@click.option(
    "--labels", type=click.Path(path_type=Path), help="Text file with the names of the classes, one per line."
)
@click.option("--list", "listing", is_flag=True, help="Print the known networks with their published errors.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def import_(
    source: str, file: Path | None, out: Path | None, labels: Path | None, listing: bool, as_json: bool
) -> None:
    """Make a model file from a public ShuffleNet v1, or from your own checkpoint (--file) of such a network.

    SOURCE is the project whose code the network is built like, for example in the order in which it shuffles channels.
    The checkpoint is only read: no code in it is run. A network that this package can't compute exactly is refused.

    \b
    Examples:
      shufflenet import --list
      shufflenet import pytorchcv:shufflenet_g3_w1
      shufflenet import megvii:shufflenet_g3_x1_0 --file 1.0x.pth.tar
      shufflenet import paper --file mine.pth --out mine.safetensors
    """
    from shufflenet import importers, model_file
    from shufflenet.importers import catalogue
    from shufflenet.labels import read_labels

    if listing:
        if source or file or out or labels:
            raise click.UsageError("--list takes nothing but --json.")
        click.echo(json.dumps(catalogue.rows(), indent=2) if as_json else catalogue.table())
        return
    if not source and file is None:
        raise click.UsageError("Give a SOURCE:NETWORK, or a checkpoint with --file; --list prints what there is.")
    target = out or Path(catalogue.file_name(source, file))
    if out is None and target.exists():
        raise click.UsageError(f"{target} is there already; give another name with --out, or the same to replace it.")
    with refusing(ValueError, ImportError, OSError):
        model = importers.import_model(source, file, read_labels(labels) if labels is not None else None)
        model_file.save(model, target)
    click.echo(
        json.dumps({"model": str(target), **catalogue.described(model)})
        if as_json
        else f"{target}: {catalogue.sentence(model)}"
    )
