"""`shufflenet similar`: the pictures that are most like one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import CannotStart, failing, refusing
from shufflenet.commands.pictures import find_pictures
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
    from shufflenet import similar as similarity
    from shufflenet.classifier import Classifier, Prediction
    from shufflenet.files import printable
    from shufflenet.models import DEFAULT_MODEL
    from shufflenet.pictures.images import ImageError

    if sheet is not None and not (sheet.suffix.lower() == ".png" and sheet.absolute().parent.is_dir()):
        raise click.UsageError(f"--sheet needs a name that ends in .png, in a folder that exists, not {sheet}.")
    if sheet is not None and top_k >= sheets.MAX_PICTURES:
        raise click.UsageError(f"--sheet holds at most {sheets.MAX_PICTURES - 1} pictures that were found.")
    sources, problems = find_pictures(paths)
    sources = [source for source in sources if os.path.realpath(source) != os.path.realpath(picture)]
    for problem in problems:
        log(problem)
    if not sources:
        raise CannotStart("no other pictures to compare with")
    with refusing(ValueError, ImportError, OSError):
        classifier = Classifier(DEFAULT_MODEL if model is None else model)
        query = classifier.embed(picture)[0]
    read, rows = [], []
    with progress_bar(len(sources)) as advance:
        for source, row in zip(sources, classifier.embed(sources, errors="yield"), strict=True):
            if isinstance(row, ImageError):
                log(str(row))
            else:
                read.append(source)
                rows.append(row)
            advance()
    failed = bool(problems) or len(read) < len(sources)
    found = similarity.nearest(query, rows, top_k)
    for each in found:
        entry = {"source": read[each.place], "similarity": each.similarity}
        text = f"{each.similarity:6.3f}  {printable(read[each.place])}"
        click.echo(json.dumps(entry, allow_nan=False) if as_json else text)
    if sheet is not None and found:
        cards = [Prediction(picture, (0,), ("is compared",), (1.0,), 0, 0, 0)]
        for each in found:
            share = max(0.0, each.similarity)
            cards.append(Prediction(read[each.place], (0,), ("alike",), (share,), 0, 0, 0))
        with failing(OSError):
            sheets.contact_sheet(cards, sheet)
    sys.exit(1 if failed else 0)
