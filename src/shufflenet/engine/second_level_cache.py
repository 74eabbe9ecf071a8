"""How much of the second-level cache a core has to itself."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_AT_LEAST, _AT_MOST = 512 << 10, 2 << 20  # bytes: of nearly every processor; more than strips can use
_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index2")


@cache
def bytes_of_a_core() -> int:
    """Bytes of the second-level cache a core, from what Linux says of the first one; 512 KB on other systems."""
    try:
        size, sharers = (_CACHE.joinpath(name).read_text() for name in ("size", "shared_cpu_list"))
    except OSError:
        return _AT_LEAST
    return parse(size, sharers)


def parse(size: str, sharers: str) -> int:
    """``2048K`` and ``0-1,4`` -> a third of 2 MB, within sensible limits; 512 KB for what can't be read."""
    kilobytes = re.fullmatch(r"(\d+)K\s*", size)
    ranges = re.findall(r"(\d+)(?:-(\d+))?", sharers)
    count = sum(int(last or first) - int(first) + 1 for first, last in ranges)
    if not kilobytes or count < 1:
        return _AT_LEAST
    return max(_AT_LEAST, min((int(kilobytes[1]) << 10) // count, _AT_MOST))
