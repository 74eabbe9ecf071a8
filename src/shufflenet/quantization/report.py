"""What 8 bits do to each operator, as a picture or as a page: its noise, and what it costs if it alone is in 8 bits."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from shufflenet.atomic_file import atomic_file
from shufflenet.quantization.gate import Loss, most_costly
from shufflenet.quantization.layer_costs import LayerCost
from shufflenet.quantization.quantize import CalibrationPictures

SUFFIXES = (".png", ".html")

_SCALE = 2  # drawn for screens that show two pixels as one
_PAPER, _INK, _FAINT, _BAR, _WORST_BAR = "#ffffff", "#22262b", "#7a7f86", "#c9d3dc", "#b23a2e"
_NAME, _BARS, _ROW, _GAP, _TEXT = 190 * _SCALE, 220 * _SCALE, 15 * _SCALE, 16 * _SCALE, 10 * _SCALE
_WORST = 3  # operators in the other colour


def write(out: Path, title: str, costs: Sequence[LayerCost], loss: Loss | None) -> None:
    """Writes the report as PNG or HTML, by the suffix of ``out``.

    Raises:
        ValueError: it has another suffix.
        OSError: ``out`` can't be written.
    """
    check_name(out)
    lines = [title, summary(loss) if loss else "accuracy was not measured"]
    with atomic_file(out) as file:
        if out.suffix.lower() == ".png":
            _drawn(lines, costs).save(file, format="PNG", optimize=True)
        else:
            file.write(_page(lines, costs).encode("utf-8", "xmlcharrefreplace"))


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
    out: Path, pictures: CalibrationPictures, loss: Loss | None, costs: Sequence[LayerCost]
) -> dict[str, Any]:
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


def _page(lines: Sequence[str], costs: Sequence[LayerCost]) -> str:
    worst = most_costly(costs)[:_WORST]
    rows = "\n".join(
        f"<tr{' class=worst' if cost in worst else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(cost))
        + "</tr>"
        for cost in costs
    )
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(lines[0])}</title>
<style>
body {{ font: 14px sans-serif; color: {_INK}; margin: 2em }} td, th {{ padding: 2px 12px; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} .worst {{ color: {_WORST_BAR} }}
</style>
<h1>{html.escape(lines[0])}</h1>
<p>{html.escape(lines[1])}</p>
<table><tr>{headings}</tr>
{rows}
</table></html>
"""


def _drawn(lines: Sequence[str], costs: Sequence[LayerCost]) -> Image.Image:
    size = (_NAME + 2 * _BARS + 4 * _GAP, _ROW * (len(costs) + len(lines) + 2) + 2 * _GAP)
    image = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=_TEXT)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + number * _ROW), line, _INK if number == 0 else _FAINT, font)
    top = _GAP + (len(lines) + 1) * _ROW
    left, right = _GAP + _NAME, 2 * _GAP + _NAME + _BARS
    draw.text((left, top), "signal to noise, dB", _FAINT, font)
    draw.text((right, top), "divergence if it alone is in 8 bits, nats", _FAINT, font)
    loudest = max((cost.signal_to_noise or 0 for cost in costs), default=1) or 1
    highest = max((cost.divergence for cost in costs), default=1) or 1
    worst = most_costly(costs)[:_WORST]
    for number, cost in enumerate(costs, 1):
        y = top + number * _ROW
        colour = _WORST_BAR if cost in worst else _BAR
        draw.text((_GAP, y), cost.name, _INK, font)
        if cost.signal_to_noise is not None:
            _bar(draw, left, y, max(0, cost.signal_to_noise) / loudest, f"{cost.signal_to_noise:.1f}", _BAR, font)
        _bar(draw, right, y, cost.divergence / highest, f"{cost.divergence:.5f}", colour, font)
    return image


def _bar(
    draw: ImageDraw.ImageDraw, left: int, y: int, share: float, text: str, colour: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:  # fmt: skip
    """A bar of this share of the longest, and its value behind it."""
    width = round(share * (_BARS - 50 * _SCALE))
    draw.rectangle((left, y + 2 * _SCALE, left + width, y + _ROW - 2 * _SCALE), colour)
    draw.text((left + width + 4 * _SCALE, y), text, _FAINT, font)
