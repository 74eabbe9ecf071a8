"""How good a model is on labelled pictures: errors, per class, calibration, and which mistakes it is sure of.

The engine and PyTorch see the same preprocessed pictures, so that what they say can be compared.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shufflenet import confusion, model_file, sheet
from shufflenet.atomic_file import atomic_file
from shufflenet.classifier import Prediction
from shufflenet.engine.engine import Engine
from shufflenet.files import printable
from shufflenet.known import confidence
from shufflenet.labels import read_names
from shufflenet.models import caution, load_model
from shufflenet.networks.model import Model
from shufflenet.pictures import images
from shufflenet.pictures.dataset import DataError, Picture, pictures_below
from shufflenet.pictures.held_out import pictures_to_measure
from shufflenet.pictures.preprocessing import preprocess
from shufflenet.probabilities import softmax
from shufflenet.threads import map_in_order
from shufflenet.unknown import Unknown

By = Literal["engine", "pytorch"]
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_Best = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]

BINS = 15  # of confidence, for the calibration error (Guo et al., 1706.04599)
TOP = 5
_CHUNK = 32  # pictures that a thread decodes and runs at once
_MISTAKES = 30
_ROWS = 20  # of the printed table


@dataclass
class Evaluation:
    """What a model said about N labelled pictures that could be read."""

    classes: list[str]
    labels: list[str]
    pictures: list[Picture]  # N
    targets: NDArray[np.int64]  # [N]
    top: NDArray[np.int64]  # [N, 5 or fewer] class indices, best first
    top_probabilities: NDArray[np.float64]  # the same shape
    known: NDArray[np.float64]  # [N] how sure the model is that a picture is of its classes, see `known.confidence`
    failures: list[str] = field(default_factory=list)  # a message for each picture that can't be read
    split_off: bool = False  # the pictures are the part of a folder without val/ that training split off
    unknown: Unknown | None = None  # beside pictures of other things, if there are any
    caution: str = ""  # what an import assumed of the model and nothing proved

    @property
    def top1_error(self) -> float:
        """Percent."""
        return 100 * float(np.mean(self.top[:, 0] != self.targets))

    @property
    def top5_error(self) -> float:
        """Percent."""
        return 100 * float(np.mean(~(self.top == self.targets[:, None]).any(axis=1)))

    def calibration(self) -> list[tuple[int, float, float]]:
        """For each of `BINS` equal bins of confidence: pictures, mean confidence, accuracy (both 0 to 1)."""
        confidence = self.top_probabilities[:, 0]
        right = self.top[:, 0] == self.targets
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        rows = []
        for index in range(BINS):
            inside = place == index
            count = int(inside.sum())
            mean = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (0.0, 0.0)
            rows.append((count, *mean))
        return rows

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, percent: how far confidence is from accuracy, on average."""
        return 100 * sum(count * abs(c - a) for count, c, a in self.calibration()) / len(self.targets)

    def confusion(self) -> NDArray[np.int64]:
        """[classes, classes]: pictures of the row's class that were taken for the column's."""
        matrix = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        np.add.at(matrix, (self.targets, self.top[:, 0]), 1)
        return matrix

    def per_class(self) -> list[dict[str, Any]]:
        """A row for each class: pictures, recall and precision in percent, and the class it is most taken for."""
        matrix = self.confusion()
        rows = []
        for index, name in enumerate(self.classes):
            pictures, predicted, right = matrix[index].sum(), matrix[:, index].sum(), matrix[index, index]
            others = matrix[index].copy()
            others[index] = 0
            worst = int(others.argmax())
            rows.append(
                {
                    "class": name,
                    "label": self.labels[index],
                    "pictures": int(pictures),
                    "recall": 100 * float(right / pictures) if pictures else None,
                    "precision": 100 * float(right / predicted) if predicted else None,
                    "most_taken_for": self.labels[worst] if others[worst] else None,
                    "times": int(others[worst]),
                }
            )
        return rows

    def summary(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return {
            "pictures": len(self.targets),
            "failed": len(self.failures),
            "top1_error": self.top1_error,
            **({"top5_error": self.top5_error} if len(self.classes) > TOP else {}),
            "calibration_error": self.calibration_error,
            **({} if self.unknown is None else {"unknown": self.unknown.summary()}),
            "calibration": [
                {"pictures": count, "confidence": confidence, "accuracy": accuracy}
                for count, confidence, accuracy in self.calibration()
            ],
            "classes": self.per_class(),
        }


def evaluate(
    model: str | os.PathLike[str] | Model,
    data: str | os.PathLike[str],
    by: By = "engine",
    out: str | os.PathLike[str] | None = None,
    *,
    all: bool = False,
    labels: str | os.PathLike[str] | None = None,
    unknown: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Evaluation:
    """Runs ``model`` over ``data``/val, or ``data`` itself if it holds class folders; the folders' names are the truth.

    Where ``data`` has no val/ and the model was trained on it, only the part that training split off is measured.

    Args:
        model: a model, or what `load_model` takes.
        by: "engine", or "pytorch" for the PyTorch network with the same weights, or its emulation in 8 bits.
        out: a folder for tables and images, as `write` fills it.
        all: every picture of a folder without val/, also those that the model was trained on.
        labels: a text file that names the model's classes, as `read_names` reads it, in place of what the model says.
        unknown: a folder of pictures of other things, which the model should be less sure of.
        progress: told pictures done and pictures in all.

    Raises:
        ModelFileError: the model can't be used.
        ValueError: ``labels`` can't be read, or has more or fewer classes than the model.
        DataError: a class folder that the model does not know, no pictures, or none that it was not trained on.
        OSError: ``out`` can't be written.
    """
    root = Path(data)
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)  # fails now rather than after the measurement
    if not isinstance(model, Model):
        model = load_model(model)
    if labels is not None:
        folders, texts = read_names(Path(labels), model.graph.classes)
        model = replace(model, classes=folders, labels=texts)
    split = pictures_to_measure(root, model.classes, model.training, all)
    run = Engine(model).run if by == "engine" else _pytorch(model)
    model_file.check_finite(model.graph.name, run(model_file.test_input(model.preprocessing)[None]))

    others = [] if unknown is None else pictures_below(Path(unknown))
    kept, (top, probabilities, known), failures = _answers(model, run, split.pictures, root, progress)
    unknown_ones = None
    if unknown is not None:
        _, (_, _, confidences), messages = _answers(model, run, others, Path(unknown), progress)
        unknown_ones, failures = Unknown(known, confidences), failures + messages
    evaluation = Evaluation(
        classes=model.classes,
        labels=model.labels,
        pictures=[split.pictures[place] for place in kept],
        targets=split.targets[kept],
        top=top,
        top_probabilities=probabilities,
        known=known,
        failures=failures,
        split_off=split.split_off,
        unknown=unknown_ones,
        caution=caution(model.training),
    )
    if out is not None:
        write(evaluation, Path(out))
    return evaluation


def _answers(
    model: Model, run: Run, pictures: list[Picture], root: Path, progress: Callable[[int, int], None]
) -> tuple[list[int], _Best, list[str]]:
    """The places of the pictures that can be read, what the network says about them, and a message for each other.

    Raises:
        DataError: there is none, in ``root``.
    """

    def chunk(start: int) -> tuple[list[int], _Best, list[str]]:
        places, inputs, failures = [], [], []
        for place in range(start, min(start + _CHUNK, len(pictures))):
            try:
                picture = pictures[place].decode(model.preprocessing.resize)
                inputs.append(preprocess(picture, model.preprocessing))
                places.append(place)
            except images.ImageError as error:
                failures.append(str(error))
        logits = run(np.stack(inputs)) if inputs else np.zeros((0, model.graph.classes), dtype=np.float32)
        finite: list[bool] = [bool(np.isfinite(row).all()) for row in logits]
        for place, good in zip(places, finite, strict=True):
            if not good:
                failures.append(f"{printable(pictures[place].name)}: the network's logits of it are not finite")
        best = _best(logits[finite], model.training)
        return [place for place, good in zip(places, finite, strict=True) if good], best, failures

    kept: list[int] = []
    parts: list[_Best] = []
    failures: list[str] = []
    for places, best_of_chunk, messages in map_in_order(chunk, range(0, len(pictures), _CHUNK)):
        kept += places
        parts.append(best_of_chunk)
        failures += messages
        progress(len(kept) + len(failures), len(pictures))
    if not kept:
        raise DataError(f"{root}: none of its {len(pictures)} pictures can be read, such as {failures[0]}")
    top, probabilities, known = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return kept, (top, probabilities, known), failures


def write(evaluation: Evaluation, out: Path) -> None:
    """Into the folder ``out``: evaluation.json, classes.csv, confusion.png, and mistakes.png if there are any.

    Where pictures of other things were looked at, unknown.csv and unknown.png as well.

    Raises:
        OSError: it can't be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    rows = evaluation.per_class()
    writer = csv.DictWriter(table, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write_text(out / "evaluation.json", json.dumps(evaluation.summary(), indent=2, allow_nan=False) + "\n")
    _write_text(out / "classes.csv", table.getvalue())
    confusion.draw(evaluation.confusion(), evaluation.labels, out / "confusion.png")
    if evaluation.unknown is not None:
        _write_text(out / "unknown.csv", evaluation.unknown.csv())
        evaluation.unknown.draw(out / "unknown.png")
    mistakes = list(mistaken(evaluation))
    if mistakes:
        sheet.contact_sheet(mistakes, out / "mistakes.png")
    else:
        (out / "mistakes.png").unlink(missing_ok=True)  # of an earlier model


def table(evaluation: Evaluation) -> str:
    """The figures as text: every class, or of many classes those with the lowest recall."""
    every = evaluation.per_class()
    rows = sorted((row for row in every if row["pictures"]), key=lambda row: row["recall"])
    shown = rows[:_ROWS]
    width = min(40, max(len(printable(row["label"])) for row in shown))
    lines = [f"{'class':{width}} {'pictures':>8} {'recall %':>9} {'precision %':>12}  most taken for"]
    for row in shown:
        percent = [f"{row[key]:.1f}" if row[key] is not None else "-" for key in ("recall", "precision")]
        other = f"{printable(row['most_taken_for'])} ({row['times']})" if row["times"] else ""
        label = printable(row["label"])[:width]
        lines.append(f"{label:{width}} {row['pictures']:8,} {percent[0]:>9} {percent[1]:>12}  {other}".rstrip())
    if len(rows) > len(shown):
        lines.append(f"... and {len(rows) - len(shown)} classes of higher recall (all: --out or --json)")
    if len(every) > len(rows):
        lines.append(f"{len(every) - len(rows)} classes of the model have no pictures here")
    lines += [
        "",
        f"{len(evaluation.targets):,} pictures of {len(evaluation.classes)} classes"
        + (", those that training split off for validation" if evaluation.split_off else ""),
        f"top-1 error        {evaluation.top1_error:6.2f} %",
        *([f"top-5 error        {evaluation.top5_error:6.2f} %"] if len(evaluation.classes) > TOP else []),
        f"calibration error  {evaluation.calibration_error:6.2f} %",
        *(["", evaluation.unknown.table()] if evaluation.unknown is not None else []),
    ]
    return "\n".join(lines)


def _best(logits: NDArray[np.float32], training: Mapping[str, Any]) -> _Best:
    """The best classes of each row and their probabilities, best first, and how sure the model is of each row."""
    top = np.argsort(-logits, axis=1, kind="stable")[:, :TOP].copy()  # of all the classes nothing stays
    return top, np.take_along_axis(softmax(logits), top, axis=1), confidence(logits, training)


def mistaken(evaluation: Evaluation) -> Iterator[tuple[images.Source, Prediction]]:
    """The wrong answers that the model was most sure of."""
    wrong = np.flatnonzero(evaluation.top[:, 0] != evaluation.targets)
    for place in wrong[np.argsort(-evaluation.top_probabilities[wrong, 0], kind="stable")][:_MISTAKES].tolist():
        picture = evaluation.pictures[place]
        truth = evaluation.labels[evaluation.targets[place]]
        best = evaluation.top[place].tolist()
        yield (
            picture.source(),
            Prediction(
                source=f"is {truth}: {os.path.basename(picture.name)}".replace(os.sep, " "),
                class_indices=tuple(best),
                labels=tuple(evaluation.labels[index] for index in best),
                probabilities=tuple(evaluation.top_probabilities[place].tolist()),
                decode_ms=0,
                preprocess_ms=0,
                network_ms=0,
            ),
        )


def _pytorch(model: Model) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    import torch

    from shufflenet.networks.module import module_with_weights
    from shufflenet.networks.quantized import pixel_input
    from shufflenet.quantization.emulation import Emulation

    if model.quantized is not None:
        pixels = pixel_input(model.preprocessing.mean, model.preprocessing.std)
        return Emulation(model.graph, model.quantized, pixels).run
    network = module_with_weights(model)

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(x)).numpy()
        return logits

    return run


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
