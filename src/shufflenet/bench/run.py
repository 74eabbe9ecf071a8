"""The measurement: compare every runtime with PyTorch, then time them in turns."""

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
from shufflenet.export.converting import quiet

# Of the largest logit. Sums of a few hundred float32 in another order differ by 1e-6.
MAX_ERROR = 1e-4
PRECISION = "float32"

_MAX_PROBLEM = 200  # characters
_TURN_SECONDS = 0.02  # what a runtime runs before it is the next one's turn
_WARM_SECONDS = 0.01  # and untimed before: then caches are filled, threads awake, and a core that slept is at its clock
_MAX_RUNS_OF_TURN = 10
_SETTLE_SECONDS = 0.03  # threads that spin in wait for the next task have gone to sleep by then

Status = Callable[[str], None]


@dataclass
class Row:
    """One runtime on one case; ``ms`` is the median, and None if ``problem`` says why it was not timed."""

    model: str
    runtime: str
    precision: str
    threads: int
    batch: int
    height: int
    width: int
    macs: int  # of the whole batch
    ms: float | None
    max_error: float | None  # against PyTorch, relative to the largest logit
    problem: str | None = None

    @property
    def gmacs_per_s(self) -> float | None:
        return None if self.ms is None else self.macs / self.ms / 1e6


@dataclass
class Results:
    machine: dict[str, Any]
    versions: dict[str, str]
    peak_gmacs_per_s: float = 0.0  # of one core
    rows: list[Row] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON: every `Row` and the rest."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Results:
        """Raises: KeyError, TypeError: not what `document` gives."""
        rows = [Row(**row) for row in document["rows"]]
        return cls(document["machine"], document["versions"], document["peak_gmacs_per_s"], rows)

    def share_of_peak(self, row: Row) -> float | None:
        rate = row.gmacs_per_s
        return None if rate is None else rate / (self.peak_gmacs_per_s * row.threads)

    def ratio_to_ours(self, row: Row) -> float | None:
        """How many times our time; None if either was not timed."""
        ours = next((other for other in self.rows if other.runtime == OURS and same_case(other, row)), None)
        if ours is None or ours.ms is None or row.ms is None:
            return None
        return row.ms / ours.ms


def same_case(a: Row, b: Row) -> bool:
    return (a.model, a.threads, a.batch, a.height, a.width) == (b.model, b.threads, b.batch, b.height, b.width)


def bench(cases: Iterable[Case], runtimes: Sequence[Runtime], rounds: int, status: Status = lambda _: None) -> Results:
    """Times every runtime on every case, ``rounds`` turns each. A wrong or failing one gets a row that says so."""
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
            order = order[1:] + order[:1]  # on a busy machine the first may fare better, so each is in its turn
        for row, runs in prepared:
            row.ms = min((1000 * statistics.median(times[run]) for run in runs), default=None)
            results.rows.append(row)
    results.peak_gmacs_per_s = peak.gmacs_per_s
    return results


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "shufflenet": __version__,
    }


def _prepare(runtime: Runtime, case: Case, status: Status) -> tuple[Row, list[Run]]:
    """The runtime's row, and a run for each of its configurations if all are right."""
    status(f"{case.name} {case.height}x{case.width}: preparing {runtime.name}")
    row = Row(
        case.name, runtime.name, PRECISION, case.threads, case.batch, case.height, case.width, case.macs,
        ms=None, max_error=None,
    )  # fmt: skip
    logits = case.logits  # PyTorch's: without them there is nothing to compare with, so it is not the row's failure
    try:
        with quiet():
            runs = runtime.runs(case)
            # Twice: the first must not spoil the input.
            error = float(np.max([_error(run(), logits) for run in runs for _ in range(2)]))
    except Exception as failure:  # whatever another project's converter raises concerns its row only
        row.problem = f"failed: {type(failure).__name__}: {failure}".splitlines()[0][:_MAX_PROBLEM]
        return row, []
    row.max_error = error if math.isfinite(error) else None  # JSON has no other numbers
    if not error <= MAX_ERROR:
        row.problem = f"wrong: differs from PyTorch by {error:.1e} of the largest logit"
        return row, []
    return row, runs


def _error(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    if got.shape != want.shape:
        raise ValueError(f"gives logits {list(got.shape)}, not {list(want.shape)}")
    return float(np.abs(got - want).max() / np.abs(want).max())


def _turn(run: Run, threads: int) -> list[float]:
    """Seconds of a few runs, behind some that do not count."""
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
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    named = {key.strip(): value.strip() for key, value in fields.items()}
    name = named.get("model name", platform.machine())
    family = [f"{key} {named[key]}" for key in ("cpu family", "model") if key in named]
    return f"{name} ({', '.join(family)})" if family else name
