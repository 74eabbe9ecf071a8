"""`shufflenet predict`: the labels of pictures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import failing, refusing
from shufflenet.commands.pictures import named_pictures
from shufflenet.commands.predictions import Csv, JsonLines, Table
from shufflenet.commands.terminal import log, progress_bar


@click.command(short_help="Classify pictures.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--model",
    shell_complete=completion.models,
    help="One of the package, a model file, or SOURCE:NETWORK (see import).  [default: shufflenet_g3_x0_5]",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Text file of the classes' labels, one a line, in the model's place.",
)
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Labels per picture.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per picture and line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line of CSV per picture and label.")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw a contact sheet of up to 1,000 pictures to this PNG file.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Threads that share each picture, one picture at a time; 1: each core has a picture of its own.",
)
@click.option(
    "--unknown",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Say none of these where the model is less sure than this; 0.5 is the model's own threshold, if it has one.",
)
@click.option("--max-pixels", type=click.IntRange(min=1), help="Refuse larger pictures.  [default: 100 million]")
@click.option(
    "--to",
    metavar="FOLDER",
    help="Write the labels as Parquet files to this folder or URL; the same command goes on after a stop.",
)
@click.option("--on", metavar="ray[:ADDRESS]", help="With --to: run on a Ray cluster.  [default: this machine's cores]")
def predict(
    paths: tuple[str, ...],
    model: str | None,
    labels: Path | None,
    top_k: int,
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    threads: int,
    unknown: float | None,
    max_pixels: int | None,
    to: str | None,
    on: str | None,
) -> None:
    """Print the most probable labels of each picture.

    A PATH is a picture, a folder (searched with its subfolders), a glob, or - for a list of paths on stdin. The exit
    code is 1 if a picture could not be read; the others are classified.

    With --to a PATH may also be a shard (.tar, Parquet with a column of bytes), a text file with a path on each line,
    or a URL such as s3://bucket/photos, and each picture becomes a row.

    \b
    Examples:
      shufflenet predict cat.jpg dog.png
      shufflenet predict holiday/ --top-k 1 --csv > labels.csv
      shufflenet predict holiday/ --sheet holiday.png
      shufflenet predict garden/ --model runs/flowers --unknown 0.5
      find . -name '*.jpg' | shufflenet predict - --json
      shufflenet predict s3://bucket/photos --to labels/
    """
    if to is not None:
        others = {"--labels": labels, "--csv": as_csv, "--sheet": sheet, "--threads": threads > 1, "--unknown": unknown}
        if given := [name for name, value in others.items() if value]:
            raise click.UsageError(f"--to and {given[0]} exclude each other.")
        from shufflenet.commands.predict_to import predict_to

        predict_to(paths, to, model, top_k, max_pixels, on, as_json)
        return
    if on is not None:
        raise click.UsageError("--on needs --to, the folder of the result.")
    from shufflenet import sheet as sheets
    from shufflenet.classifier import Classifier
    from shufflenet.labels import read_names
    from shufflenet.models import DEFAULT_MODEL
    from shufflenet.pictures.images import MAX_PIXELS, ImageError

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    if sheet is not None and not (sheet.suffix.lower() == ".png" and sheet.absolute().parent.is_dir()):
        raise click.UsageError(f"--sheet needs a name that ends in .png, in a folder that exists, not {sheet}.")
    max_pixels = max_pixels or MAX_PIXELS
    with refusing(ValueError, ImportError, OSError):
        classifier = Classifier(DEFAULT_MODEL if model is None else model, threads=threads)
        if labels is not None:
            classifier.labels = read_names(labels, classifier.graph.classes)[1]
    if classifier.caution:
        log(f"{model}: {classifier.caution}")

    sources, problems = named_pictures(paths)
    for problem in problems:
        log(problem)
    failed = bool(problems)
    if sheet is not None and len(sources) > sheets.MAX_PICTURES:
        raise click.UsageError(f"--sheet holds at most {sheets.MAX_PICTURES} pictures, not {len(sources)}.")
    if sheet is not None and os.path.realpath(sheet) in map(os.path.realpath, sources):
        raise click.UsageError(f"--sheet {sheet} is one of the pictures to classify; give another name.")
    on_sheet = []
    printer = JsonLines() if as_json else Csv() if as_csv else Table(sources, classifier.isa, threads)
    with progress_bar(len(sources)) as advance:
        results = classifier.predict(sources, top_k, errors="yield", max_pixels=max_pixels)
        for source, result in zip(sources, results, strict=True):
            if isinstance(result, ImageError):
                log(str(result))
                printer.fail(source, str(result))
                failed = True
            else:
                result = result if unknown is None else result.unless_unknown(unknown)
                printer.show(result)
                if sheet is not None:
                    on_sheet.append((result.source, result))
            advance()
    printer.close()
    if sheet is not None and on_sheet:
        with failing(OSError):
            sheets.contact_sheet(on_sheet, sheet, max_pixels)
    sys.exit(1 if failed else 0)
