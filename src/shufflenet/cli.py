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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from shufflenet import __version__

if TYPE_CHECKING:
    from shufflenet.arch import Architecture
    from shufflenet.classifier import Prediction
    from shufflenet.complexity import Complexity

_MANY = 20  # pictures, from which on a progress bar is shown
_GLOB_CHARACTERS = frozenset("*?[")
_BENCH_MODELS = ",".join(
    f"shufflenet_{variant}" for variant in ("g3_x0_25", "g3_x0_5", "g3_x1_0", "g8_x1_0", "g1_x1_0", "g3_x2_0")
)


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
@click.option("--model", help="A model that comes with the package, a model file, or SOURCE:NETWORK (see import).")
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
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Run folder.  [default: runs/DATA]")
@click.option("--recipe", type=click.Choice(["paper", "short", "finetune"]), help="[default: finetune or paper]")
@click.option(
    "--from", "start", metavar="MODEL", help="Fine-tune a model that comes with the package, or a model file."
)
@click.option("--arch", help="Architecture to train from scratch.  [default: shufflenet_g3_x0_5]")
@click.option("--size", type=click.IntRange(32, 4096), help="Input size.  [default: the pictures' up to 96, else 128]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data.")
@click.option("--batch-size", type=click.IntRange(2), help="Over all processes.  [default: 128, fewer for small data]")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="For a batch of 1024.")
@click.option("--seed", type=click.IntRange(0), help="Of every random choice.  [default: 0]")
@click.option("--val-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Split one folder.")
@click.option("--skip-broken", is_flag=True, help="Leave broken pictures out and list them.")
@click.option("--class-weights", is_flag=True, help="Let each class count the same, however few its pictures.")
@click.option("--mixup", type=click.FloatRange(0), help="Mix pictures; alpha of the Beta distribution, such as 0.2.")
@click.option("--cutmix", type=click.FloatRange(0), help="Paste parts of other pictures; alpha, such as 1.")
@click.option("--teacher", metavar="MODEL", help="Learn from a model file's answers, or a torchvision network's.")
@click.option("--freeze", type=click.Choice(["stem", "stage2", "stage3", "stage4"]), help="Keep weights up to here.")
@click.option("--amp", "bf16", is_flag=True, help="Matrix products in bfloat16.")
@click.option(
    "--sync-bn/--no-sync-bn", "synchronise", default=True, help="Batch norm over all processes.  [default: yes]"
)
@click.option(
    "--workers", type=click.IntRange(0), default=1, show_default=True, help="Threads that make batches ahead."
)
@click.option(
    "--checkpoint-minutes", type=click.FloatRange(0), default=5, show_default=True, help="Between checkpoints."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen and how long it would take.")
@click.pass_context
def train(ctx: click.Context, /, data: Path, out: Path | None, **options: Any) -> None:
    """Train on DATA/train and DATA/val, each with a folder of pictures per class; or fine-tune with --from.

    DATA may also be one folder of class folders, of which a part becomes val, or a .zip. The same command
    resumes a run that was stopped. torchrun starts it on several processes.

    \b
    Examples:
      shufflenet train flowers/ --from shufflenet_g3_x0_5
      shufflenet train pets.zip --recipe short --arch shufflenet_g3_x1_0 --dry-run
      shufflenet train photos/ --val-fraction 0.1 --teacher resnet50 --out runs/photos
      torchrun --nproc_per_node 2 -m shufflenet train flowers/
    """
    with _needs_torch():
        from dataclasses import replace

        from shufflenet import dry_run
        from shufflenet import train as training
        from shufflenet.job import prepare
        from shufflenet.recipe import RECIPES
    with _refusing(ValueError, OSError):
        wanted = ("arch", "size", "batch_size", "val_fraction", "start", "teacher")
        changed = ("epochs", "learning_rate", "seed", "class_weights", "mixup", "cutmix", "freeze", "bf16")
        row = RECIPES[options["recipe"] or ("finetune" if options["start"] else "paper")]
        row = replace(row, **{key: options[key] for key in changed if options[key] not in (None, False)})
        job = prepare(data, row, **{key: options[key] for key in wanted})
        if options["dry_run"]:
            click.echo(dry_run.estimate(job))
            return
        how = {key: options[key] for key in ("workers", "checkpoint_minutes", "skip_broken", "synchronise")}
        try:
            path = training.train(job, out or Path("runs") / data.resolve().stem, command=_command(ctx, data), **how)
        except training.Stopped as stopped:
            sys.exit(128 + stopped.signal_number)
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one prints
        click.echo(path)


@commands.command()
@click.argument("model")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--by", type=click.Choice(["engine", "pytorch"]), default="engine", show_default=True, help="What runs it."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for tables and pictures.")
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def evaluate(model: str, data: Path, by: Literal["engine", "pytorch"], out: Path | None, as_json: bool) -> None:
    """Measure MODEL on the class folders of DATA/val, or of DATA itself: errors, each class, calibration.

    --out receives evaluation.json, classes.csv, confusion.png and mistakes.png, the most confident mistakes.

    \b
    Examples:
      shufflenet evaluate runs/flowers/model.safetensors flowers/
      shufflenet evaluate model.safetensors holiday/val --out report/
      shufflenet evaluate model.safetensors flowers/ --by pytorch --json
    """
    from shufflenet import evaluate as evaluation

    with _refusing(ValueError, ImportError, OSError), _needs_torch(), _counting("evaluating") as progress:
        result = evaluation.evaluate(model, data, by, progress)
        if out is not None:
            evaluation.write(result, out)
    for failure in result.failures:
        _complain(failure)
    click.echo(json.dumps(result.summary(), indent=2) if as_json else evaluation.table(result))
    sys.exit(1 if result.failures else 0)


@commands.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A list of problems as JSON.")
def doctor(data: Path, as_json: bool) -> None:
    """Look for what is wrong with pictures before training on them; exit code 1 if anything is.

    Names pictures that are unreadable, tiny, long, of one colour or with the wrong suffix, duplicates, pictures in
    both train/ and val/, and classes with few pictures.

    \b
    Examples:
      shufflenet doctor flowers/
      shufflenet doctor pets.zip --json
    """
    from shufflenet import doctor as doctors
    from shufflenet.images import printable

    with _refusing(OSError), _counting("examining") as progress:
        result = doctors.examine(data, progress)
    if as_json:
        click.echo(json.dumps([vars(problem) for problem in result.problems], indent=2))
    else:
        for problem in result.problems:
            click.echo(f"{problem.kind:14} {printable(problem.name)}: {printable(problem.text)}")
        click.echo(result.summary())
    sys.exit(1 if result.problems else 0)


@commands.command("import")
@click.argument("source", metavar="[SOURCE[:NETWORK]]", default="")
@click.option("--file", type=click.Path(path_type=Path), help="A checkpoint here, instead of a download.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Model file.  [default: NETWORK.safetensors]"
)
@click.option("--labels", type=click.Path(path_type=Path), help="Text file with the classes' names, one a line.")
@click.option("--list", "listing", is_flag=True, help="Print the known networks with their published errors.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def import_(
    source: str, file: Path | None, out: Path | None, labels: Path | None, listing: bool, as_json: bool
) -> None:
    """Make a model file from a public ShuffleNet v1, or from a checkpoint built like one: SOURCE says like whose.

    A checkpoint is only read, never run. What this package's network can't compute exactly is refused.

    \b
    Examples:
      shufflenet import --list
      shufflenet import pytorchcv:shufflenet_g3_w1 --labels imagenet.txt
      shufflenet import megvii:shufflenet_g3_x1_0 --file 1.0x.pth.tar
      shufflenet import paper --file mine.pth --out mine.safetensors
    """
    from shufflenet import importers, model_file
    from shufflenet.importers import catalogue
    from shufflenet.importers import labels as label_files

    if listing:
        click.echo(json.dumps(catalogue.rows(), indent=2) if as_json else catalogue.table())
        return
    if not source and file is None:
        raise click.UsageError("Give a SOURCE:NETWORK, or a checkpoint with --file; --list prints what there is.")
    target = out or Path(catalogue.file_name(source, file))
    if out is None and target.exists():
        raise click.UsageError(f"{target} is there already; give another name with --out, or the same to replace it.")
    with _refusing(ValueError, ImportError, OSError):
        model = importers.import_model(source, file, label_files.read(labels) if labels is not None else None)
        model_file.save(model, target)
    click.echo(
        json.dumps({"model": str(target), **catalogue.described(model)})
        if as_json
        else f"{target}: {catalogue.sentence(model)}"
    )


@commands.command()
@click.argument("model")
@click.option("--to", "target", required=True, metavar="TARGET", help="What to make; see above.")
@click.option("--out", type=click.Path(path_type=Path), help="File or folder.  [default: named after the model, here]")
@click.option("--size", help="Input size, N or HxW.  [default: the model's; onnx: any]")
@click.option("--check-on", metavar="PATH", multiple=True, help="Pictures to compare on.  [default: synthetic ones]")
@click.option("--no-check", is_flag=True, help="Don't run the result.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def export(
    model: str,
    target: str,
    out: Path | None,
    size: str | None,
    check_on: tuple[str, ...],
    no_check: bool,
    as_json: bool,
) -> None:
    """Write MODEL, a model file or a model's name, for another program, and compare the result with the engine.

    \b
    Targets:
      c      a folder of plain C with nothing to install, for one input size
      onnx   one .onnx file for ONNX Runtime, OpenVINO and others, for any size unless --size fixes it

    The result is run on pictures beside the package's engine and, where it is installed, PyTorch. If it differs, it is
    not kept and the exit code is 1. Only an earlier result of this command is replaced.

    \b
    Examples:
      shufflenet export shufflenet_g3_x0_5 --to c
      shufflenet export runs/flowers/model.safetensors --to onnx --out flowers.onnx --check-on flowers/val
      shufflenet export model.safetensors --to c --size 96x128
    """
    with _refusing(ValueError, ImportError, OSError):
        from shufflenet import export as exporting
        from shufflenet import images
        from shufflenet.classifier import load_model
        from shufflenet.export import report

        paths, problems = _find_pictures(check_on)
        if problems:
            raise CannotStart(images.printable(problems[0]))
        result = exporting.export(
            load_model(model),
            Path(model.replace(":", "_")).name.removesuffix(".safetensors"),
            target,
            out,
            size=_parse_size(size) if size is not None else None,
            pictures=(images.decode(path) for path in paths) if paths else None,
            checking=not no_check,
        )
    click.echo(json.dumps(report.described(result), indent=2) if as_json else report.text(result))
    sys.exit(0 if result.ok else 1)


def _command(ctx: click.Context, data: Path) -> str:
    """What was typed, without the places on this machine."""
    words = ["shufflenet train", data.resolve().name]
    for option in ctx.command.params:
        value = ctx.params.get(option.name or "")
        given = ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and option.name not in ("data", "out", "workers", "checkpoint_minutes"):
            words.append(option.opts[0] if value is not False else option.secondary_opts[0])
            words += [os.path.basename(str(value))] * (not isinstance(value, bool))
    return " ".join(words)


@commands.command()
@click.option("--models", default=_BENCH_MODELS, show_default=True, help="Architectures, separated by commas.")
@click.option("--model-file", type=click.Path(path_type=Path), help="Take a model file's weights, not random ones.")
@click.option("--runtimes", help="To compare with, separated by commas.  [default: all that are installed]")
@click.option("--sizes", default="224", show_default=True, help="Pixels, N or HxW, separated by commas.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Pictures at once.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="For every runtime.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Turns of each runtime.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write results here.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the results to this PNG file.")
@click.option("--layers", is_flag=True, help="Only this package's engine, layer by layer.")
@click.option("--table8", is_flag=True, help="The paper's Table 8: speed-up in theory and in fact.")
@click.option("--folder", type=click.IntRange(1), is_flag=False, flag_value=2000, help="Classify so many JPEG files.")
@click.option("--photos", type=click.Path(path_type=Path), default="photos", help="What --folder makes them from.")
def bench(**options: Any) -> None:
    """Time this package's engine and other runtimes side by side, on the same weights and input.

    Each runtime is compared with PyTorch first; one that answers differently is not timed, and the exit code is 1.
    --folder [N] compares `predict` with Pillow, numpy, ONNX Runtime and threads on N pictures, 2,000 unless told.

    \b
    Examples:
      shufflenet bench
      shufflenet bench --models shufflenet_g3_x1_0 --sizes 224,720x1280 --json results.json --plot results.png
      shufflenet bench --layers --models shufflenet_g3_x0_5
      shufflenet bench --table8
      shufflenet bench --folder 500
    """
    with _needs_torch(), _refusing(ValueError, OSError, ImportError, RuntimeError):
        from shufflenet.bench import command

        sizes = [_parse_size(size) for size in options.pop("sizes").split(",")]
        text, failed = command.run(sizes=sizes, report=_telling, **options)
    click.echo(text)
    sys.exit(1 if failed else 0)


def _telling(what: str) -> None:
    """What is under way, on one line of stderr, if that is a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}\x1b[K", err=True, nl=False)


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Tells how far something is, on one line of stderr, if that is a terminal."""

    def show(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{what} {done:,} of {of:,}", err=True, nl=False)

    try:
        yield show
    finally:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)


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
