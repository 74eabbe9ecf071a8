"""Image sizes on the command line: N, or HxW, in pixels."""

from __future__ import annotations


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "480x640"; "224" means 224x224.

    Raises:
        ValueError: ``text`` is neither N nor HxW.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ValueError(f"a size must be N or HxW, such as 224 or 480x640, not {text!r}")
    return int(sides[0]), int(sides[-1])
