"""`shufflenet similar`: the pictures that are most like one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import failing, refusing
from shufflenet.commands.pictures import named_pictures
from shufflenet.commands.terminal import log, progress_bar


@click.command(short_help="Find the pictures that are most like one.")
@click.argument("picture", type=click.Path(exists=True, dir_okay=False))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--model",
    shell_complete=completion.models,
    help="One of the package, a model file, or SOURCE:NETWORK (see import).  [default: shufflenet_g3_x0_5]",
)
@click.option("--top-k", type=click.IntRange(min=1), default=10, show_default=True, help="Pictures to find.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per picture and line.")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw PICTURE and what was found to this PNG file.",
)
def similar(
    picture: str, paths: tuple[str, ...], model: str | None, top_k: int, as_json: bool, sheet: Path | None
) -> None:
    """Find the pictures of each PATH, a picture, a folder or a glob, that are most like PICTURE, the most alike first.

    Alike is what has a small angle between its features, less the mean of those of the pictures of all PATHs; 1 is the
    same, and pictures in general have about 0. So figures of different folders are not comparable, and those of a few
    pictures say little. The exit code is 1 if a picture could not be read.

    \b
    Examples:
      shufflenet similar cat.jpg holiday/ --sheet cats.png
      shufflenet similar shoe.jpg catalogue/ --model runs/shoes --top-k 5 --json
    """
    from shufflenet import sheet as sheets
    from shufflenet import similarity
    from shufflenet.classifier import Prediction
    from shufflenet.files import printable
    from shufflenet.models import DEFAULT_MODEL
    from shufflenet.pictures.images import ImageError

    if sheet is not None and not (sheet.suffix.lower() == ".png" and sheet.absolute().parent.is_dir()):
        raise click.UsageError(f"--sheet needs a name that ends in .png, in a folder that exists, not {sheet}.")
    if sheet is not None and top_k >= sheets.MAX_PICTURES:
        raise click.UsageError(f"--sheet holds at most {sheets.MAX_PICTURES - 1} pictures that were found.")
    sources, problems = named_pictures(paths)
    for problem in problems:
        log(problem)

    def refuse(error: ImageError) -> None:
        problems.append(str(error))
        log(str(error))

    with refusing(ValueError, ImportError, OSError), progress_bar(len(sources)) as advance:
        found = similarity.similar(
            picture,
            sources,
            DEFAULT_MODEL if model is None else model,
            top_k,
            on_error=refuse,
            progress=lambda done, of: advance(),
        )
    for each in found:
        text = f"{each.similarity:6.3f}  {printable(each.source)}"
        click.echo(json.dumps(each._asdict(), allow_nan=False) if as_json else text)
    if sheet is not None and found:
        cards = [Prediction(picture, (0,), ("is compared",), (1.0,), 0, 0, 0)]
        for each in found:
            share = max(0.0, each.similarity)
            cards.append(Prediction(each.source, (0,), ("alike",), (share,), 0, 0, 0))
        with failing(OSError):
            sheets.contact_sheet(cards, sheet)
    sys.exit(1 if problems else 0)
