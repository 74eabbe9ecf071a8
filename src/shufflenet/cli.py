"""The command line: every command parses, calls one function of the package, and prints.

Results go to stdout, messages to stderr. Exit code 0; 1: some inputs failed; 2: can't start; 130: Ctrl-C.
The package's modules are imported by the commands that need them, so that the others start at once.
"""

from __future__ import annotations

import csv
import glob
import io
import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shufflenet import __version__

if TYPE_CHECKING:
    from shufflenet.arch import Architecture
    from shufflenet.classifier import Prediction
    from shufflenet.complexity import Complexity

_MANY = 20  # pictures, from which on a progress bar is shown
_GLOB_CHARACTERS = frozenset("*?[")


class CannotStart(click.ClickException):
    """Nothing was done; the message says what has to be put right first."""

    exit_code = 2


def main() -> None:
    """The entry point: Ctrl-C ends with 130 and no traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to stop
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code)


@click.group()
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="shufflenet")
def commands() -> None:
    """ShuffleNet: small image classifiers, trained, run and shipped."""


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--model", help="Name of a model that comes with the package, or a model file.")
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Labels per picture.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="One line per picture and label.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Draw a contact sheet to this PNG file.")
@click.option("--max-pixels", type=click.IntRange(min=1), help="Refuse larger pictures.  [default: 100 million]")
def predict(
    paths: tuple[str, ...],
    model: str | None,
    top_k: int,
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    max_pixels: int | None,
) -> None:
    """Say what is on pictures: files, folders with all that is in them, globs, or - for a list on stdin.

    \b
    Examples:
      shufflenet predict cat.jpg dog.png
      shufflenet predict holiday/ --top-k 1 --csv > labels.csv
      shufflenet predict holiday/ --sheet holiday.png
      find . -name '*.jpg' | shufflenet predict - --json
    """
    from shufflenet import sheet as sheets
    from shufflenet.classifier import DEFAULT_MODEL, Classifier
    from shufflenet.images import MAX_PIXELS, ImageError

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    if sheet is not None and not (sheet.suffix.lower() == ".png" and sheet.absolute().parent.is_dir()):
        raise click.UsageError(f"--sheet needs a name that ends in .png, in a folder that exists, not {sheet}.")
    max_pixels = max_pixels or MAX_PIXELS
    with _refusing(ValueError, ImportError):
        classifier = Classifier(model or DEFAULT_MODEL)

    sources, problems = _find_pictures(paths)
    for problem in problems:
        _complain(problem)
    failed = bool(problems)
    if sheet is not None and len(sources) > sheets.MAX_PICTURES:
        raise click.UsageError(f"--sheet holds at most {sheets.MAX_PICTURES} pictures, not {len(sources)}.")
    on_sheet = []
    printer = _JsonLines() if as_json else _Csv() if as_csv else _Table(sources, classifier.isa)
    with _progress(len(sources)) as advance:
        for result in classifier.classify(sources, top_k, max_pixels):
            if isinstance(result, ImageError):
                _complain(str(result))
                failed = True
            else:
                printer.show(result)
                if sheet is not None:
                    on_sheet.append((result.source, result))
            advance()
    printer.close()
    if sheet is not None and on_sheet:
        with _refusing(OSError):
            sheets.contact_sheet(on_sheet, sheet, max_pixels)
    sys.exit(1 if failed else 0)


@commands.command()
@click.argument("network", metavar="NAME|MODEL")
@click.option("--size", help="Pixels: N, or HxW.  [default: 224, or the model's]")
@click.option("--classes", type=click.IntRange(min=1), help="Number of classes.  [default: 1000]")
@click.option("--stem-stride", type=click.IntRange(1, 2), help="Stride of Conv1; 1 for small pictures.  [default: 2]")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def summary(network: str, size: str | None, classes: int | None, stem_stride: int | None, as_json: bool) -> None:
    """Print what each layer costs: multiply-adds, parameters and memory, of an architecture or a model file.

    \b
    Examples:
      shufflenet summary shufflenet_g3_x1_0
      shufflenet summary shufflenet_g8_x0_5 --size 480x640 --classes 10
      shufflenet summary model.safetensors --json
    """
    from shufflenet import complexity

    with _refusing(ValueError):
        arch, height, width = _architecture(network, classes, stem_stride)
        if size is not None:
            height, width = _parse_size(size)
        cost = complexity.summary(arch, height, width)
    click.echo(_summary_json(cost) if as_json else _summary_table(cost))


@commands.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the run.")
@click.option("--arch", default="shufflenet_g3_x0_5", show_default=True, help="Architecture to train.")
@click.option("--epochs", type=click.IntRange(min=1), default=16, show_default=True, help="Passes over the data.")
def train(data: Path, out: Path, arch: str, epochs: int) -> None:
    """Train a network on DATA/train/CLASS/*.jpg, measure it on DATA/val; the same command resumes a stopped run.

    \b
    Example:
      shufflenet train flowers/ --out runs/flowers --arch shufflenet_g3_x0_5 --epochs 30
    """
    with _needs_torch():
        from shufflenet import train as training
    with _refusing(ValueError, OSError):
        click.echo(training.train(data, out, arch, training.Recipe(epochs=epochs)))


@contextmanager
def _refusing(*errors: type[Exception]) -> Iterator[None]:
    """Errors of the package speak to the user already: one line, without a traceback."""
    try:
        yield
    except errors as error:
        from shufflenet.images import printable

        raise CannotStart(printable(str(error))) from error


@contextmanager
def _needs_torch() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CannotStart(
            "PyTorch is needed to train and evaluate; install it with\npip install 'shufflenet[train]'"
        ) from None


# predict: finding pictures


def _find_pictures(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Paths of pictures, folders and globs expanded; and a message for each argument or folder that gave none."""
    found: list[str] = []
    problems: list[str] = []
    for path in _read_stdin(arguments):
        if os.path.lexists(path) or not _GLOB_CHARACTERS.intersection(path):
            matches = [path]  # one that does not exist fails in its turn
        else:
            matches = sorted(glob.glob(path, recursive=True))
            if not matches:
                problems.append(f"{path}: nothing matches")
        pictures: dict[str, None] = {}  # in order, and once: "**" finds both a folder and its pictures
        for match in matches:
            pictures.update(dict.fromkeys(_in_folder(match, problems) if os.path.isdir(match) else [match]))
        found += pictures
    return found, problems


def _read_stdin(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        if argument != "-":
            yield argument
            continue
        names = sys.stdin.buffer.read()
        # `find -print0` ends names with a zero byte, since they may hold line breaks.
        for name in names.split(b"\0") if b"\0" in names else names.splitlines():
            if name:
                yield os.fsdecode(name)


def _in_folder(folder: str, problems: list[str]) -> list[str]:
    from shufflenet.images import SUFFIXES

    found: list[str] = []
    unreadable: list[str] = []
    walk = os.walk(folder, onerror=lambda error: unreadable.append(f"{error.filename}: {error.strerror}"))
    for parent, folders, files in walk:
        folders.sort()
        found += [os.path.join(parent, name) for name in sorted(files) if os.path.splitext(name)[1].lower() in SUFFIXES]
    problems += unreadable
    if not found and not unreadable:
        problems.append(f"{folder}: no pictures in this folder")
    return found


# predict: printing


class _Table:
    """Aligned columns; the label comes last, since it may be long."""

    def __init__(self, sources: list[str], isa: str) -> None:
        from shufflenet.images import printable

        self.printable = printable
        self.width = min(48, max((len(printable(source)) for source in sources), default=0))
        self.isa = isa
        self.times: list[tuple[float, float, float]] = []

    def show(self, prediction: Prediction) -> None:
        if not self.times:
            click.echo(f"{'picture':{self.width}}  decode ms  preprocess ms  network ms      %  label")
        times = (prediction.decode_ms, prediction.preprocess_ms, prediction.network_ms)
        self.times.append(times)
        lead = f"{self.printable(prediction.source):{self.width}}  {times[0]:9.2f}  {times[1]:13.2f}  {times[2]:10.2f}"
        for label, probability in zip(prediction.labels, prediction.probabilities, strict=True):
            click.echo(f"{lead}  {100 * probability:5.1f}  {self.printable(label)}")
            lead = " " * (self.width + 38)

    def close(self) -> None:
        if self.times:
            decode, preprocess, network = (statistics.median(column) for column in zip(*self.times, strict=True))
            click.echo(
                f"{len(self.times)} picture{'s' if len(self.times) > 1 else ''}, median: decode {decode:.2f} ms, "
                f"preprocess {preprocess:.2f} ms, network {network:.2f} ms ({self.isa}, 1 thread)"
            )


class _JsonLines:
    def show(self, prediction: Prediction) -> None:
        columns = zip(prediction.class_indices, prediction.labels, prediction.probabilities, strict=True)
        row = {
            "source": prediction.source,
            "predictions": [{"class_index": i, "label": label, "probability": p} for i, label, p in columns],
            "decode_ms": prediction.decode_ms,
            "preprocess_ms": prediction.preprocess_ms,
            "network_ms": prediction.network_ms,
        }
        click.echo(json.dumps(row))

    def close(self) -> None:
        pass


class _Csv:
    def __init__(self) -> None:
        self.write("source", "rank", "class_index", "label", "probability", "decode_ms", "preprocess_ms", "network_ms")

    def write(self, *values: object) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        # As bytes: a name that is not valid text comes out as it is on the disk.
        click.echo(line.getvalue().encode("utf-8", "surrogateescape"), nl=False)

    def show(self, prediction: Prediction) -> None:
        times = [f"{ms:.3f}" for ms in (prediction.decode_ms, prediction.preprocess_ms, prediction.network_ms)]
        columns = zip(prediction.class_indices, prediction.labels, prediction.probabilities, strict=True)
        for rank, (index, label, probability) in enumerate(columns, start=1):
            self.write(prediction.source, rank, index, label, f"{probability:.6f}", *times)

    def close(self) -> None:
        pass


@contextmanager
def _progress(length: int) -> Iterator[Any]:
    """A bar on stderr, if that is a terminal and the results don't go to the same one."""
    if length < _MANY or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, file=sys.stderr, label="classifying") as bar:
        yield lambda: bar.update(1)


def _complain(message: str) -> None:
    from shufflenet.images import printable

    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # a progress bar may stand on the line
    click.echo(clear + printable(message), err=True)


# summary


def _architecture(network: str, classes: int | None, stem_stride: int | None) -> tuple[Architecture, int, int]:
    """The architecture, and the height and width that its pictures have unless told otherwise."""
    from shufflenet.arch import Architecture

    if not (network.endswith(".safetensors") or os.path.isfile(network)):
        return Architecture.from_name(network, classes=classes or 1000, stem_stride=stem_stride or 2), 224, 224
    if classes is not None or stem_stride is not None:
        raise ValueError("--classes and --stem-stride go with a name; a model file has its own")
    from shufflenet import model_file

    model = model_file.load(Path(network))
    return model.arch, model.preprocessing.size, model.preprocessing.size


def _parse_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ValueError(f"--size must be N or HxW, such as 224 or 480x640, not {text!r}")
    return int(sides[0]), int(sides[-1])


def _summary_json(cost: Complexity) -> str:
    layers = [
        {
            "name": layer.name,
            "output_shape": layer.output_shape,
            "macs": layer.macs,
            "parameters": layer.parameters,
            "activation_bytes": layer.activation_bytes,
        }
        for layer in cost.layers
    ]
    totals = {
        "name": cost.arch.name,
        "height": cost.height,
        "width": cost.width,
        "macs": cost.macs,
        "macs_without_classifier": cost.macs_without_classifier,
        "parameters": cost.parameters,
    }
    return json.dumps({**totals, "layers": layers}, indent=2)


def _summary_table(cost: Complexity) -> str:
    lines = [f"{'layer':20} {'output':>15} {'multiply-adds':>14} {'parameters':>11} {'activation KiB':>15}"]
    for layer in cost.layers:
        shape = " x ".join(map(str, layer.output_shape))
        kib = layer.activation_bytes / 1024
        lines.append(f"{layer.name:20} {shape:>15} {layer.macs:14,} {layer.parameters:11,} {kib:15,.1f}")
    arch = cost.arch
    without = cost.macs_without_classifier
    lines += [
        "",
        f"{arch.name}, {arch.classes} classes, stem stride {arch.stem_stride}, {cost.height} x {cost.width} pixels",
        f"multiply-adds  {cost.macs / 1e6:.1f} million, without the classifier {without / 1e6:.1f} million",
        f"parameters     {cost.parameters:,}",
    ]
    return "\n".join(lines)
