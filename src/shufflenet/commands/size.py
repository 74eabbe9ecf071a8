"""The size of pictures on the command line: N, or HxW."""

from __future__ import annotations


def parse_size(text: str) -> tuple[int, int]:
    """Height and width; raises ValueError."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ValueError(f"a size must be N or HxW, such as 224 or 480x640, not {text!r}")
    return int(sides[0]), int(sides[-1])
