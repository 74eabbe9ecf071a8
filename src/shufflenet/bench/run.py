"""The comparison of runtimes: checks the logits of each against PyTorch's, then times all of them in turns."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet import __version__
from shufflenet.bench.case import Case
from shufflenet.bench.peak import Peak
from shufflenet.bench.runtime import OURS, Run, Runtime
from shufflenet.exporters.converting import quiet

# Largest difference of a logit relative to the largest logit. Sums of a few hundred float32 in another order differ by
# 1e-6.
MAX_ERROR = 1e-4
PRECISION = "float32"

_MAX_PROBLEM = 200  # characters
_TURN_SECONDS = 0.02  # timed runs of one turn
_WARM_SECONDS = 0.01  # untimed runs before them: caches are filled, threads awake, and the core's clock has risen
_MAX_RUNS_OF_TURN = 10
_SETTLE_SECONDS = 0.03  # by then the previous runtime's threads have stopped spinning

Status = Callable[[str], None]  # shows what is under way


@dataclass
class Row:
    """One runtime on one case. These fields are the keys of a row in the JSON file."""

    model: str
    runtime: str
    precision: str
    threads: int
    batch: int
    height: int
    width: int
    macs: int  # multiply-adds of the whole batch
    ms: float | None  # median for the batch; None: not timed, see ``problem``
    max_error: float | None  # largest difference of a logit from PyTorch's, relative to the largest logit
    problem: str | None = None  # why it was not timed

    @property
    def gmacs_per_s(self) -> float | None:
        """Billion multiply-adds per second; None: not timed."""
        return None if self.ms is None else self.macs / self.ms / 1e6


@dataclass
class Results:
    """All rows, with the machine and the versions that they hold for."""

    machine: dict[str, Any]
    versions: dict[str, str]  # of runtimes, Python and numpy, by name
    peak_gmacs_per_s: float = 0.0  # sustained by one core
    rows: list[Row] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The results for JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Results:
        """The results that `document` was called on.

        Raises:
            KeyError, TypeError: ``document`` lacks a field or has one too many.
        """
        rows = [Row(**row) for row in document["rows"]]
        return cls(document["machine"], document["versions"], document["peak_gmacs_per_s"], rows)

    def share_of_peak(self, row: Row) -> float | None:
        """The row's rate as a share (0 to 1) of the peak of as many cores as it has threads; None: not timed."""
        rate = row.gmacs_per_s
        return None if rate is None else rate / (self.peak_gmacs_per_s * row.threads)

    def ratio_to_ours(self, row: Row) -> float | None:
        """The row's time over the engine's in the same case; None if either was not timed."""
        ours = next((other for other in self.rows if other.runtime == OURS and same_case(other, row)), None)
        if ours is None or ours.ms is None or row.ms is None:
            return None
        return row.ms / ours.ms


def same_case(a: Row, b: Row) -> bool:
    """Whether both rows are of the same network, input and number of threads."""
    return (a.model, a.threads, a.batch, a.height, a.width) == (b.model, b.threads, b.batch, b.height, b.width)


def bench(cases: Iterable[Case], runtimes: Sequence[Runtime], rounds: int, status: Status = lambda _: None) -> Results:
    """Times every runtime on every case, ``rounds`` turns each; the rows are in the order of cases and runtimes.

    A runtime that fails or whose logits differ from PyTorch's by more than `MAX_ERROR` is not timed; its row has the
    reason in ``problem``.
    """
    versions = {runtime.name: runtime.version() for runtime in runtimes}
    results = Results(machine(), versions | {"python": platform.python_version(), "numpy": np.__version__})
    peak = Peak()
    for case in cases:
        prepared = [_prepare(runtime, case, status) for runtime in runtimes]
        status(f"{case.name} {case.height}x{case.width}: timing")
        times: dict[Run, list[float]] = {run: [] for _, runs in prepared for run in runs}
        order = list(times)
        for _ in range(rounds):
            peak.sample()
            for run in order:
                times[run] += _turn(run, case.threads)
            order = order[1:] + order[:1]  # in case the first place of a round is favoured
        for row, runs in prepared:
            row.ms = min((1000 * statistics.median(times[run]) for run in runs), default=None)
            results.rows.append(row)
    results.peak_gmacs_per_s = peak.gmacs_per_s
    return results


def machine() -> dict[str, Any]:
    """The processor, system and package version that figures hold for."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "shufflenet": __version__,
    }


def _prepare(runtime: Runtime, case: Case, status: Status) -> tuple[Row, list[Run]]:
    """The runtime's row, and a run for each of its configurations; no runs if one of them fails or is wrong."""
    status(f"{case.name} {case.height}x{case.width}: preparing {runtime.name}")
    row = Row(
        case.name, runtime.name, PRECISION, case.threads, case.batch, case.height, case.width, case.macs,
        ms=None, max_error=None,
    )  # fmt: skip
    logits = case.logits  # outside of try: without PyTorch's logits there is no comparison at all
    try:
        with quiet():
            runs = runtime.runs(case)
            # Each runs twice: a run must leave the input as it was.
            error = float(np.max([_error(run(), logits) for run in runs for _ in range(2)]))
    except Exception as failure:  # another project's converter may raise anything; the other rows go on
        row.problem = f"failed: {type(failure).__name__}: {failure}".splitlines()[0][:_MAX_PROBLEM]
        return row, []
    row.max_error = error if math.isfinite(error) else None  # JSON has no infinity and no NaN
    if not error <= MAX_ERROR:
        row.problem = f"wrong: differs from PyTorch by {error:.1e} of the largest logit"
        return row, []
    return row, runs


def _error(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    """Largest difference of a logit, relative to the largest logit; both are [batch, classes]."""
    if got.shape != want.shape:
        raise ValueError(f"gives logits {list(got.shape)}, not {list(want.shape)}")
    return float(np.abs(got - want).max() / np.abs(want).max())


def _turn(run: Run, threads: int) -> list[float]:
    """Seconds of each run of one turn; the warm-up runs before them are left out."""
    if threads > 1:
        sleep(_SETTLE_SECONDS)
    warm_at = perf_counter() + _WARM_SECONDS
    run()
    while perf_counter() < warm_at:
        run()
    times: list[float] = []
    while not times or (sum(times) < _TURN_SECONDS and len(times) < _MAX_RUNS_OF_TURN):
        began = perf_counter()
        run()
        times.append(perf_counter() - began)
    return times


def _processor() -> str:
    """Name of the processor, with family and model on x86-64, for example "AMD EPYC (cpu family 25, model 17)"."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    named = {key.strip(): value.strip() for key, value in fields.items()}
    name = named.get("model name", platform.machine())
    family = [f"{key} {named[key]}" for key in ("cpu family", "model") if key in named]
    return f"{name} ({', '.join(family)})" if family else name
