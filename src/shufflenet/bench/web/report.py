"""Results as tables: text for a terminal, Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from shufflenet.bench.report import cell
from shufflenet.bench.runtime import FLOAT32, INT8, OURS, Precision
from shufflenet.bench.web.run import WebResults, WebRow
from shufflenet.bench.web.runtimes import WITHOUT_RELAXED


def table(results: WebResults) -> str:
    """One line per case, runtime and precision, and for each case what it comes to."""
    lines = [f"{'model':20} {'runtime':20} {'precision':9} {'ms':>8} {'ratio':>6} {'agree %':>7} {'KB':>6}  way"]
    for rows in results.cases():
        for row in rows:
            lead = f"{row.model:20} {row.runtime:20} {row.precision:9} "
            if row.ms is None:
                lines.append(f"{lead}{row.problem}")
                continue
            ours = _ms(rows, OURS, row.precision)
            ratio = "-" if ours is None else f"{row.ms / ours:.2f}"
            agreement = "-" if row.agreement is None else f"{100 * row.agreement:.1f}"
            lines.append(f"{lead}{row.ms:8.3f} {ratio:>6} {agreement:>7} {_kb(row):>6}  {row.configuration}".rstrip())
        lines += [*_sums(rows), ""]
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines += [
        f"{results.browser}, {results.machine['processor']}; one worker, one picture at a time, turn by turn",
        "ms: median, from the input to the logits; ratio: that of shufflenet at the same precision is 1",
        "KB: what the browser loads of the runtime, as a server compresses it, without the network",
        versions,
    ]
    return "\n".join(lines)


def markdown(results: WebResults) -> str:
    """Milliseconds as a Markdown table, a line per case and a column per runtime and precision."""
    columns = [
        (name, precision)
        for precision in (FLOAT32, INT8)
        for name in dict.fromkeys(row.runtime for row in results.rows)
        if any(row.ms is not None for row in results.rows if (row.runtime, row.precision) == (name, precision))
    ]
    titles = [f"**{name}** {precision}" if name == OURS else f"{name} {precision}" for name, precision in columns]
    in_8_bits = any(precision == INT8 for _, precision in columns)
    ratios = [
        "best other / ours, float32",
        "without relaxed SIMD",
        *(["int8", "our float32 / int8"] if in_8_bits else []),
    ]
    lines = [
        f"| network | {' | '.join(titles)} | {' | '.join(ratios)} |",
        "|---|" + "---:|" * (len(columns) + len(ratios)),
    ]
    for rows in results.cases():
        cells = [cell(_row(rows, name, precision), "**" * (name == OURS)) for name, precision in columns]
        values = [_best_ratio(rows, FLOAT32), _best_ratio(rows, FLOAT32, WITHOUT_RELAXED)]
        if in_8_bits:
            values += [_best_ratio(rows, INT8), _gain_of_8_bits(rows)]
        lines.append(f"| {rows[0].model} | {' | '.join([*cells, *map(_number, values)])} |")
    return "\n".join(lines)


def downloads(results: WebResults) -> str:
    """What a browser loads of each runtime as a Markdown table, the largest of its cases."""
    largest: dict[tuple[str, Precision], int] = {}
    for row in results.rows:
        if row.download_bytes is not None:
            key = row.runtime, row.precision if row.runtime.startswith(OURS) else FLOAT32
            largest[key] = max(row.download_bytes, largest.get(key, 0))
    lines = ["| runtime | KB |", "|---|---:|"]
    for (name, precision), size in sorted(largest.items(), key=lambda pair: pair[1]):
        in_8_bits = " for networks in 8 bits" if precision == INT8 else ""
        lines.append(f"| {name}{in_8_bits} {results.versions.get(name, '')} | {size / 1000:,.0f} |".replace("  ", " "))
    return "\n".join(lines)


def caption(results: WebResults) -> str:
    """A sentence that says what the figures are and where they were measured."""
    return (
        "Median milliseconds from the input to the logits (and pictures with the best class of float32), one worker, "
        f"224x224, {results.browser}, {results.machine['processor']}."
    )


def _sums(rows: Sequence[WebRow]) -> list[str]:
    """The case's ratios in words."""
    lines = []
    for precision in (FLOAT32, INT8):
        ratio = _best_ratio(rows, precision)
        if ratio is not None:
            plain = _best_ratio(rows, precision, WITHOUT_RELAXED)
            without = "" if plain is None else f", without relaxed SIMD {plain:.2f}"
            lines.append(f"  {precision}: the fastest other runtime takes {ratio:.2f} times as long{without}")
    gain = _gain_of_8_bits(rows)
    if gain is not None:
        lines.append(f"  shufflenet in float32 takes {gain:.2f} times as long as in 8 bits")
    return lines


def _gain_of_8_bits(rows: Sequence[WebRow]) -> float | None:
    """Our time in float32 over that in 8 bits."""
    in_float, in_int8 = _ms(rows, OURS, FLOAT32), _ms(rows, OURS, INT8)
    return None if in_float is None or in_int8 is None else in_float / in_int8


def _best_ratio(rows: Sequence[WebRow], precision: Precision, ours: str = OURS) -> float | None:
    """The fastest other runtime's time over that of ``ours``, both of this precision."""
    our_ms = _ms(rows, ours, precision)
    others = [
        row.ms
        for row in rows
        if row.ms is not None and row.precision == precision and row.runtime not in (OURS, WITHOUT_RELAXED)
    ]
    return min(others) / our_ms if others and our_ms is not None else None


def _row(rows: Sequence[WebRow], name: str, precision: Precision) -> WebRow | None:
    return next((row for row in rows if (row.runtime, row.precision) == (name, precision)), None)


def _ms(rows: Sequence[WebRow], name: str, precision: Precision) -> float | None:
    row = _row(rows, name, precision)
    return None if row is None else row.ms


def _kb(row: WebRow) -> str:
    return "-" if row.download_bytes is None else f"{row.download_bytes / 1000:,.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
