"""Results as tables: text for a terminal, Markdown for the documentation."""

from __future__ import annotations

from typing import Protocol

from shufflenet.bench.run import Results, Row, same_case
from shufflenet.bench.runtime import FLOAT32, OURS


class Timed(Protocol):
    """What `cell` shows of a row of results."""

    @property
    def ms(self) -> float | None: ...
    @property
    def agreement(self) -> float | None: ...


def table(results: Results) -> str:
    """One line per case, runtime and precision."""
    lines = [
        f"{'model':20} {'input':>12} {'threads':>7}  {'runtime':17} {'precision':9} {'ms':>9} {'GMAC/s':>7} "
        f"{'peak %':>7} {'agree %':>7} {'ratio':>6}"
    ]
    previous: Row | None = None
    for row in results.rows:
        if previous is not None and not same_case(previous, row):
            lines.append("")
        lead = f"{row.model:20} {_input(row):>12} {row.threads:7}  {row.runtime:17} {row.precision:9} "
        rate, share, ratio = row.gmacs_per_s, results.share_of_peak(row), results.ratio_to_ours(row)
        if row.ms is None or rate is None:
            lines.append(f"{lead} {row.problem}")
        else:
            numbers = _number(share, 100, ".1f", 7), _number(row.agreement, 100, ".1f", 7), _number(ratio, 1, ".2f", 6)
            lines.append(f"{lead}{row.ms:9.3f} {rate:7.1f} {' '.join(numbers)}")
        previous = row
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    fast = any((results.share_of_peak(row) or 0) > 1 for row in results.rows)
    why = "peak % above 100: fewer multiply-adds than are counted (Winograd's way), or a machine that slowed down"
    in_8_bits = results.int8_peak_gmacs_per_s is not None
    lines += [
        "",
        f"{results.machine['processor']}; one core's sustained peak, measured in between: {_peaks(results, 'GMAC/s')}",
        "ms: median for the batch; ratio: that of shufflenet"
        + (", in 8 bits where both are there," if in_8_bits else "")
        + " is 1",
        *([why] if fast else []),
        *(["agree: pictures of which the best class is that of float32"] if in_8_bits else []),
        versions,
    ]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """Milliseconds as a Markdown table, a line per case and a column per runtime and precision.

    Two more columns: the engine's share of the peak, and the fastest other runtime's time over the engine's; both of
    the engine's lower precision if it ran in two. Below float32 the agreement of classes stands behind the time.
    """
    in_8_bits = results.int8_peak_gmacs_per_s is not None
    columns = list(dict.fromkeys((row.runtime, row.precision) for row in results.rows))
    columns.sort(key=lambda column: (list(results.versions).index(column[0]), column[1] == FLOAT32))
    first, others = columns[0], columns[1:]
    titles = [f"{name} {precision}" if in_8_bits else name for name, precision in [first, *others]]
    lines = [
        f"| network | input | threads | million multiply-adds | **{titles[0]}** | share of peak | "
        + " | ".join(titles[1:])
        + " | best of these / shufflenet |",
        "|---|---|" + "---:|" * (5 + len(others)),
    ]
    for ours in (row for row in results.rows if (row.runtime, row.precision) == first):
        rows = {(row.runtime, row.precision): row for row in results.rows if same_case(row, ours)}
        share = results.share_of_peak(ours)
        ratios = [
            ratio for key, row in rows.items() if key[0] != OURS and (ratio := results.ratio_to_ours(row)) is not None
        ]
        cells = [
            ours.model,
            _input(ours),
            str(ours.threads),
            f"{ours.macs / 1e6:,.1f}",
            cell(ours, "**"),
            "-" if share is None else f"{100 * share:.0f} %",
            *(cell(rows.get(key)) for key in others),
            f"{min(ratios):.2f}" if ratios else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def caption(results: Results) -> str:
    """A sentence that says what the figures are and where they were measured."""
    in_8_bits = results.int8_peak_gmacs_per_s is not None
    precision = " (and pictures with the best class of float32)" if in_8_bits else ", float32"
    return (
        f"Median milliseconds for the batch{precision}, {results.machine['processor']}; "
        f"one core's sustained peak is {_peaks(results, 'billion multiply-adds a second')}."
    )


def _peaks(results: Results, unit: str) -> str:
    peak = f"{results.peak_gmacs_per_s:.1f} {unit}"
    int8 = results.int8_peak_gmacs_per_s
    return peak if int8 is None else f"{peak} in float32, {int8:.1f} in 8 bits"


def _number(value: float | None, factor: float, form: str, width: int) -> str:
    return f"{'-' if value is None else format(factor * value, form):>{width}}"


def cell(row: Timed | None, mark: str = "") -> str:
    """Milliseconds, and below float32 the agreement; a dash if it was not timed."""
    if row is None or row.ms is None:
        return "-"
    ms = f"{mark}{_ms(row.ms)}{mark}"
    return ms if row.agreement is None else f"{ms} ({100 * row.agreement:.0f} %)"


def _ms(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def _input(row: Row) -> str:
    size = f"{row.height}x{row.width}"
    return size if row.batch == 1 else f"{row.batch} x {size}"
