"""`shufflenet predict --to`: the labels of many pictures as Parquet files."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from shufflenet.commands.errors import CannotStart, failing, refusing
from shufflenet.commands.terminal import log, status_line

if TYPE_CHECKING:
    from shufflenet.batch.run import Progress

_EVERY_S = 0.2


def predict_to(
    sources: tuple[str, ...],
    to: str,
    model: str | None,
    top_k: int,
    max_pixels: int | None,
    on: str | None,
    as_json: bool,
) -> None:
    """Prints the folder, or with ``as_json`` what was done; ends the command with code 1 if a picture has no labels."""
    from shufflenet.install_hint import install_hint
    from shufflenet.model_file import ModelFileError
    from shufflenet.models import DEFAULT_MODEL
    from shufflenet.pictures.images import MAX_PIXELS

    if on is not None and on.partition(":")[0] != "ray":
        raise click.UsageError(f"--on takes ray or ray:ADDRESS, not {on}.")
    try:
        from shufflenet.batch import run
        from shufflenet.batch.parts import PartsError
        from shufflenet.batch.plan import SourceError

        if on is not None:
            from shufflenet.batch import on_ray  # noqa: F401 - to say at once what is missing
    except ModuleNotFoundError as error:
        raise CannotStart(
            f"{error.name} is needed for this: {install_hint('batch' if on is None else 'ray')}"
        ) from None

    if "-" in sources:
        raise click.UsageError("--to takes the name of a list, not - for stdin, so that the command can be run again.")
    with refusing(PartsError, SourceError, ModelFileError, ImportError), failing(OSError), status_line() as show:
        shown = 0.0

        def progress(done: Progress) -> None:
            nonlocal shown
            if sys.stderr.isatty() and time.monotonic() - shown > _EVERY_S:
                shown = time.monotonic()
                show(_in_a_line(done))

        done = run.predict_to(
            sources,
            to,
            DEFAULT_MODEL if model is None else model,
            top_k,
            MAX_PIXELS if max_pixels is None else max_pixels,
            on or "",
            progress,
        )
    for line in done.failed:
        log(f"{line}; run the command again to try it again")
    if as_json:
        numbers = {
            "to": to,
            "parts": done.parts,
            "parts_before": done.parts_before,
            "pictures": done.pictures,
            "errors": done.errors,
            "seconds": round(done.seconds, 3),
            "pictures_per_s": round(done.pictures_per_s, 1),
        }
        click.echo(json.dumps(numbers, allow_nan=False))
    else:
        before = f", {done.pictures_before:,} of them before" if done.pictures_before else ""
        log(
            f"{done.pictures:,} pictures{before}, {done.errors:,} errors, "
            f"{done.seconds:.1f} s, {done.pictures_per_s:.0f} pictures/s"
        )
        click.echo(to)
    sys.exit(1 if done.errors or done.failed else 0)


def _in_a_line(done: Progress) -> str:
    from shufflenet.training.progress import duration

    pictures = f"{done.pictures + done.begun:,}"
    of = f" of {done.total:,} pictures" if done.total is not None else " pictures"
    left = "" if done.seconds_left is None else f"  {duration(done.seconds_left)} left"
    return (
        f"{pictures}{of}  part {done.parts_done:,} of {done.parts:,}  {done.pictures_per_s:.0f} pictures/s"
        f"{left}  {done.errors:,} errors"
    )
