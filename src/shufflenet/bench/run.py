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
from shufflenet.bench import processor
from shufflenet.bench.case import Case
from shufflenet.bench.peak import Peak
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, Precision, Reduced, Run, Runtime, UnavailableError
from shufflenet.exporters.converting import quiet

# Largest difference of a logit relative to the largest logit. Sums of a few hundred float32 in another order differ by
# 1e-6.
MAX_ERROR = 1e-4

# Below float32 logits differ by more, and the best classes of pictures are compared instead. Rounding moves pictures
# that are near to another class, as many are for random weights; networks that went wrong agree on few.
LEAST_AGREEMENT = 0.5

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
    precision: Precision
    threads: int
    batch: int
    height: int
    width: int
    macs: int  # multiply-adds of the whole batch
    ms: float | None  # median for the batch; None: not timed, see ``problem``
    max_error: float | None  # largest difference of a logit from PyTorch's, relative to the largest logit
    problem: str | None = None  # why it was not timed
    available: bool = True  # false: the runtime lacks what the precision needs, as ``problem`` says
    agreement: float | None = None  # below float32: share of pictures with the class of float32, 0 to 1

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
    int8_peak_gmacs_per_s: float | None = None  # the same in 8 bits; None: nothing was timed in 8 bits

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
        peaks = document["peak_gmacs_per_s"], document.get("int8_peak_gmacs_per_s")
        return cls(document["machine"], document["versions"], peaks[0], rows, peaks[1])

    def share_of_peak(self, row: Row) -> float | None:
        """The row's rate as a share (0 to 1) of the peak of as many cores as it has threads, at its precision.

        None: it was not timed, or no peak was measured at its precision.
        """
        peak = {FLOAT32: self.peak_gmacs_per_s, INT8: self.int8_peak_gmacs_per_s}.get(row.precision)
        rate = row.gmacs_per_s
        return None if rate is None or peak is None else rate / (peak * row.threads)

    def ours(self, row: Row) -> Row | None:
        """The engine's row of the same case; of two precisions the lower one."""
        rows = [other for other in self.rows if other.runtime == OURS and same_case(other, row)]
        return min(rows, key=lambda other: other.precision == FLOAT32, default=None)

    def ratio_to_ours(self, row: Row) -> float | None:
        """The row's time over that of `ours`; None if either was not timed."""
        ours = self.ours(row)
        if ours is None or ours.ms is None or row.ms is None:
            return None
        return row.ms / ours.ms


def same_case(a: Row, b: Row) -> bool:
    """Whether both rows are of the same network, input and number of threads."""
    return (a.model, a.threads, a.batch, a.height, a.width) == (b.model, b.threads, b.batch, b.height, b.width)


def bench(cases: Iterable[Case], runtimes: Sequence[Runtime], rounds: int, status: Status = lambda _: None) -> Results:
    """Times every runtime on every case, ``rounds`` turns each; the rows are in the order of cases and runtimes.

    A runtime that fails or whose logits differ from PyTorch's by more than `MAX_ERROR` is not timed; its row has the
    reason in ``problem``. Below float32, where cases need samples, the classes of at least `LEAST_AGREEMENT` of them
    must be float32's.
    """
    versions = {runtime.name: runtime.version() for runtime in runtimes}
    results = Results(machine(), versions | {"python": platform.python_version(), "numpy": np.__version__})
    peaks = [Peak()] + [Peak(int8=True)] * any(runtime.precision == INT8 for runtime in runtimes)
    for case in cases:
        prepared = [_prepare(runtime, case, status) for runtime in runtimes]
        status(f"{case.name} {case.height}x{case.width}: timing")
        times: dict[Run, list[float]] = {run: [] for _, runs in prepared for run in runs}
        order = list(times)
        for _ in range(rounds):
            for peak in peaks:
                peak.sample()
            for run in order:
                times[run] += _turn(run, case.threads)
            order = order[1:] + order[:1]  # in case the first place of a round is favoured
        for row, runs in prepared:
            if runs:
                best = min(runs, key=lambda run: statistics.median(times[run]))
                row.ms, row.agreement = 1000 * statistics.median(times[best]), runs[best]
            results.rows.append(row)
    results.peak_gmacs_per_s, *of_int8 = [peak.gmacs_per_s for peak in peaks]
    results.int8_peak_gmacs_per_s = of_int8[0] if of_int8 else None
    return results


def machine() -> dict[str, Any]:
    """The processor, system and package version that figures hold for."""
    return {
        "processor": processor.name(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "shufflenet": __version__,
    }


def _prepare(runtime: Runtime, case: Case, status: Status) -> tuple[Row, dict[Run, float | None]]:
    """The runtime's row, and the agreement of each of its configurations' runs; no runs if it fails or is wrong."""
    status(f"{case.name} {case.height}x{case.width}: preparing {runtime.name} in {runtime.precision}")
    row = Row(
        case.name, runtime.name, runtime.precision, case.threads, case.batch, case.height, case.width, case.macs,
        ms=None, max_error=None,
    )  # fmt: skip
    logits = case.logits  # outside of try: without PyTorch's logits there is no comparison at all
    try:
        with quiet():
            if runtime.precision == FLOAT32:
                return row, dict.fromkeys(_right(row, runtime.runs(case), logits))
            return row, _agreeing(row, runtime.reduced(case), case)
    except UnavailableError as lack:
        row.problem, row.available = str(lack), False
    except Exception as failure:  # another project's converter may raise anything; the other rows go on
        row.problem = f"failed: {type(failure).__name__}: {failure}".splitlines()[0][:_MAX_PROBLEM]
    return row, {}


def _right(row: Row, runs: Sequence[Run], logits: NDArray[np.float32]) -> Sequence[Run]:
    """The runs if all of them give the logits; else none, and the row says so."""
    # Each runs twice: a run must leave the input as it was.
    error = float(np.max([error_of(run(), logits) for run in runs for _ in range(2)]))
    row.max_error = error if math.isfinite(error) else None  # JSON has no infinity and no NaN
    if error <= MAX_ERROR:
        return runs
    row.problem = f"wrong: differs from PyTorch by {error:.1e} of the largest logit"
    return []


def _agreeing(row: Row, configurations: Sequence[Reduced], case: Case) -> dict[Run, float | None]:
    """The runs whose classes agree with float32's, and how far they do; if there are none, the row says so."""
    agreements = {each.run: _agreement(each, case) for each in configurations}
    best = max(agreements.values())
    if best < LEAST_AGREEMENT:
        row.agreement, row.problem = best, f"wrong: gives float32's class for {100 * best:.0f} % of the pictures"
    return {run: agreement for run, agreement in agreements.items() if agreement >= LEAST_AGREEMENT}


def _agreement(reduced: Reduced, case: Case) -> float:
    assert case.samples is not None
    best = []
    for x in case.samples.compared.reshape(-1, *case.x.shape):
        reduced.set_input(x)
        best.append(reduced.run().argmax(axis=1))
    reduced.set_input(case.x)
    return float(np.mean(np.concatenate(best) == case.classes))


def error_of(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
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
