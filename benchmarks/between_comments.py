"""Text between <!-- NAME --> and <!-- /NAME --> of a page, written anew."""

from __future__ import annotations

import sys
from pathlib import Path

from shufflenet.atomic_file import atomic_file


def rewrite(page: Path, texts: dict[str, str]) -> None:
    """``texts``: by the names of the comments; the rest of the page stays."""
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
