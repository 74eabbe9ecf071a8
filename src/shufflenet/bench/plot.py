"""Results as a bar chart in PNG: one panel per case, one bar per runtime, milliseconds as its length."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from shufflenet.atomic_file import atomic_file
from shufflenet.bench.report import caption
from shufflenet.bench.run import Results, Row, same_case
from shufflenet.bench.runtime import FLOAT32, OURS

_SCALE = 2  # pixels of the image per unit, for screens of high density
_PAPER, _INK, _FAINT, _BAR, _OUR_BAR = "#ffffff", "#22262b", "#7a7f86", "#c9d3dc", "#2f9e78"
_COLUMNS = 3
_PANEL_WIDTH, _NAME_WIDTH, _VALUE_WIDTH = 346 * _SCALE, 120 * _SCALE, 52 * _SCALE
_ROW, _GAP, _TEXT, _SMALL_TEXT = 17 * _SCALE, 18 * _SCALE, 11 * _SCALE, 9 * _SCALE


def plot(results: Results, out: Path) -> None:
    """Draws ``results`` to the PNG file ``out``.

    Raises:
        ValueError: nothing was timed.
        OSError: ``out`` can't be written.
    """
    panels = _panels(results)
    if not panels:
        raise ValueError("nothing was timed, so there is nothing to plot")
    columns = min(_COLUMNS, len(panels))
    height = _ROW * (max(map(len, panels)) + 2)
    rows = -(-len(panels) // columns)
    size = (columns * (_PANEL_WIDTH + _GAP) + _GAP, rows * (height + _GAP) + 2 * _ROW + _GAP)
    image = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(image)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        _draw_panel(draw, panel, results, _GAP + column * (_PANEL_WIDTH + _GAP), _GAP + row * (height + _GAP))
    draw.text((_GAP, size[1] - _GAP), caption(results), _FAINT, _font(_SMALL_TEXT), anchor="ls")
    with atomic_file(out) as file:
        image.save(file, format="PNG", optimize=True)


def _panels(results: Results) -> list[list[Row]]:
    """The timed rows of each case, the fastest first."""
    panels: list[list[Row]] = []
    for row in results.rows:
        if row.ms is None:
            continue
        if panels and same_case(panels[-1][0], row):
            panels[-1].append(row)
        else:
            panels.append([row])
    return [sorted(panel, key=lambda row: row.ms or 0) for panel in panels]


def _draw_panel(draw: ImageDraw.ImageDraw, panel: list[Row], results: Results, left: int, top: int) -> None:
    first = panel[0]
    batch = f"batch {first.batch}, " if first.batch > 1 else ""
    threads = "1 thread" if first.threads == 1 else f"{first.threads} threads"
    title = f"{first.model}, {first.height}x{first.width}, {batch}{threads}"
    draw.text((left, top + _ROW / 2), title, _INK, _font(_TEXT), anchor="lm")
    room = _PANEL_WIDTH - _NAME_WIDTH - _VALUE_WIDTH
    slowest = max(row.ms or 0 for row in panel)
    for place, row in enumerate(panel, start=1):
        assert row.ms is not None
        is_ours = row.runtime == OURS
        middle = top + place * _ROW + _ROW / 2
        start = left + _NAME_WIDTH
        end = start + max(1, round(room * row.ms / slowest))
        box = (start, round(middle - _ROW * 0.36), end, round(middle + _ROW * 0.36))
        name = row.runtime if row.precision == FLOAT32 else f"{row.runtime} {row.precision}"
        draw.text((start - _TEXT / 2, middle), name, _INK if is_ours else _FAINT, _font(_TEXT), anchor="rm")
        draw.rectangle(box, fill=_OUR_BAR if is_ours else _BAR)
        draw.text((end + _TEXT / 2, middle), f"{row.ms:.3g} ms", _INK, _font(_TEXT), anchor="lm")
    ours = results.ours(first)
    share = None if ours is None else results.share_of_peak(ours)
    if share is not None:
        cores = "a core" if first.threads == 1 else f"{first.threads} cores"
        note = f"shufflenet: {100 * share:.0f} % of the peak of {cores}"
        draw.text((left, top + (len(panel) + 1.5) * _ROW), note, _FAINT, _font(_SMALL_TEXT), anchor="lm")


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
