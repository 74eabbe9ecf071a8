"""metrics.csv as a picture: loss and errors over the epochs, if matplotlib is installed."""

from __future__ import annotations

import io
from typing import Any


def draw(rows: list[dict[str, Any]]) -> bytes | None:
    """A PNG file of the rows' losses and errors; None without matplotlib."""
    try:
        from matplotlib.figure import Figure  # without pyplot, which would look for a display
    except ImportError:
        return None
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in rows], ".-", color="#2a6f97")
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(epochs, [row["top1_error"] for row in rows], ".-", color="#bc4749", label="top-1")
    if any(row["top5_error"] for row in rows):  # of five classes or fewer there is none
        right.plot(epochs, [row["top5_error"] for row in rows], ".-", color="#e09f3e", label="top-5")
    right.set(xlabel="epoch", ylabel="validation error, %", ylim=(0, None))
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return data.getvalue()
