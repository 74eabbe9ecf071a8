"""`shufflenet embed`: what a network finds in pictures, as vectors in a file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shufflenet.commands import completion
from shufflenet.commands.errors import CannotStart, failing, refusing
from shufflenet.commands.pictures import named_pictures
from shufflenet.commands.terminal import log, progress_bar


@click.command(short_help="Write pictures' features as vectors.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File, .npy or .parquet.")
@click.option(
    "--model",
    shell_complete=completion.models,
    help="One of the package, a model file, or SOURCE:NETWORK (see import).  [default: shufflenet_g3_x0_5]",
)
def embed(paths: tuple[str, ...], out: Path, model: str | None) -> None:
    """Write what the network finds in each picture before its last layer: vectors, near for pictures that are alike.

    A .npy file holds float32 [pictures, features], and the .txt file beside it their paths, one a line. A .parquet file
    has the columns path, embedding and error. The exit code is 1 if a picture could not be read; .npy leaves it out.

    \b
    Examples:
      shufflenet embed holiday/ --out holiday.npy
      shufflenet embed 'photos/**/*.jpg' --out photos.parquet --model pytorchcv:shufflenet_g3_w1
    """
    from shufflenet import embeddings
    from shufflenet.classifier import Classifier
    from shufflenet.models import DEFAULT_MODEL
    from shufflenet.pictures.images import ImageError

    with refusing(ValueError, ImportError, OSError):
        write = embeddings.writer(out)
        classifier = Classifier(DEFAULT_MODEL if model is None else model)
        results = classifier.embed([], errors="yield")
    sources, problems = named_pictures(paths)
    for problem in problems:
        log(problem)
    if not sources:
        raise CannotStart("no pictures to embed")
    rows = []
    with progress_bar(len(sources)) as advance:
        results = classifier.embed(sources, errors="yield")
        for result in results:
            if isinstance(result, ImageError):
                log(str(result))
            rows.append(result)
            advance()
    with failing(OSError):
        click.echo(write(sources, rows, classifier.features))
    sys.exit(1 if problems or any(isinstance(row, ImageError) for row in rows) else 0)
