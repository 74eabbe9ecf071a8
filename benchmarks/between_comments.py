"""Rewrites what stands between <!-- NAME --> and <!-- /NAME --> on a page."""

from __future__ import annotations

import sys
from pathlib import Path

from shufflenet.atomic_file import atomic_file


def rewrite(page: Path, texts: dict[str, str]) -> None:
    """Puts each of ``texts`` between the two comments of its name; the rest of ``page`` stays.

    Raises:
        SystemExit: ``page`` has no such comments; nothing is written.
    """
    whole = page.read_text(encoding="utf-8")
    for name, text in texts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = whole.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            sys.exit(f"{page.name} has no lines {begin} and {end} to write between")
        whole = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    with atomic_file(page) as file:
        file.write(whole.encode("utf-8"))
