"""`shufflenet paper tableN --train`: trains the networks of a table and keeps their errors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from shufflenet import __version__
from shufflenet.bench.run import machine
from shufflenet.paper import small_scale, trained
from shufflenet.paper.trained import ResultsError, Run, Trained
from shufflenet.training.job import Job, prepare
from shufflenet.training.recipe import Recipe, completed
from shufflenet.training.train import train_job


def train_networks(
    names: Sequence[str],
    data: Path,
    folder: Path,
    log: Callable[[str], None],
    recipe: Recipe = small_scale.RECIPE,
    seeds: Iterable[int] = small_scale.SEEDS,
) -> Trained:
    """Trains each network with each seed, seed by seed; runs that ``folder`` has results of are not repeated.

    Every run has a run folder of its own in ``folder``; an interrupted run continues from its checkpoint.

    Args:
        names: networks of `small_scale.network`.
        data: data folder, as `shufflenet train` takes.
        log: called with a line about each finished run.

    Raises:
        ResultsError: ``folder`` holds results of other data or another recipe.
        stop.Stopped, and all errors of `job.prepare` and `train.train_job`: see there.
    """
    plain = prepare(data, recipe, size=small_scale.SIZE)
    wanted = [(name, seed) for seed in seeds for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in wanted:
        if _kept(folder, plain).find(name, seed) is not None:
            continue
        job = _job(plain, name, seed)
        result = train_job(job, folder / f"{name}-seed{seed}", cache=folder / "cache").result()
        assert result is not None
        run = Run(name, seed, round(result[0], 3), round(result[1], 3), machine()["processor"], _versions())
        kept = _kept(folder, plain)  # read anew, since another process may have added runs
        kept.runs.append(run)
        kept.save(folder)
        log(f"{name}, seed {seed}: top-1 error {run.top1_error:.2f} %, top-5 {run.top5_error:.2f} %")
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return _kept(folder, plain)


def _kept(folder: Path, job: Job) -> Trained:
    """The runs in ``folder``; raises ResultsError if they are of other data or another recipe than ``job``'s."""
    settings = _settings(job)
    kept = trained.load(folder)
    if not kept.settings:
        return Trained(settings, [])
    recipe = completed(kept.settings["recipe"])
    del recipe["seed"]
    kept.settings["recipe"] = recipe
    if kept.settings != settings:
        raise ResultsError(f"{folder}: holds results of other data or another recipe; choose another --results")
    return kept


def _job(plain: Job, name: str, seed: int) -> Job:
    network = small_scale.network(name, plain.graph.classes)
    return replace(plain, graph=network.graph(), recipe=replace(plain.recipe, seed=seed))


def _settings(job: Job) -> dict[str, Any]:
    """What all runs share and their results depend on: the data, the preprocessing and the recipe."""
    dataset = job.dataset
    recipe = asdict(job.recipe)
    del recipe["seed"]
    return {
        "data": dataset.root.resolve().name,
        "classes": len(dataset.classes),
        "train": {"pictures": len(dataset.train), "fingerprint": dataset.train.fingerprint()},
        "val": {"pictures": len(dataset.val), "fingerprint": dataset.val.fingerprint()},
        "preprocessing": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(job.preprocessing).items()},
        "recipe": {key: list(value) if isinstance(value, tuple) else value for key, value in recipe.items()},
    }


def _versions() -> dict[str, str]:
    return {"shufflenet": __version__, "torch": torch.__version__}
