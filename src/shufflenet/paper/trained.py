"""Small-scale errors of trained networks, kept as trained.json in a folder of results."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shufflenet.atomic_file import write_json

KEPT = Path(__file__).parent / "results"  # the results that come with the package
_NAME = "trained.json"


class ResultsError(ValueError):
    """A file of results can't be used. The message names the file and the reason."""


@dataclass(frozen=True)
class Run:
    """A network trained with one seed; its errors are in percent of the validation pictures."""

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
    deviation: float | None  # standard deviation in points; None: a single run
    runs: int


@dataclass
class Trained:
    """All runs of a folder of results."""

    settings: dict[str, Any]  # data, preprocessing and recipe, which all runs share; empty: no run yet
    runs: list[Run]

    def find(self, network: str, seed: int) -> Run | None:
        """The run of ``network`` with ``seed``; None if there is none."""
        return next((run for run in self.runs if (run.network, run.seed) == (network, seed)), None)

    def mean(self, network: str) -> Mean | None:
        """The top-1 error of ``network`` over its seeds; None if it was not trained."""
        return _mean([run.top1_error for run in self.runs if run.network == network])

    def mean_gain(self, network: str, over: str) -> Mean | None:
        """Top-1 error of ``over`` less that of ``network``, in points, over pairs of equal seed; None: no pair."""
        pairs = ((run, self.find(over, run.seed)) for run in self.runs if run.network == network)
        return _mean([other.top1_error - run.top1_error for run, other in pairs if other is not None])

    def describe(self) -> str:
        """A sentence that says how the networks were trained and validated."""
        data, size = self.settings, self.settings["preprocessing"]["size"]
        return (
            f"Small-scale error: top-1 on {data['val']['pictures']:,} validation pictures of {data['data']} "
            f"({data['classes']} classes, {data['train']['pictures']:,} training pictures) at {size} x {size} pixels, "
            f"stem stride 1, {data['recipe']['epochs']} epochs of one recipe for all; mean and standard deviation over "
            "the seeds."
        )

    def save(self, folder: Path) -> None:
        """Writes trained.json to ``folder``.

        Raises:
            OSError: it can't be written; an earlier file is left as it was.
        """
        runs = sorted(self.runs, key=lambda run: (run.network, run.seed))
        write_json(folder / _NAME, {"settings": self.settings, "runs": [asdict(run) for run in runs]})


def load(folder: Path) -> Trained:
    """The runs that `Trained.save` wrote to ``folder``; no settings and no runs if there is no file yet.

    Raises:
        ResultsError: the file is damaged.
    """
    path = folder / _NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = Trained(document["settings"], [Run(**run) for run in document["runs"]])
        found.describe()
        statistics.fmean([0.0, *(run.top1_error for run in found.runs)])  # both raise if something is missing
        return found
    except FileNotFoundError:
        return Trained({}, [])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path}: can't be used as results of training ({error})") from None


def _mean(values: list[float]) -> Mean | None:
    """Mean and standard deviation; None of no values."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Mean(statistics.fmean(values), deviation, len(values))
