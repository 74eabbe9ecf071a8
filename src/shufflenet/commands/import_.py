"""`shufflenet import`: converts a public checkpoint, or another program's network, to a model file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from shufflenet.commands.errors import refusing
from shufflenet.commands.pictures import named_pictures
from shufflenet.commands.terminal import log

_MOST_PICTURES = 16  # to compare on


@click.command("import", short_help="Make a model file from a checkpoint, an ONNX file or a .pt2 program.")
@click.argument("source", metavar="[NETWORK.onnx | NETWORK.pt2 | SOURCE[:NETWORK]]", default="")
@click.option("--file", type=click.Path(path_type=Path), help="Read this checkpoint instead of downloading one.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Model file.  [default: NETWORK.safetensors]"
)
@click.option(
    "--labels", type=click.Path(path_type=Path), help="Text file with the names of the classes, one per line."
)
@click.option(
    "--expect",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npz",
    help="An input and its logits by your own code; see above.",
)
@click.option("--stem-stride", type=click.Choice(["1", "2"]), help="Stride of the first convolution.  [default: 2]")
@click.option("--no-shuffle", is_flag=True, help="The network does not shuffle channels.")
@click.option("--inverse-shuffle", is_flag=True, help="It shuffles in the inverse of the paper's order.")
@click.option(
    "--preprocessing",
    metavar="HOW",
    help="imagenet, 0..1, -1..1, 0..255, or a model file's JSON object.  [default: the source's]",
)
@click.option(
    "--size",
    type=click.IntRange(32, 4096),
    help="Side of the input, of a network file that takes several.  [default: 224]",
)
@click.option(
    "--check-on",
    type=click.Path(exists=True, path_type=Path),
    metavar="PICTURES",
    help="A picture, or a folder of them, to compare a network file's logits on too; the first 16.",
)
@click.option("--list", "listing", is_flag=True, help="Print the known networks with their published errors.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def import_(
    source: str,
    file: Path | None,
    out: Path | None,
    labels: Path | None,
    expect: Path | None,
    stem_stride: str | None,
    no_shuffle: bool,
    inverse_shuffle: bool,
    preprocessing: str | None,
    size: int | None,
    check_on: Path | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Make a model file from any small network (.onnx, .pt2), or from a checkpoint of a ShuffleNet v1.

    NETWORK.onnx is an ONNX file, NETWORK.pt2 a program of torch.export.save. Its operators become the engine's, and the
    result is run beside ONNX Runtime or PyTorch: its logits must agree to 1e-5. What can't be expressed is named by
    operator, attribute and place. Such a file doesn't say its preprocessing (--preprocessing) or its labels (--labels).

    A checkpoint holds weights alone. SOURCE is the project whose code the network is built like, for example in the
    order in which it shuffles channels. Files are only read: no code in them is run. A network that this package can't
    compute exactly is refused.

    A checkpoint doesn't say strides, pools, ReLUs, the order of the shuffle or the preprocessing. Unless its hash is a
    known one, what was assumed is printed, and again whenever the model is used. --expect proves the network: three
    lines of your own code make the file, and the logits must agree to 1e-4. With the source paper, other strides, pools
    and shuffles are tried too.

    \b
      x = torch.randn(1, 3, 224, 224)
      logits = network.eval()(x).detach()
      numpy.savez("expect.npz", input=x, logits=logits)

    \b
    Examples:
      shufflenet import net.onnx --preprocessing imagenet --labels classes.txt --check-on photos/
      shufflenet import net.pt2 --preprocessing 0..1
      shufflenet import --list
      shufflenet import pytorchcv:shufflenet_g3_w1
      shufflenet import megvii:shufflenet_g3_x1_0 --file 1.0x.pth.tar
      shufflenet import paper --file mine.pth --expect expect.npz --preprocessing 0..1
    """
    from shufflenet import importers, model_file
    from shufflenet.importers import catalogue, network_file, stated
    from shufflenet.labels import read_labels
    from shufflenet.models import caution

    if listing:
        others = (
            source,
            file,
            out,
            labels,
            expect,
            stem_stride,
            no_shuffle,
            inverse_shuffle,
            preprocessing,
            size,
            check_on,
        )
        if any(others):
            raise click.UsageError("--list takes nothing but --json.")
        click.echo(json.dumps(catalogue.rows(), indent=2, allow_nan=False) if as_json else catalogue.table())
        return
    if not source and file is None:
        raise click.UsageError("Give a SOURCE:NETWORK, or a checkpoint with --file; --list prints what there is.")
    program = next((Path(name) for name in (source, str(file or "")) if network_file.is_network_file(name)), None)
    if program is not None and ((source and file) or expect or stem_stride or no_shuffle or inverse_shuffle):
        raise click.UsageError(
            "A network file says how it is built: it takes none of SOURCE, --expect and --stem-stride, ..."
        )
    if program is None and (size or check_on):
        raise click.UsageError("--size and --check-on are for network files (.onnx, .pt2).")
    if no_shuffle and inverse_shuffle:
        raise click.UsageError("--no-shuffle and --inverse-shuffle exclude each other.")
    target = out or Path(catalogue.file_name("" if program else source, program or file))
    if out is None and target.exists():
        raise click.UsageError(f"{target} is there already; give another name with --out, or the same to replace it.")
    with refusing(ValueError, ImportError, OSError):
        texts = read_labels(labels) if labels is not None else None
        said = {
            **({"stem_stride": int(stem_stride)} if stem_stride is not None else {}),
            **({"shuffle": "none" if no_shuffle else "inverse"} if no_shuffle or inverse_shuffle else {}),
            **(stated.preprocessing(preprocessing) if preprocessing is not None else {}),
        }
        if program is not None:
            pictures = [] if check_on is None else named_pictures([str(check_on)])[0][:_MOST_PICTURES]
            model = network_file.import_network(program, texts, stated=said, size=size, check_on=pictures)
        else:
            model = importers.import_model(source, file, texts, stated=said, expected=expect)
        model_file.save(model, target)
    click.echo(
        json.dumps({"model": str(target), **catalogue.described(model)}, allow_nan=False)
        if as_json
        else f"{target}: {catalogue.sentence(model)}"
    )
    if text := caution(model.training):
        log(f"{target}: {text}")
