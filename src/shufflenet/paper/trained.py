"""Errors of the networks that were trained by `small_scale`, kept as JSON: trained.json in a folder of results."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shufflenet.atomic_file import atomic_file

KEPT = Path(__file__).parent / "results"  # what comes with the package
_NAME = "trained.json"


class ResultsError(ValueError):
    """A file of results can't be used. The message names it and says why."""


@dataclass(frozen=True)
class Run:
    """One trained network; errors in percent of the validation pictures."""

    network: str
    seed: int
    top1_error: float
    top5_error: float
    processor: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Mean:
    """Top-1 error of a network in percent, over ``runs`` seeds."""

    error: float
    deviation: float | None  # standard deviation; None of a single run
    runs: int


@dataclass
class Trained:
    """``settings``: data, input and recipe, which all runs share."""

    settings: dict[str, Any]
    runs: list[Run]

    def find(self, network: str, seed: int) -> Run | None:
        return next((run for run in self.runs if (run.network, run.seed) == (network, seed)), None)

    def mean(self, network: str) -> Mean | None:
        """None: it was not trained."""
        return _mean([run.top1_error for run in self.runs if run.network == network])

    def mean_gain(self, network: str, over: str) -> Mean | None:
        """By how much the error of ``network`` is below that of ``over``, seed by seed."""
        pairs = ((run, self.find(over, run.seed)) for run in self.runs if run.network == network)
        return _mean([other.top1_error - run.top1_error for run, other in pairs if other is not None])

    def describe(self) -> str:
        """How the errors came about, in a sentence."""
        data, size = self.settings, self.settings["preprocessing"]["size"]
        return (
            f"Small-scale error: top-1 on {data['val']['pictures']:,} validation pictures of {data['data']} "
            f"({data['classes']} classes, {data['train']['pictures']:,} training pictures) at {size} x {size} pixels, "
            f"stem stride 1, {data['recipe']['epochs']} epochs of one recipe for all; mean and standard deviation over "
            "the seeds."
        )

    def save(self, folder: Path) -> None:
        """Raises OSError if it can't be written; an earlier file stays whole then."""
        runs = sorted(self.runs, key=lambda run: (run.network, run.seed))
        text = json.dumps({"settings": self.settings, "runs": [asdict(run) for run in runs]}, indent=1)
        with atomic_file(folder / _NAME) as file:
            file.write(f"{text}\n".encode())


def load(folder: Path) -> Trained:
    """What `Trained.save` wrote there; without settings and runs if that is nothing yet.

    Raises:
        ResultsError: the file is damaged.
    """
    path = folder / _NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = Trained(document["settings"], [Run(**run) for run in document["runs"]])
        found.describe()
        statistics.fmean([0.0, *(run.top1_error for run in found.runs)])  # both only to see that they can be done
        return found
    except FileNotFoundError:
        return Trained({}, [])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path}: can't be used as results of training ({error})") from None


def _mean(values: list[float]) -> Mean | None:
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Mean(statistics.fmean(values), deviation, len(values))
