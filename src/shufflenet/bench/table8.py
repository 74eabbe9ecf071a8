"""The paper's Table 8: how much of the theoretical speed-up from fewer multiply-adds arrives, on our engine."""

from __future__ import annotations

from dataclasses import dataclass

from shufflenet.arch import Architecture
from shufflenet.bench.run import Report, Results, Row, bench
from shufflenet.bench.runtime import OURS, select
from shufflenet.bench.work import make_work, random_model

SIZES = ((224, 224), (480, 640), (720, 1280))

# Milliseconds at SIZES on one thread of a Snapdragon 820 (arXiv 1707.01083, Table 8). The last is the one that the
# others are compared with.
PAPER_MS = {
    "shufflenet_g3_x0_5": (15.2, 87.4, 260.1),
    "shufflenet_g3_x1_0": (37.8, 222.2, 684.5),
    "shufflenet_g3_x2_0": (108.8, 617.0, 1857.6),
}


@dataclass(frozen=True)
class Speedup:
    """A network against the largest of the table on pictures of the same size."""

    row: Row
    theoretical: float  # ratio of multiply-adds
    actual: float  # ratio of our times
    paper_ms: float
    paper: float  # ratio of the paper's times


def table8(rounds: int, report: Report = lambda _: None) -> tuple[Results, list[Speedup]]:
    """Times the table's networks at its sizes on our engine, one thread.

    Raises:
        RuntimeError: the engine gave a wrong answer.
    """
    models = [random_model(Architecture.from_name(name)) for name in PAPER_MS]
    works = (make_work(model, 1, height, width, threads=1) for height, width in SIZES for model in models)
    results = bench(works, select([OURS]), rounds, report)
    for row in results.rows:
        if row.ms is None:
            raise RuntimeError(f"{row.model} at {row.height}x{row.width}: {row.problem}")
    return results, speedups(results)


def speedups(results: Results) -> list[Speedup]:
    return [_speedup(row, results) for row in results.rows]


def _speedup(row: Row, results: Results) -> Speedup:
    largest = list(PAPER_MS)[-1]
    size = row.height, row.width
    against = next(r for r in results.rows if r.model == largest and (r.height, r.width) == size)
    assert row.ms is not None
    assert against.ms is not None
    column = SIZES.index(size)
    paper_ms = PAPER_MS[row.model][column]
    return Speedup(row, against.macs / row.macs, against.ms / row.ms, paper_ms, PAPER_MS[largest][column] / paper_ms)


def table(results: Results, rows: list[Speedup]) -> str:
    lines = [
        f"{'':34}{'':>12}{'speed-up over the last':^40}{'peak':>7}",
        f"{'model':20} {'input':>9} {'MMACs':>9} {'ms':>9}{'theoretical':>14}{'actual':>9}{'in the paper':>15}{'%':>7}"
        f"{'paper ms':>11}",
    ]
    for s in rows:
        share = results.share_of_peak(s.row) or 0
        size = f"{s.row.height}x{s.row.width}"
        lines.append(
            f"{s.row.model:20} {size:>9} {s.row.macs / 1e6:9,.1f} {s.row.ms:9.3f}{s.theoretical:14.2f}{s.actual:9.2f}"
            f"{s.paper:15.2f}{100 * share:7.1f}{s.paper_ms:11.1f}"
        )
    lines += ["", f"{results.machine['processor']}, 1 thread, float32; the paper's: Snapdragon 820, 1 thread"]
    return "\n".join(lines)
