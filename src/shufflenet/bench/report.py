"""Results as tables: text for a terminal, Markdown for the documentation."""

from __future__ import annotations

from shufflenet.bench.run import Results, Row, same_case
from shufflenet.bench.runtime import OURS


def table(results: Results) -> str:
    """One line per case and runtime."""
    lines = [
        f"{'model':20} {'input':>12} {'threads':>7}  {'runtime':17} {'ms':>9} {'GMAC/s':>7} {'peak %':>7} {'ratio':>6}"
    ]
    previous: Row | None = None
    for row in results.rows:
        if previous is not None and not same_case(previous, row):
            lines.append("")
        lead = f"{row.model:20} {_input(row):>12} {row.threads:7}  {row.runtime:17} "
        rate, share, ratio = row.gmacs_per_s, results.share_of_peak(row), results.ratio_to_ours(row)
        if row.ms is None or rate is None or share is None:
            lines.append(f"{lead} {row.problem}")
        else:
            against = f"{ratio:6.2f}" if ratio is not None else "     -"
            lines.append(f"{lead}{row.ms:9.3f} {rate:7.1f} {100 * share:7.1f} {against}")
        previous = row
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    fast = any((results.share_of_peak(row) or 0) > 1 for row in results.rows)
    why = "peak % above 100: fewer multiply-adds than are counted (Winograd's way), or a machine that slowed down"
    lines += [
        "",
        f"{results.machine['processor']}, float32; one core's sustained peak, measured in between: "
        f"{results.peak_gmacs_per_s:.1f} GMAC/s",
        "ms: median for the batch; ratio: that of shufflenet is 1",
        *([why] if fast else []),
        versions,
    ]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """Milliseconds as a Markdown table, a line per case and a column per runtime.

    Two more columns: the engine's share of the peak, and the fastest other runtime's time over the engine's.
    """
    names = [name for name in results.versions if any(row.runtime == name for row in results.rows)]
    others = [name for name in names if name != OURS]
    lines = [
        "| network | input | threads | million multiply-adds | **shufflenet** | share of peak | "
        + " | ".join(others)
        + " | best of these / shufflenet |",
        "|---|---|" + "---:|" * (5 + len(others)),
    ]
    for ours in (row for row in results.rows if row.runtime == OURS):
        rows = {row.runtime: row for row in results.rows if same_case(row, ours)}
        share = results.share_of_peak(ours)
        ratios = [ratio for name in others if name in rows and (ratio := results.ratio_to_ours(rows[name])) is not None]
        cells = [
            ours.model,
            _input(ours),
            str(ours.threads),
            f"{ours.macs / 1e6:,.1f}",
            f"**{_ms(ours)}**",
            "-" if share is None else f"{100 * share:.0f} %",
            *(_ms(rows.get(name)) for name in others),
            f"{min(ratios):.2f}" if ratios else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def caption(results: Results) -> str:
    """A sentence that says what the figures are and where they were measured."""
    return (
        f"Median milliseconds for the batch, float32, {results.machine['processor']}; "
        f"one core's sustained peak is {results.peak_gmacs_per_s:.1f} billion multiply-adds a second."
    )


def _input(row: Row) -> str:
    size = f"{row.height}x{row.width}"
    return size if row.batch == 1 else f"{row.batch} x {size}"


def _ms(row: Row | None) -> str:
    return "-" if row is None or row.ms is None else f"{row.ms:.3g}" if row.ms < 100 else f"{row.ms:.0f}"
