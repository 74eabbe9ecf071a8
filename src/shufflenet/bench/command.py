"""`shufflenet bench` behind its options: chooses the measurement, runs it and writes the results."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shufflenet.atomic_file import write_json
from shufflenet.bench import layers, plot, report
from shufflenet.bench.case import Case, make_case
from shufflenet.bench.run import Results, Status, bench
from shufflenet.bench.runtime import BFLOAT16, FLOAT32, INT8, Precision, select
from shufflenet.bench.samples import like_trained, of_pictures, synthetic
from shufflenet.engine.plan import SMALLEST_SIDE
from shufflenet.importers.download import cache_folder
from shufflenet.importers.network_file import import_network, is_network_file
from shufflenet.models import load_model, run_folder_model
from shufflenet.networks import families
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import check_served
from shufflenet.networks.random_model import random_model
from shufflenet.pictures.preprocessing import Preprocessing


def run(
    *, models: str, model_file: Path | None, runtimes: str | None, precision: str, calibration: Path | None,
    sizes: list[tuple[int, int]] | None, batch: int, threads: int, rounds: int, json_path: Path | None,
    plot: Path | None, layers: bool, folder: int | None, photos: Path, training: Path | None, browser: bool,
    npm: Path | None, status: Status,
) -> tuple[str, bool]:  # fmt: skip
    """(text, failed): the table to print, and whether a runtime failed or gave wrong logits.

    Args:
        models: names of networks, separated by commas; they get random weights.
        model_file: timed instead of ``models``: a model file, a network file (ONNX or .pt2), which is imported, or a
            folder of these; None: there is none.
        runtimes: names of rows of `runtime.RUNTIMES`, separated by commas; None: all that are installed.
        precision: "float32", "int8" or both, separated by a comma. The other runtimes' bfloat16 comes with "int8".
        calibration: pictures for "int8", of which a third is calibrated on; None: synthetic ones.
        sizes: heights and widths of the input in pixels; None: the size of each model's preprocessing.
        rounds: turns of each runtime.
        layers, folder, training: if set, measure instead the engine's layers, `predict` on this many files made from
            ``photos``, or training on this data folder.
        browser: measure instead in a browser, beside web runtimes: ``runtimes`` are rows of `web.runtimes.RUNTIMES`.
        npm: folder of their packages; None: one in the cache folder.
        json_path, plot: files to write the results to.
        status: shows what is under way.

    Raises:
        ValueError: an option is invalid, or a runtime is not installed; the message names it.
        OSError: a file can't be read or written.
    """
    for height, width in sizes or []:
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(f"a size must be at least {SMALLEST_SIDE} pixels, not {height}x{width}")
    for path in (json_path, plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"{path}: no such folder")
    if training is not None:
        return _training(training, models.split(","), threads, rounds, json_path, status)
    precisions = _precisions(precision)
    networks = _models(models, model_file, status)
    if folder is not None:
        return _folder(networks[0][0], photos, folder, json_path, status)
    given = model_file is not None
    wanted: Sequence[tuple[int, int] | None] = sizes or [None]
    sized = [(model, file, size) for size in wanted for model, file in networks]
    cases: Iterator[Case]
    if INT8 in precisions:
        cases = (
            _with_samples(model, given, calibration, batch, size or _own_size(model), threads, status)
            for model, _, size in sized
        )
    elif calibration is not None:
        raise ValueError("--calibrate needs --precision int8")
    else:
        cases = (
            make_case(model, batch, *(size or _own_size(model)), threads, file=file) for model, file, size in sized
        )
    if browser:
        return _in_browser(cases, runtimes, precisions, rounds, npm, json_path, status)
    if layers:
        return _layers(cases, rounds, precisions, json_path)
    if INT8 in precisions:
        precisions.append(BFLOAT16)
    chosen = select(runtimes.split(",") if runtimes is not None else None, precisions)
    return _comparison(bench(cases, chosen, rounds, status), json_path, plot)


def _precisions(names: str) -> list[Precision]:
    for name in names.split(","):
        if name not in (FLOAT32, INT8):
            raise ValueError(
                f"unknown precision {name!r}; --precision takes float32, int8, or both with a comma between"
            )
    return [known for known in (FLOAT32, INT8) if known in names.split(",")]


def _with_samples(
    model: Model, given: bool, calibration: Path | None, batch: int, size: tuple[int, int], threads: int, status: Status
) -> Case:
    """The case of a model with the pictures that 8 bits need; ``given``: the weights are a user's, not random ones."""
    check_served(model.graph)
    model.require_float()
    status(f"{model.graph.name}: pictures to calibrate on")
    if calibration is not None:
        if size != _own_size(model):
            raise ValueError(f"--calibrate takes the size of {model.graph.name}'s pictures, {_own_size(model)[0]}")
        samples = of_pictures(model, calibration, batch)
    else:
        samples = synthetic(batch, model.graph.in_channels, *size)
    return make_case(model if given else like_trained(model, samples), batch, *size, threads, samples)


def _models(names: str, path: Path | None, status: Status) -> Sequence[tuple[Model, Path | None]]:
    """Models, each with the ONNX file that it was imported from, if it was."""
    if path is None:
        return [(random_model(families.architecture(name).graph()), None) for name in names.split(",")]
    if not path.is_dir() or run_folder_model(path) is not None:
        return [_model(path, status)]
    files = [file for file in sorted(path.iterdir()) if file.suffix == ".safetensors" or is_network_file(file.name)]
    if not files:
        raise ValueError(f"{path}: a folder without model files, ONNX files and .pt2 files")
    return [_model(file, status) for file in files]


def _model(path: Path, status: Status) -> tuple[Model, Path | None]:
    if not is_network_file(path.name):
        return load_model(path), None
    status(f"{path.name}: importing")
    return import_network(path), path if path.suffix.lower() == ".onnx" else None


def _own_size(model: Model) -> tuple[int, int]:
    return model.preprocessing.size, model.preprocessing.size


def _comparison(results: Results, json_path: Path | None, plot_path: Path | None) -> tuple[str, bool]:
    _write_json(results.document(), json_path)
    if plot_path is not None:
        plot.plot(results, plot_path)
    return report.table(results), any(row.problem is not None and row.available for row in results.rows)


def _in_browser(
    cases: Iterator[Case], runtimes: str | None, precisions: Sequence[Precision], rounds: int, npm: Path | None,
    json_path: Path | None, status: Status,
) -> tuple[str, bool]:  # fmt: skip
    from shufflenet.bench.web import report, run
    from shufflenet.bench.web.runtimes import select

    chosen = select(runtimes.split(",") if runtimes is not None else None)
    results = run.web_bench(cases, chosen, precisions, rounds, npm or cache_folder() / "npm", status)
    _write_json(results.document(), json_path)
    return report.table(results), any(row.problem is not None and row.available for row in results.rows)


def _layers(
    cases: Iterator[Case], rounds: int, precisions: Sequence[Precision], json_path: Path | None
) -> tuple[str, bool]:  # fmt: skip
    times = [layers.layer_times(case, rounds, precision) for case in cases for precision in precisions]
    _write_json([t.document() for t in times], json_path)
    return "\n\n".join(map(layers.table, times)), False


def _folder(model: Model, photos: Path, count: int, json_path: Path | None, status: Status) -> tuple[str, bool]:
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
        raise ValueError("--folder compares with ONNX Runtime: pip install onnxruntime onnx")
    from shufflenet.bench import folder

    results = folder.folder_bench(replace(model, preprocessing=Preprocessing(), self_test=[]), photos, count, status)
    _write_json(results.document(), json_path)
    return folder.table(results), results.agreement < folder.LEAST_AGREEMENT


def _training(
    data: Path, models: list[str], threads: int, turns: int, json_path: Path | None, status: Status
) -> tuple[str, bool]:
    if importlib.util.find_spec("torchvision") is None:
        raise ValueError("--training compares with torchvision's loop: pip install torchvision")
    from shufflenet.bench import training

    results = training.training_bench(data, models, threads, turns, status)
    _write_json([r.document() for r in results], json_path)
    return training.table(results), False


def _write_json(document: Any, path: Path | None) -> None:
    if path is not None:
        write_json(path, document)
