"""An export's result as text and as JSON, for the command line."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from shufflenet.exporters import Export, target_of
from shufflenet.exporters.check import INT8_PROBABILITY_TOLERANCE, TOLERANCE
from shufflenet.files import printable


def described(done: Export) -> dict[str, Any]:
    """The result for JSON. JSON has no infinity, so an infinite error becomes null."""
    rows = {**asdict(done), "path": str(done.path), "ok": done.ok}
    if done.check is not None:
        check = rows["check"]
        check["probability_error"] = _finite(done.check.probability_error)
        for comparison in check["comparisons"]:
            comparison["error"] = _finite(comparison["error"])
            comparison["probability_error"] = _finite(comparison["probability_error"])
    return rows


def _width(column: str) -> int:
    return max(len(column), 8)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def text(done: Export) -> str:
    """The result for a terminal: the file, and a line for each comparison."""
    path = printable(str(done.path))
    if done.ok:
        lines = [f"{path}: {done.file_bytes:,} bytes, {target_of(done.target, done.single_file).title}"]
    else:
        lines = [f"{path}: not written, since the result differs (--no-check writes it nevertheless)"]
    if done.ok and done.replaced is not None:
        lines.append(f"replaced what was there: {printable(done.replaced)}")
    check = done.check
    if check is None:
        return "\n".join([*lines, "not checked"])
    pictures = f"{check.pictures} picture{'s' if check.pictures > 1 else ''} of {done.height} x {done.width}"
    what = f"largest error relative to the largest logit, at most {TOLERANCE:.0e}"
    if check.rounds:
        what = f"it rounds 8 bits by itself; largest difference of a probability, at most {INT8_PROBABILITY_TOLERANCE}"
    lines.append(f"{pictures}, 1 thread; {what}:")
    own = f"{done.target} ms"
    lines.append(f"  {'beside':18} {'error':>8} {'top-1 agreement':>16} {'its ms':>8} {own:>{_width(own)}}")
    ms = "-" if check.ms is None else f"{check.ms:.2f}"
    for other in check.comparisons:
        agreement = f"{100 * other.agreement:.1f} %"
        error = other.probability_error if check.rounds else other.error
        lines.append(f"  {other.name:18} {error:8.1e} {agreement:>16} {other.ms:8.2f} {ms:>{_width(own)}}")
    if check.stand_in:
        lines.append(check.stand_in)
    if check.probability_error is not None:
        lines.append(f"with its own preprocessing: largest error of a probability {check.probability_error:.1e}")
    return "\n".join(lines)
