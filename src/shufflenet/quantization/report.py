"""What 8 bits do to each operator, as a picture or a page: noise, what it costs if it alone is in 8 bits, and time."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from shufflenet.atomic_file import atomic_file
from shufflenet.quantization.gate import Loss, most_costly
from shufflenet.quantization.layer_costs import LayerCost
from shufflenet.quantization.quantize import CalibrationPictures
from shufflenet.quantization.step_times import StepTime

SUFFIXES = (".png", ".html")

_SCALE = 2  # drawn for screens that show two pixels as one
_PAPER, _INK, _FAINT, _BAR, _WORST_BAR = "#ffffff", "#22262b", "#7a7f86", "#c9d3dc", "#b23a2e"
_NAME, _BARS, _ROW, _GAP, _TEXT = 210 * _SCALE, 220 * _SCALE, 15 * _SCALE, 16 * _SCALE, 10 * _SCALE
_WORST = 3  # operators in the other colour


def write(
    out: Path, title: str, costs: Sequence[LayerCost], times: Sequence[StepTime], loss: Loss | None
) -> None:  # fmt: skip
    """Writes the report as PNG or HTML, by the suffix of ``out``.

    Raises:
        ValueError: it has another suffix.
        OSError: ``out`` can't be written.
    """
    check_name(out)
    lines = [title, summary(loss) if loss else "accuracy was not measured"]
    with atomic_file(out) as file:
        if out.suffix.lower() == ".png":
            _drawn(lines, costs, times).save(file, format="PNG", optimize=True)
        else:
            file.write(_page(lines, costs, times).encode("utf-8", "xmlcharrefreplace"))


def check_name(out: Path) -> None:
    """Raises ValueError if a report can't have the name ``out``."""
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out}: a report's name ends with {' or '.join(SUFFIXES)}")


def summary(loss: Loss) -> str:
    """The loss in a line."""
    return (
        f"top-1 accuracy {loss.float_accuracy:.2f} % in float32, {loss.accuracy:.2f} % in 8 bits: "
        f"{loss.points:+.2f} points lost (+-{loss.uncertainty:.2f}) on {loss.pictures:,} pictures"
    )


def text(out: Path, pictures: CalibrationPictures, loss: Loss | None) -> str:
    """The result of `shufflenet quantize`."""
    lines = [f"calibrated on {len(pictures.x):,} of {pictures.available:,} pictures"]
    if loss is not None:
        lines.append(summary(loss))
    return "\n".join([*lines, f"{out}: {out.stat().st_size:,} bytes"])


def described(
    out: Path, pictures: CalibrationPictures, loss: Loss | None, costs: Sequence[LayerCost],
    times: Sequence[StepTime],
) -> dict[str, Any]:  # fmt: skip
    """The result of `shufflenet quantize` as JSON."""
    accuracy = None
    if loss is not None:
        accuracy = {
            "pictures": loss.pictures,
            "float32": loss.float_accuracy,
            "int8": loss.accuracy,
            "points_lost": loss.points,
            "uncertainty": loss.uncertainty,
        }
    return {
        "file": str(out),
        "bytes": out.stat().st_size,
        "calibration_pictures": len(pictures.x),
        "top1_accuracy": accuracy,
        "operators": [asdict(cost) for cost in costs],
        "times": [asdict(time) for time in times],
    }


def _cells(cost: LayerCost) -> list[str]:
    noise = "" if cost.signal_to_noise is None else f"{cost.signal_to_noise:.1f}"
    return [
        cost.name,
        noise,
        f"{cost.divergence:.5f}",
        f"{cost.changed:.1f}",
        "" if cost.lost is None else f"{cost.lost:+.1f}",
    ]


_HEADINGS = ("operator", "signal to noise, dB", "divergence alone, nats", "changed alone, %", "lost alone, points")
_TIME_HEADINGS = ("where time goes", "float32, ms", "8 bits, ms", "times as fast")


def _with_sum(times: Sequence[StepTime]) -> list[StepTime]:
    return [*times, StepTime("all", sum(t.float32_ms for t in times), sum(t.int8_ms for t in times))]


def _time_cells(time: StepTime) -> list[str]:
    faster = f"{time.float32_ms / time.int8_ms:.2f}" if time.float32_ms and time.int8_ms else ""
    return [time.name, f"{time.float32_ms:.4f}", f"{time.int8_ms:.4f}", faster]


def _page(lines: Sequence[str], costs: Sequence[LayerCost], times: Sequence[StepTime]) -> str:
    worst = most_costly(costs)[:_WORST]
    by_cost = _table(_HEADINGS, [_cells(cost) for cost in costs], [cost in worst for cost in costs])
    by_time = _table(_TIME_HEADINGS, [_time_cells(time) for time in _with_sum(times)], [False] * (len(times) + 1))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(lines[0])}</title>
<style>
body {{ font: 14px sans-serif; color: {_INK}; margin: 2em }} td, th {{ padding: 2px 12px; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} .worst {{ color: {_WORST_BAR} }} table {{ margin-bottom: 2em }}
</style>
<h1>{html.escape(lines[0])}</h1>
<p>{html.escape(lines[1])}</p>
{by_cost}
{by_time}
</html>
"""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], worst: Sequence[bool]) -> str:
    titles = "".join(f"<th>{heading}</th>" for heading in headings)
    lines = [
        f"<tr{' class=worst' if marked else ''}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells, marked in zip(rows, worst, strict=True)
    ]
    return "\n".join([f"<table><tr>{titles}</tr>", *lines, "</table>"])


def _drawn(lines: Sequence[str], costs: Sequence[LayerCost], times: Sequence[StepTime]) -> Image.Image:
    rows = len(costs) + len(times) + len(lines) + 5
    size = (_NAME + 2 * _BARS + 4 * _GAP, _ROW * rows + 2 * _GAP)
    image = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=_TEXT)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + number * _ROW), line, _INK if number == 0 else _FAINT, font)
    worst = most_costly(costs)[:_WORST]
    # For each operator its name, then a value and what is drawn for it: what is missing has no bar.
    of_costs = []
    for cost in costs:
        colour = _WORST_BAR if cost in worst else _BAR
        of_costs.append((cost.name, [(cost.signal_to_noise, ".1f", _BAR), (cost.divergence, ".5f", colour)]))
    top = _GAP + (len(lines) + 1) * _ROW
    _bars(draw, font, top, ("signal to noise, dB", "divergence if it alone is in 8 bits, nats"), of_costs)
    total = _with_sum(times)[-1]
    titles = f"float32, {total.float32_ms:.3f} ms", f"8 bits, {total.int8_ms:.3f} ms"
    of_times = [(t.name, [(t.float32_ms, ".4f", _BAR), (t.int8_ms, ".4f", _BAR)]) for t in times]
    _bars(draw, font, top + (len(costs) + 2) * _ROW, titles, of_times, shared=True)
    return image


_Value: TypeAlias = tuple[float | None, str, str]  # what a bar shows, its format and its colour


def _bars(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, top: int, titles: tuple[str, str],
    rows: Sequence[tuple[str, Sequence[_Value]]], *, shared: bool = False,
) -> None:  # fmt: skip
    """Two columns of bars below their titles; ``shared``: lengths are beside the largest of both, not of the column."""
    longest = [max((values[side][0] or 0 for _, values in rows), default=1) or 1 for side in range(2)]
    if shared:
        longest = [max(longest)] * 2
    for side, title in enumerate(titles):
        left = _GAP + _NAME + side * (_GAP + _BARS)
        draw.text((left, top), title, _FAINT, font)
        for number, (_, values) in enumerate(rows, 1):
            value, form, colour = values[side]
            if value is not None:
                share = max(0, value) / longest[side]
                _bar(draw, left, top + number * _ROW, share, format(value, form), colour, font)
    for number, (name, _) in enumerate(rows, 1):
        draw.text((_GAP, top + number * _ROW), _shortened(name), _INK, font)


def _shortened(name: str) -> str:
    """Of many operators the first and the last."""
    first, *others = name.split(" + ")
    return f"{first} to {others[-1]}" if others else first


def _bar(
    draw: ImageDraw.ImageDraw, left: int, y: int, share: float, text: str, colour: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:  # fmt: skip
    """A bar of this share of the longest, and its value behind it."""
    width = round(share * (_BARS - 50 * _SCALE))
    draw.rectangle((left, y + 2 * _SCALE, left + width, y + _ROW - 2 * _SCALE), colour)
    draw.text((left + width + 4 * _SCALE, y), text, _FAINT, font)
