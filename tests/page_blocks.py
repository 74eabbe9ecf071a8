"""The blocks of code in README and the pages, and the commands in them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "fuzz/*.md", "photos/*.md")
    for path in ROOT.glob(pattern)
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences: of commands, if it names no language."""

    page: str
    language: str
    text: str

    def commands(self) -> Iterator[str]:
        """One for each line, and for each part of one between &&; without comments and files for the output."""
        for line in re.sub(r" *\\\n *", " ", self.text).splitlines():
            for part in line.split(" && "):
                if command := re.sub(r"(^|\s)#.*", "", part).split(" > ")[0].strip():
                    yield command


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^ *```([a-z]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page, language, textwrap.dedent(inside)) for language, inside in found]


EVERY = [block for page in PAGES for block in blocks(page)]
