"""A classifier from few pictures without training: the features of a model, and a last layer found in closed form.

Ridge regression of the classes, as vectors with a single 1, on the features: a picture gets the class whose vector its
answer is nearest to. The result is an ordinary network, which every command and export takes.

Letters: N pictures, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shufflenet import model_file
from shufflenet.engine.engine import Engine
from shufflenet.features import feature_model, with_classifier
from shufflenet.known import Calibrated, calibrate, record
from shufflenet.networks.model import Model
from shufflenet.pictures.dataset import DataError, Split
from shufflenet.pictures.images import ImageError
from shufflenet.pictures.preprocessing import Preprocessing, preprocess
from shufflenet.threads import map_in_order
from shufflenet.training import result
from shufflenet.training.job import Job
from shufflenet.training.progress import Progress, shown_errors
from shufflenet.training.run_folder import RunFolder

PENALTY = 1.0  # times the mean eigenvalue of the features' scatter

Tell = Callable[[str, int, int], None]  # told what is being done, how many pictures are, and of how many


@dataclass(frozen=True)
class Nearest:
    """The network, and what it was found by."""

    model: Model
    calibrated: Calibrated
    train: int  # pictures that could be read
    val_features: NDArray[np.float32]  # [N, F]
    val_targets: NDArray[np.int64]  # [N]
    failures: list[str]  # a message for each picture that can't be read


def fit(job: Job, start: Model, skip_broken: bool, tell: Tell) -> Nearest:
    """Finds the last layer for the job's classes on the features of ``start``.

    Raises:
        DataError: a picture can't be read, unless ``skip_broken``; or no picture of a class is left.
        ValueError: ``start`` is in 8 bits, or has no features, see `feature_model`.
    """
    start.require_float()
    shown = replace(start, preprocessing=job.preprocessing)
    run = Engine(feature_model(shown)).run
    classes = len(job.dataset.classes)
    failures: list[str] = []
    sums = _Sums(classes)
    for rows, target in _features(job.dataset.train, run, job.preprocessing, job.recipe.flip, failures, "train", tell):
        sums.add(rows, target)
    rows_and_targets = list(_features(job.dataset.val, run, job.preprocessing, False, failures, "val", tell))
    if failures and not skip_broken:
        raise DataError(
            f"{failures[0]} ({len(failures)} in all); repair or remove them, or leave them out with --skip-broken"
        )
    if not rows_and_targets or not sums.counts.all():
        raise DataError(f"{job.dataset.root}: a class has no picture that can be read, or val has none")
    val = np.concatenate([rows for rows, _ in rows_and_targets])
    targets = np.array([target for _, target in rows_and_targets])
    weight, bias = sums.solve()
    # Features that were not trained on these pictures are no larger for them than for others.
    found = calibrate(weight, bias, None, val, targets)
    train = int(sums.counts.sum()) // (1 + job.recipe.flip)
    return Nearest(with_classifier(shown, found.weight, found.bias), found, train, val, targets, failures)


def train_job(job: Job, out: Path, command: str, skip_broken: bool) -> RunFolder:
    """Fits, and writes the model file and the errors into the run folder ``out``, which it returns.

    Raises:
        RunFolderError: another process works there, or it holds another run.
        OSError: it can't be written.
        Everything that `fit` raises.
    """
    assert job.start is not None
    folder, progress = RunFolder(out), Progress(shown=True)
    with folder.lock():
        about = {"command": command, "seed": job.recipe.seed, "versions": result.versions()}
        folder.claim(job.settings() | {"sync_bn": True}, about)
        if folder.result() is not None and folder.model.exists():
            progress.say(f"{folder.path}: this run is finished")
            return folder
        progress.say(job.describe())
        found = fit(job, job.start, skip_broken, progress.count)
        for failure in found.failures:
            progress.say(failure)
        errors = found.calibrated.errors(found.val_features, found.val_targets)
        progress.say(f"result     {shown_errors(*errors, job.graph.classes)}")
        model_file.save(_model(job, found, errors, command, job.name or out.resolve().name), folder.model)
        folder.write_result(*errors)
    return folder


def _model(job: Job, found: Nearest, errors: tuple[float, float], command: str, run: str) -> Model:
    """The record of the network, with all that a model file holds."""
    model = found.model
    model.labels, model.classes = job.dataset.labels, job.dataset.classes
    model.self_test = Engine(model).run(model_file.test_input(model.preprocessing)[None])[0].tolist()
    model.training = result.provenance(job, found.train, command) | {"unknown": record(found.calibrated)}
    model.accuracy = {
        "data": f"{job.dataset.root.name}, {len(found.val_targets)} validation pictures",
        "top1_error": errors[0],
        "top5_error": errors[1],
    }
    model.name = result.model_name(run)
    return model


class _Sums:
    """What ridge regression needs of the pictures, so that their features need not be kept."""

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros(classes)
        self.by_class: NDArray[np.float64] | None = None  # [K, F] sums of features
        self.products: NDArray[np.float64] | None = None  # [F, F]

    def add(self, rows: NDArray[np.float32], target: int) -> None:
        x = rows.astype(np.float64)
        if self.products is None or self.by_class is None:
            self.by_class = np.zeros((len(self.counts), x.shape[1]))
            self.products = np.zeros((x.shape[1], x.shape[1]))
        self.counts[target] += len(x)
        self.by_class[target] += x.sum(axis=0)
        self.products += x.T @ x

    def solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weight [K, F] and bias [K] of the layer."""
        assert self.by_class is not None
        assert self.products is not None
        count = self.counts.sum()
        mean, share = self.by_class.sum(axis=0) / count, self.counts / count
        scatter = self.products - count * np.outer(mean, mean)
        penalty = PENALTY * max(np.trace(scatter) / len(scatter), 1e-12)
        together = self.by_class - np.outer(self.counts, mean)  # of the classes' centred vectors and centred features
        weight = np.linalg.solve(scatter + penalty * np.eye(len(scatter)), together.T).T
        return weight, share - weight @ mean


def _features(
    split: Split,
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    preprocessing: Preprocessing,
    flip: bool,
    failures: list[str],
    name: str,
    tell: Tell,
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Each picture's features, and with ``flip`` its mirror image's, [1 or 2, F]; and its class."""

    def look(place: int) -> NDArray[np.float32] | str:
        try:
            x = preprocess(split.pictures[place].decode(preprocessing.resize), preprocessing)
        except ImageError as error:
            return str(error)
        return run(np.stack([x, x[:, :, ::-1]]) if flip else x[None])

    for done, rows in enumerate(map_in_order(look, range(len(split))), start=1):
        tell(f"looking at {name}", done, len(split))
        if isinstance(rows, str):
            failures.append(rows)
        else:
            yield rows, int(split.targets[done - 1])
